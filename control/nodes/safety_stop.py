"""SafetyStop: the emergency stop and the dead-man's switch of a guard's node.

Topic `emergency_stop` (`std_msgs/Bool`): true stops, and it stays stopped. Service `~/emergency_stop`
(`std_srvs/SetBool`): true stops, false releases. The dead-man's switch is a topic that the robot file names.
They are heard as soon as the node is configured, and what they said outlives a deactivation.
"""

import time
from collections.abc import Callable

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

from reflexarc.control.modules.stop import EMERGENCY, EMERGENCY_STOP, Stop
from reflexarc.control.robot import Robot

__all__ = ["SafetyStop"]


class SafetyStop:
    """Whether people want the robot of one guard to stand still.

    Args:
        node: The guard's node.
        robot: Names the dead-man's switch; None for a flow without a robot, which has none.
        tell: Called when the emergency stop was pressed or released.
    """

    def __init__(self, node: Node, robot: Robot | None, tell: Callable[[], None]) -> None:
        self._node = node
        self._tell = tell
        dead_man = None if robot is None else robot.dead_man
        self._stop = Stop(None if dead_man is None else dead_man.timeout_s)
        # A reliable reader gets nothing from a best-effort writer, and a best-effort reader may miss a message.
        expected = SubscriptionEventCallbacks(incompatible_qos=lambda info: None)
        for reliability in (ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT):
            qos = QoSProfile(depth=10, reliability=reliability)
            node.create_subscription(Bool, EMERGENCY_STOP, self._on_topic, qos, event_callbacks=expected)
        node.create_service(SetBool, f"~/{EMERGENCY_STOP}", self._on_service)
        if robot is not None and dead_man is not None:
            qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
            node.create_subscription(Bool, robot.full_topic(dead_man.topic), self._on_dead_man, qos)

    @property
    def reason(self) -> str | None:
        """Why the robot is to stand still now, or None."""
        return self._stop.reason(time.monotonic_ns())

    def _on_topic(self, message: Bool) -> None:
        if message.data:
            self._set(is_pressed=True)

    def _on_service(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._set(is_pressed=request.data)
        response.success = True
        response.message = self.reason or "released"
        return response

    def _on_dead_man(self, message: Bool) -> None:
        self._stop.report_dead_man(message.data, time.monotonic_ns())

    def _set(self, *, is_pressed: bool) -> None:
        before = self.reason
        if is_pressed:
            self._stop.press()
        else:
            self._stop.release()
        if self.reason == before:
            return
        if is_pressed:
            self._node.get_logger().warning(f"{EMERGENCY}; `~/{EMERGENCY_STOP}` with false releases it")
        else:
            self._node.get_logger().warning(f"{EMERGENCY} released")
        self._tell()
