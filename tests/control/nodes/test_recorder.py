import pytest
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message
from std_msgs.msg import Float64

from reflexarc.control.nodes.messages import to_message
from reflexarc.control.nodes.recorder import Recorder
from reflexarc.control.values import Diagnostic, Diagnostics

pytestmark = pytest.mark.ros


class Kept:
    """Keeps what it is given, in memory."""

    def __init__(self) -> None:
        self.messages, self.calls = [], []

    def write(self, message) -> None:
        self.messages.append(message)

    def flush(self) -> None:
        self.calls.append("flush")

    def close(self) -> None:
        self.calls.append("close")

    def abandon(self) -> None:
        self.calls.append("abandon")

    def of(self, topic: str):
        return [message for message in self.messages if message.channel.topic == topic]


class Full(Kept):
    """A disk without room."""

    def write(self, message) -> None:
        raise OSError(28, "No space left on device")


@pytest.fixture
def node(nodes):
    nodes.start([])
    return nodes.add(rclpy.create_node("someone"))


@pytest.fixture
def taker(node):
    """The recorder's own node, which nothing spins."""
    taker = rclpy.create_node("taker")
    yield taker
    taker.destroy_node()


def taken_until(nodes, recorder, is_done) -> None:
    def takes() -> bool:
        recorder.take()
        return is_done()

    nodes.spin_until(takes)


def report(name: str, level: int, message: str = "", **figures: str) -> DiagnosticArray:
    entry = Diagnostic(name=name, level=level, message=message, figures=tuple(figures.items()))
    return to_message(Diagnostics(stamp_ns=1, entries=(entry,)))


def found(nodes, recorder, *topics: str) -> None:
    def is_found() -> bool:
        recorder.discover()
        return set(topics) <= set(recorder.topics)

    nodes.spin_until(is_found)


def test_messages_are_taken_as_they_are_with_all_that_others_need_to_read_them(nodes, node, taker):
    publisher = node.create_publisher(Float64, "number", 10)
    kept = Kept()
    recorder = Recorder(taker, kept)
    recorder.start()
    found(nodes, recorder, "/number")
    nodes.spin_until(publisher.get_subscription_count)
    for number in range(3):
        publisher.publish(Float64(data=float(number)))
    taken_until(nodes, recorder, lambda: len(kept.of("/number")) == 3)
    recorder.end()
    assert kept.calls[-1] == "close"
    assert [deserialize_message(m.data, Float64).data for m in kept.of("/number")] == [0, 1, 2]
    channel = kept.of("/number")[0].channel
    assert channel.type == "std_msgs/msg/Float64"
    assert "float64 data" in channel.definition
    assert channel.type_hash.startswith("RIHS01_")
    (qos,) = yaml.safe_load(channel.qos)
    assert (qos["reliability"], qos["durability"], qos["liveliness"]) == ("reliable", "volatile", "automatic")


def test_it_asks_for_what_is_offered(nodes, node, taker):
    best_effort = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    often = node.create_publisher(Float64, "often", best_effort)
    node.create_publisher(Float64, "once", latched).publish(Float64(data=1.0))
    kept = Kept()
    recorder = Recorder(taker, kept)
    recorder.start()
    found(nodes, recorder, "/often", "/once")

    def has_both() -> bool:
        often.publish(Float64(data=2.0))
        return bool(kept.of("/often") and kept.of("/once"))

    taken_until(nodes, recorder, has_both)
    recorder.end()
    assert kept.of("/once")[0].channel.is_latched
    assert not kept.of("/often")[0].channel.is_latched


def test_an_error_is_told_when_it_begins_and_artifacts_when_they_change(nodes, node, taker):
    publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 50)
    incidents, artifacts, kept = [], [], Kept()
    recorder = Recorder(taker, kept, incidents.append, artifacts.append)
    recorder.start()
    found(nodes, recorder, "/diagnostics")
    nodes.spin_until(publisher.get_subscription_count)
    for message in (
        report("policy", 0, artifact="aa"),
        report("policy", 1, "late", artifact="aa"),
        report("policy", 2, "silent: odometry", artifact="bb"),
        report("policy", 2, "silent: odometry", artifact="bb"),
        report("guard", 2, "stopped"),
        report("policy", 0, artifact="bb"),
        report("policy", 2, "silent: odometry", artifact="bb"),
    ):
        publisher.publish(message)
    taken_until(nodes, recorder, lambda: len(kept.of("/diagnostics")) == 7)
    recorder.report("asked for")
    recorder.end()
    silent = "policy: silent: odometry"
    assert incidents == [silent, "guard: stopped", silent, "asked for"]
    assert artifacts == [{"policy": "aa"}, {"policy": "bb"}]


def test_without_room_it_says_so_and_leaves_what_was_written(nodes, node, taker):
    publisher = node.create_publisher(Float64, "number", 10)
    full = Full()
    recorder = Recorder(taker, full)
    recorder.start()
    found(nodes, recorder, "/number")

    def has_failed() -> bool:
        publisher.publish(Float64(data=1.0))
        return recorder.failure is not None

    taken_until(nodes, recorder, has_failed)
    with pytest.raises(
        Exception, match=r"cannot write any more \(No space left on device\); what was written can"
    ):
        recorder.end()
    assert full.calls[-1] == "abandon"
