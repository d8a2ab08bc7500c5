"""Recorder: all topics of a running flow, as they come, into a bag or a ring.

Subscriptions are raw: a message is taken as the bytes that came, and no field of it is looked at. They are not spun by
an executor, which would wake for every message: `take` empties them some twenty times per second, and asks for when
each came, too, which the events executor cannot tell (rclpy 9.1.2). It only appends to a queue, and a thread writes, so
that a disk that is slow for a moment loses nothing.
"""

import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Protocol

import yaml
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.bag_metadata import Channel
from reflexarc.control.nodes.bag_writer import Message
from reflexarc.control.nodes.message_definitions import definition_of, message_class_of, type_hash_of
from reflexarc.control.nodes.messages import from_message
from reflexarc.control.values import Diagnostics

__all__ = ["ARTIFACTS", "FLOW", "Recorder", "Sink"]

FLOW = "reflexarc_flow"
"""Metadata record: the flow as its launcher read it, and what drives it."""

ARTIFACTS = "reflexarc_artifacts"
"""Metadata record: digest per trained module, as its node reports it."""

_DIAGNOSTICS = "/diagnostics"
_ERROR = 2  # diagnostic_msgs/DiagnosticStatus
_DEPTH = 200
"""Messages that wait at one subscription: 2 s at 100 Hz."""
_WRITE_EVERY_S = 0.1
_FLUSH_EVERY_S = 0.4
"""With what waits for the writer, so much and half a second are lost at most when the recorder is killed."""
_WAITING_BYTES = 256 << 20
"""What may wait for a disk that stands still: a minute of a flow with a camera."""


class Sink(Protocol):
    """Where messages go: a `BagWriter`, or a `Ring`."""

    def write(self, message: Message) -> None:
        """Take a message."""

    def flush(self) -> None:
        """Hand all that was taken to the operating system."""

    def close(self) -> None:
        """Complete what was written."""

    def abandon(self) -> None:
        """After an error: leave what was written."""


class Recorder:
    """Subscribes to every topic that has a publisher, and writes.

    Args:
        node: A node in the flow's domain that no executor spins.
        sink: Where messages go.
        on_incident: Called by the writing thread with what has happened: what a node says that first reports an
            error, or what was reported here.
        on_artifacts: Called by the writing thread when a node says what artifact it runs, with all digests by module.
    """

    def __init__(
        self,
        node: Node,
        sink: Sink,
        on_incident: Callable[[str], None] = lambda what: None,
        on_artifacts: Callable[[dict[str, str]], None] = lambda digests: None,
    ) -> None:
        self._node = node
        self._sink = sink
        self._on_incident, self._on_artifacts = on_incident, on_artifacts
        self._subscriptions: dict[str, tuple[Channel, Any]] = {}
        self._queue: deque[Message] = deque()
        self._waiting_bytes = 0
        self._errors: dict[str, int] = {}
        self._artifacts: dict[str, str] = {}
        self._reported: deque[str] = deque()
        self._is_ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer")
        self.lost: Counter[str] = Counter()
        """Messages per topic for which there was no room."""
        self.unknown: dict[str, str] = {}
        """Topics that are not recorded, since their type is not installed here."""
        self.failure: OSError | None = None
        """Why nothing is written any more."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What is recorded."""
        return tuple(self._subscriptions)

    def start(self) -> None:
        """Subscribe, and begin to write."""
        self.discover()
        self._thread.start()

    def discover(self) -> None:
        """Subscribe to what has appeared since the last time."""
        for topic, types in self._node.get_topic_names_and_types():
            if topic not in self._subscriptions and topic not in self.unknown:
                self._subscribe(topic, types[0])

    def take(self) -> None:
        """Take all messages that have come."""
        came: list[Message] = []
        for channel, subscription in self._subscriptions.values():
            with subscription.handle:
                while (taken := subscription.handle.take_message(subscription.msg_type, True)) is not None:
                    data, info = taken
                    came_ns = info["received_timestamp"] or time.time_ns()
                    came.append(Message(channel, came_ns, info["source_timestamp"] or came_ns, data))
        came.sort(key=attrgetter("log_time_ns"))
        size = sum(len(message.data) for message in came)
        if self._waiting_bytes + size > _WAITING_BYTES or self.failure is not None:
            self.lost.update(message.channel.topic for message in came)
            return
        self._waiting_bytes += size
        self._queue.extend(came)

    def report(self, what: str) -> None:
        """Say that something has happened."""
        self._reported.append(what)

    def end(self) -> None:
        """Write what waits and complete the bag.

        Raises:
            ReflexarcError: Something could not be written.
        """
        self.take()
        for _, subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        self._is_ending.set()
        self._thread.join()
        if self.failure is not None:
            raise ReflexarcError(
                f"cannot write any more ({self.failure.strerror}); what was written can be read. "
                "Make room, or bound it: --max-mb."
            )

    # --- taking

    def _subscribe(self, topic: str, type_name: str) -> None:
        publishers = self._node.get_publishers_info_by_topic(topic)
        if not publishers:
            return
        found = message_class_of(type_name)
        if found is None:
            self.unknown[topic] = type_name
            return
        offered = [info.qos_profile for info in publishers]
        is_latched = all(qos.durability is DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        channel = Channel(
            topic=topic,
            type=type_name,
            definition=definition_of(type_name),
            type_hash=type_hash_of(type_name),
            qos=yaml.safe_dump([_qos_entry(qos) for qos in offered]),
            is_latched=is_latched,
        )
        # As rosbag2 does: what all publishers offer, so that none is left out.
        is_reliable = all(qos.reliability is ReliabilityPolicy.RELIABLE for qos in offered)
        profile = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=_DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if is_reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if is_latched else DurabilityPolicy.VOLATILE,
        )
        subscription = self._node.create_subscription(found, topic, lambda _: None, profile, raw=True)
        self._subscriptions[topic] = (channel, subscription)

    # --- writing

    def _run(self) -> None:
        try:
            flushed_at = time.monotonic()
            while not self._is_ending.wait(_WRITE_EVERY_S):
                self._write_waiting()
                if time.monotonic() - flushed_at >= _FLUSH_EVERY_S:
                    self._sink.flush()
                    flushed_at = time.monotonic()
            self._write_waiting()
            self._sink.close()
        except OSError as error:
            self.failure = error
            self._sink.abandon()

    def _write_waiting(self) -> None:
        while self._queue:
            message = self._queue.popleft()
            self._waiting_bytes -= len(message.data)
            self._sink.write(message)
            if message.channel.topic == _DIAGNOSTICS:
                self._look_at(message.data)
        while self._reported:
            self._on_incident(self._reported.popleft())

    def _look_at(self, data: bytes) -> None:
        """What a health report says of artifacts and of errors; an error that lasts is told once."""
        report = from_message(deserialize_message(data, DiagnosticArray))
        assert isinstance(report, Diagnostics)
        for entry in report.entries:
            digest = dict(entry.figures).get("artifact")
            if digest and self._artifacts.get(entry.name) != digest:
                self._artifacts[entry.name] = digest
                self._on_artifacts(dict(self._artifacts))
            before = self._errors.get(entry.name, 0)
            self._errors[entry.name] = entry.level
            if entry.level >= _ERROR > before:
                self._on_incident(f"{entry.name}: {entry.message}")


def _qos_entry(qos: QoSProfile) -> dict[str, Any]:
    """A profile as rosbag2 writes it."""
    return {
        "history": qos.history.name.lower(),
        "depth": qos.depth,
        "reliability": qos.reliability.name.lower(),
        "durability": qos.durability.name.lower(),
        "deadline": _duration_entry(qos.deadline.nanoseconds),
        "lifespan": _duration_entry(qos.lifespan.nanoseconds),
        "liveliness": qos.liveliness.name.lower(),
        "liveliness_lease_duration": _duration_entry(qos.liveliness_lease_duration.nanoseconds),
        "avoid_ros_namespace_conventions": qos.avoid_ros_namespace_conventions,
    }


def _duration_entry(nanoseconds: int) -> dict[str, int]:
    return {"sec": nanoseconds // 1_000_000_000, "nsec": nanoseconds % 1_000_000_000}
