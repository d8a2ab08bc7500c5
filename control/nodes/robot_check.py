"""RobotCheck: whether a robot's drivers show what its file and the flow say, before anything moves.

It only listens: it asks the graph of ROS 2 who is there, and reads each topic for a moment as the nodes would.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Bool

from reflexarc.control.errors import ValueRefusedError, did_you_mean
from reflexarc.control.flow import Flow
from reflexarc.control.nodes.messages import from_message, message_class
from reflexarc.control.nodes.qos import adapted_qos, offered_qos, requested_qos
from reflexarc.control.ports import Port, refusal
from reflexarc.control.robot import DriverTopic
from reflexarc.control.robot_adapter import SensorAdapter, actuator_topic, sensor_topic, staleness_s

__all__ = ["TopicFinding", "check_robot_topics"]

_DISCOVERY_S = 4.0
"""It takes 0.1 s mostly, and some 2 s in one of four."""

_LISTEN_S = 2.0
_MUCH_LESS = 0.8
"""A camera loses a frame now and then (5 %), and in two seconds one may be early or late."""

_AHEAD_S = 0.02
"""As the adapter allows it."""

_POLL_S = 0.02


@dataclass
class TopicFinding:
    """What was found at one topic.

    Args:
        port: Port of the plant, as `outputs.color`, or `dead_man` or `use_sim_time`.
        topic: From the root.
        type: ROS 2 message type.
        qos: What our end asks for, or offers.
        rate_hz: What the flow needs; None where any will do.
        measured_hz: What came; None where nothing was measured.
        behind_s: How far stamps are behind this host's clock, in the median; None without stamps.
        is_missing: Whether nobody is at the other end.
        problems: What is wrong, and what to do; empty where all is well.
    """

    port: str
    topic: str
    type: str
    qos: str
    rate_hz: float | None = None
    measured_hz: float | None = None
    behind_s: float | None = None
    is_missing: bool = False
    problems: list[str] = field(default_factory=list)


def check_robot_topics(flow: Flow, node: Node, executor: Executor) -> list[TopicFinding]:
    """Look at every topic that a robot must offer.

    Args:
        flow: A flow with a robot.
        node: A node where the robot's drivers are.
        executor: What spins it.
    """
    probes: list[_Listener] = [_Sensor(flow, name, node) for name in flow.plant.outputs]
    assert flow.robot is not None
    if flow.robot.dead_man is not None:
        probes.append(_Switch(flow, node))
    if flow.robot.use_sim_time:
        node.set_parameters([Parameter("use_sim_time", value=True)])
        probes.append(_SimTime(node))
    actuators = [_Actuator(flow, name, node) for name in flow.plant.inputs]
    _spin(executor, _DISCOVERY_S, lambda: all(probe.is_there() for probe in (*probes, *actuators)))
    for probe in (*probes, *actuators):
        probe.look()
    for probe in probes:
        probe.listen()
    _spin(executor, _LISTEN_S, lambda: False)
    for probe in probes:
        probe.judge()
    return [probe.finding for probe in (*probes, *actuators)]


def _spin(executor: Executor, seconds: float, is_done: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not is_done():
        executor.spin_once(timeout_sec=_POLL_S)


class _Probe:
    """Looks at one topic.

    Args:
        node: Where from.
        port: Port of the plant.
        topic: From the root.
        message: Class of its messages.
        qos: Of our end.
        rate_hz: What is needed.
    """

    is_ours_reading = True

    def __init__(
        self, node: Node, port: str, topic: str, message: type, qos: QoSProfile, rate_hz: float | None
    ) -> None:
        self._node = node
        self._message = message
        self._qos = qos
        package = message.__module__.split(".")[0]
        self._type = f"{package}/msg/{message.__name__}"
        words = f"{qos.reliability.name} {qos.durability.name}".lower()
        self.finding = TopicFinding(port, topic, self._type, words, rate_hz)

    def others(self) -> Sequence[Any]:
        """Those at the other end."""
        if self.is_ours_reading:
            return self._node.get_publishers_info_by_topic(self.finding.topic)
        return self._node.get_subscriptions_info_by_topic(self.finding.topic)

    def is_there(self) -> bool:
        """Whether somebody is at the other end."""
        return bool(self.others())

    def look(self) -> None:
        """Say what is wrong with those at the other end."""
        others = self.others()
        finding = self.finding
        if not others:
            finding.is_missing = True
            finding.problems.append(self._missing())
        for other in others:
            who = f"{other.node_namespace.rstrip('/')}/{other.node_name}"
            if other.topic_type != self._type:
                finding.problems.append(
                    f"{who} has type {other.topic_type}, expected {self._type}. "
                    f"Correct {finding.port}.topic in the robot file."
                )
                continue
            offered, requested = (
                (other.qos_profile, self._qos) if self.is_ours_reading else (self._qos, other.qos_profile)
            )
            compatibility, reason = qos_check_compatible(offered, requested)
            if compatibility == QoSCompatibility.ERROR:  # equal, but not the same object
                finding.problems.append(
                    f"the quality of service of {who} does not fit ours ({finding.qos}): {_one_line(reason)}. "
                    f"Set reliability or durability of {finding.port} in the robot file to what it has."
                )

    def _missing(self) -> str:
        verb = "publishes" if self.is_ours_reading else "listens to"
        same_type = [
            name
            for name, types in self._node.get_topic_names_and_types()
            if self._type in types and name != self.finding.topic
        ]
        hint = f" {did_you_mean(self.finding.topic, same_type)}" if same_type else ""
        return (
            f"nobody {verb} {self.finding.topic}. Start its driver, or correct {self.finding.port}.topic "
            f"in the robot file.{hint}"
        )


class _Listener(_Probe):
    """Looks at one topic and reads it."""

    def listen(self) -> None:
        """Begin to read, if there is something that can be read."""
        self._arrivals: list[float] = []
        self._newest: Any = None
        if not self.finding.problems:
            self._node.create_subscription(self._message, self.finding.topic, self.take, self._qos)

    def take(self, message: Any) -> None:
        """A message came."""
        now_s = self._node.get_clock().now().nanoseconds * 1e-9
        if now_s > 0.0:  # until a simulation's clock is known
            self._arrivals.append(now_s)
            self._newest = message

    def judge(self) -> None:
        """Say what is wrong with what came."""
        finding = self.finding
        if finding.problems:
            return
        if self._newest is None:
            finding.problems.append(
                f"nothing came in {_LISTEN_S:g} s, though somebody publishes. Does the driver get data?"
            )
            return
        if len(self._arrivals) > 1:
            finding.measured_hz = (len(self._arrivals) - 1) / max(
                self._arrivals[-1] - self._arrivals[0], 1e-9
            )
        measured = finding.measured_hz or 0.0
        if finding.rate_hz is not None and measured < _MUCH_LESS * finding.rate_hz:
            finding.problems.append(
                f"{measured:.1f} Hz came, and {finding.rate_hz:g} are needed. Let the driver publish faster."
            )


class _Sensor(_Listener):
    """An output of the plant."""

    def __init__(self, flow: Flow, name: str, node: Node) -> None:
        self._port: Port = flow.plant.outputs[name]
        topic = sensor_topic(flow, name)
        qos = adapted_qos(requested_qos(self._port, "realtime", is_from_driver=True), topic)
        assert topic.topic is not None
        super().__init__(
            node, f"outputs.{name}", topic.topic, message_class(self._port.type), qos, self._port.rate_hz
        )
        self._adapter = SensorAdapter(flow, name)
        self._staleness_s = staleness_s(flow)
        self._behind_s: list[float] = []

    def take(self, message: Any) -> None:
        """A message came."""
        super().take(message)
        header = getattr(message, "header", None)
        if header is not None and self._arrivals:
            self._behind_s.append(self._arrivals[-1] - (header.stamp.sec + header.stamp.nanosec * 1e-9))

    def judge(self) -> None:
        """Say what is wrong with what came: how often, when, and what."""
        super().judge()
        finding = self.finding
        if self._newest is None:
            return
        try:
            value = self._adapter.in_our_words(from_message(self._newest))
            if (reason := refusal(self._port, value)) is not None:
                raise ValueRefusedError(reason)
        except ValueRefusedError as error:
            finding.problems.append(f"{error}. Correct the robot file, or the driver's settings.")
        if not self._behind_s or self._port.stream == "description":
            return
        finding.behind_s = behind = median(self._behind_s)
        if not -_AHEAD_S <= behind <= self._staleness_s:
            way = "ahead of" if behind < 0 else "behind"
            finding.problems.append(
                f"stamps are {abs(behind):.3f} s {way} this host's clock, and the guard would hold still. "
                "Keep the clocks of both hosts in time (chrony), or let the driver stamp by its host's clock."
            )


class _Switch(_Listener):
    """The dead-man's switch."""

    def __init__(self, flow: Flow, node: Node) -> None:
        assert flow.robot is not None
        assert flow.robot.dead_man is not None
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        switch = flow.robot.dead_man
        super().__init__(
            node, "dead_man", flow.robot.full_topic(switch.topic), Bool, qos, 1.0 / switch.timeout_s
        )


class _SimTime(_Listener):
    """The clock of a robot that is simulated."""

    def __init__(self, node: Node) -> None:
        qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
        super().__init__(node, "use_sim_time", "/clock", Clock, qos, None)

    def _missing(self) -> str:
        return "nobody publishes /clock. Start the simulation, or take use_sim_time out of the robot file."


class _Actuator(_Probe):
    """An input of the plant, which nobody but a guard may command."""

    is_ours_reading = False

    def __init__(self, flow: Flow, name: str, node: Node) -> None:
        source = flow.plant.inputs[name]
        port = flow.port(source)
        topic: DriverTopic = actuator_topic(flow, name)
        assert flow.robot is not None
        assert topic.topic is not None
        qos = adapted_qos(offered_qos(port, "realtime"), topic)
        super().__init__(node, f"inputs.{name}", topic.topic, message_class(port.type), qos, None)
        self._guard = f"{flow.robot.namespace}/{source.node}"

    def look(self) -> None:
        """Say what is wrong with who listens, and who else commands."""
        super().look()
        for other in self._node.get_publishers_info_by_topic(self.finding.topic):
            who = f"{other.node_namespace.rstrip('/')}/{other.node_name}"
            if who != self._guard:
                self.finding.problems.append(
                    f"{who} publishes there, too; only the guard may command the robot. End it."
                )


def _one_line(text: str) -> str:
    return " ".join(text.split()).removeprefix("ERROR: ").rstrip(".;")
