"""Drivers made by hand: joint states at 100 Hz in an own order under own names, and what is commanded to them."""

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray

PERIOD_S = 0.01


class Drivers:
    """One node, in the process of the test."""

    def __init__(self, nodes, *, namespace: str = "", qos: QoSProfile = qos_profile_sensor_data) -> None:
        self.node = nodes.add(rclpy.create_node("drivers", namespace=namespace))
        self.names = ["my_right", "my_left"]
        self.shift_ns = 0
        """By how much its clock is ahead."""
        self.is_silent = False
        self.sent = 0
        self.commands: list[np.ndarray] = []
        self._sender = self.node.create_publisher(JointState, "arm/joint_states", qos)
        self.node.create_subscription(Float64MultiArray, "arm/commands", self._take, 100)
        self.node.create_timer(PERIOD_S, self._send)

    @property
    def speed(self) -> float:
        """How fast it was last told to move."""
        return float(np.abs(self.commands[-1]).max()) if self.commands else 0.0

    def _take(self, message: Float64MultiArray) -> None:
        self.commands.append(np.array(message.data))

    def _send(self) -> None:
        if self.is_silent:
            return
        message = JointState()
        stamp_ns = self.node.get_clock().now().nanoseconds + self.shift_ns
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        message.name = list(self.names)
        message.position, message.velocity = [0.0] * len(self.names), [0.0] * len(self.names)
        self._sender.publish(message)
        self.sent += 1
