"""Steps: what a module's node stepped on and what came out, so that a recording can be replayed exactly.

A module's outputs depend on nothing but the order of its steps, each with its inputs and its time, since it last
forgot. In which order values reach a node in real time is seen by that node alone, so it says it itself: on
`<node>/steps`, as `std_msgs/Int64MultiArray`, while somebody listens. A value is named by its stamp and a checksum of
its fields, by which a reader finds it again among the recorded messages. `nodes.replay` is that reader.
"""

import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from std_msgs.msg import Int64MultiArray

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.fallback import base_port
from reflexarc.control.flow import ModuleSpec
from reflexarc.control.module import Inputs
from reflexarc.control.nodes.description import steps_topic
from reflexarc.control.nodes.lockstep import fingerprint
from reflexarc.control.nodes.messages import from_message
from reflexarc.control.values import Value

__all__ = [
    "WITHOUT_STEP",
    "Mark",
    "Step",
    "StepTeller",
    "artifact_number",
    "decode_steps",
    "encode_step",
    "mark_of",
    "step_ports",
]

_TOLD_EVERY_S = 0.1
"""Steps go out together: at 100 Hz a message for each would cost the recorder as much as the joint states do."""

_NO_STAMP = -1

WITHOUT_STEP = -1
"""Number of what was published without a step."""


class Mark(NamedTuple):
    """Names one value of one port.

    Attributes:
        stamp_ns: Its stamp, or -1 where its type has none.
        checksum: CRC-32 over its fields.
    """

    stamp_ns: int
    checksum: int


@dataclass(frozen=True)
class Step:
    """One step of a module.

    Args:
        serial: Counted since the node was configured, so that one that is missing is noticed.
        number: Counted since the module last forgot; 0 is the first, -1 what was published without a step.
        now_ns: Flow time.
        artifact: `artifact_number` of what ran.
        is_altered: Whether an injected fault may have altered the outputs.
        inputs: Per input port, what the module was given, oldest first.
        outputs: Per output port that was published, what.
    """

    serial: int
    number: int
    now_ns: int
    artifact: int
    is_altered: bool
    inputs: Mapping[str, tuple[Mark, ...]]
    outputs: Mapping[str, Mark]


def step_ports(spec: ModuleSpec) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Input and output ports of a module, in the order in which its steps name them."""
    return tuple(dict.fromkeys(base_port(name) for name in spec.inputs)), tuple(spec.outputs)


def artifact_number(digest: str | None) -> int:
    """The first 60 bits of a digest; 0 for a module that is not trained."""
    return int(digest[:15], 16) if digest else 0


def mark_of(value: Value) -> Mark:
    """The mark of a value that came out of the codec."""
    return Mark(getattr(value, "stamp_ns", _NO_STAMP), fingerprint(value))


def encode_step(step: Step, inputs: Sequence[str], outputs: Sequence[str]) -> list[int]:
    """A step as plain integers: four of its own, then per port a count and that many marks."""
    data = [step.number, step.now_ns, step.artifact, int(step.is_altered)]
    for port in inputs:
        marks = step.inputs.get(port, ())
        data.append(len(marks))
        for mark in marks:
            data += mark
    for port in outputs:
        data += (1, *step.outputs[port]) if port in step.outputs else (0,)
    return data


def decode_steps(data: Sequence[int], inputs: Sequence[str], outputs: Sequence[str]) -> Iterator[Step]:
    """The steps of one message: the serial of the first, and what `encode_step` made of each.

    Raises:
        ValueRefusedError: The numbers are no steps of a module with these ports.
    """
    position = 0

    def take(count: int) -> list[int]:
        nonlocal position
        if not 0 <= count <= len(data) - position:
            raise ValueRefusedError(
                f"{len(data)} numbers are no steps of {len(inputs)} inputs and {len(outputs)} outputs"
            )
        position += count
        return list(data[position - count : position])

    def marks() -> tuple[Mark, ...]:
        (count,) = take(1)
        numbers = take(2 * count)
        return tuple(Mark(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True))

    (serial,) = take(1)
    while position < len(data):
        number, now_ns, artifact, is_altered = take(4)
        given = {port: marks() for port in inputs}
        made = {port: found[0] for port in outputs if (found := marks())}
        yield Step(serial, number, now_ns, artifact, bool(is_altered), given, made)
        serial += 1


class StepTeller:
    """Publishes a node's steps while somebody listens.

    Args:
        node: The node.
        spec: Its module's part of the flow.
    """

    def __init__(self, node: Node, spec: ModuleSpec) -> None:
        self._node = node
        self._inputs, self._outputs = step_ports(spec)
        qos = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=100, reliability=ReliabilityPolicy.RELIABLE)
        self._publisher = node.create_publisher(Int64MultiArray, steps_topic(spec.name), qos)
        self._number = self._serial = 0
        self._told = array("q")
        self._told_at = time.monotonic()

    def forgot(self) -> None:
        """The module was reset: its next step is the first one."""
        self._number = 0

    def lose_track(self) -> None:
        """People had a hand in the next step, which a recording does not show: none is judged until a reset."""
        self.flush()  # a message gives only the serial of its first step
        self._serial += 1

    def tell(
        self,
        inputs: Inputs,
        now_ns: int,
        messages: Mapping[str, Any],
        artifact: str | None,
        *,
        is_altered: bool,
    ) -> None:
        """Say what a step was.

        Args:
            inputs: What the module was given.
            now_ns: Flow time.
            messages: What was published, per output port.
            artifact: Digest of what ran, or None where it is not trained.
            is_altered: Whether an injected fault may have altered the outputs.
        """
        number, self._number = self._number, self._number + 1
        self._append(number, inputs, now_ns, messages, artifact, is_altered)
        if self._told and time.monotonic() - self._told_at >= _TOLD_EVERY_S:
            self.flush()

    def tell_published(self, now_ns: int, messages: Mapping[str, Any]) -> None:
        """Say what was published without a step: how a guard brings a robot to rest, and its last command."""
        self._append(WITHOUT_STEP, {}, now_ns, messages, None, False)

    def _append(
        self,
        number: int,
        inputs: Inputs,
        now_ns: int,
        messages: Mapping[str, Any],
        artifact: str | None,
        is_altered: bool,
    ) -> None:
        serial, self._serial = self._serial, self._serial + 1
        if not self._publisher.get_subscription_count():
            self._told = array("q")
            return
        step = Step(
            serial=serial,
            number=number,
            now_ns=now_ns,
            artifact=artifact_number(artifact),
            is_altered=is_altered,
            inputs={port: tuple(map(mark_of, values)) for port, values in inputs.items()},
            outputs={port: mark_of(from_message(message)) for port, message in messages.items()},
        )
        if not self._told:
            self._told.append(serial)
        self._told.extend(encode_step(step, self._inputs, self._outputs))

    def flush(self) -> None:
        """Publish what waits."""
        if self._told:
            self._publisher.publish(Int64MultiArray(data=self._told))
            self._told = array("q")
        self._told_at = time.monotonic()

    def close(self) -> None:
        """Free the topic."""
        self._node.destroy_publisher(self._publisher)
