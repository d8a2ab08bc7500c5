"""Replay: one module is given what it was given in a recording, and its outputs are compared with the recorded ones.

The node said what it stepped on (`nodes.steps`), so the order of steps, their times and the ends of episodes are known,
and each input is found among the recorded messages by its mark. What cannot be known is told and not judged: what a
module remembers from before the recording, and all that follows a step whose inputs were not recorded, until it
forgets the next time. In lock step, from the first whole episode on, nothing of that is left over.

Fields are compared, never the bytes of messages, whose padding is whatever was in memory.
"""

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from rclpy.serialization import deserialize_message
from std_msgs.msg import Int64MultiArray

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import ReflexarcError, ValueRefusedError
from reflexarc.control.fallback import base_port
from reflexarc.control.flow import Flow
from reflexarc.control.module import Module
from reflexarc.control.modules import make_module
from reflexarc.control.nodes.bag_reader import Bag
from reflexarc.control.nodes.description import steps_topic
from reflexarc.control.nodes.messages import from_message, message_class, to_message
from reflexarc.control.nodes.steps import (
    WITHOUT_STEP,
    Mark,
    Step,
    artifact_number,
    decode_steps,
    mark_of,
    step_ports,
)
from reflexarc.control.ports import Port
from reflexarc.control.values import Value

__all__ = ["ReplayResult", "first_difference", "replay"]

_NS = 1_000_000_000
_SETTLED_NS = 1_500_000_000
"""A step is replayed so long after it was told: a node tells late by a second at most, a message may come later."""
_KEPT_NS = 10_000_000_000
"""Recorded values are kept so long; the rest of a long bag does not fit into memory."""
_REMEMBERED = 1000
"""Replayed outputs that a message may be compared with."""

_BEFORE = "what the module remembered when the recording began is not known"
_AFTER_GAP = "it follows a step that could not be replayed"
_AFTER_SWAP = "it follows a swap, and what the newcomer remembered is not known"
_INJECTED = "an injected fault altered its outputs"


@dataclass
class ReplayResult:
    """What a replay came to.

    Args:
        module: Name of the module.
        artifact: Digest that was replayed, or None where it is not trained.
        is_same: Whether that is what made the recording, in all steps that were judged.
        steps: How many are recorded.
        judged: How many were compared: all of them have to be equal if `is_same`.
        equal: How many of these are equal, bit for bit.
        not_judged: The others, by reason.
        equal_anyway: How many of those that were replayed all the same are equal.
        foreign: Recorded messages that the module did not publish.
        first: The first difference, or nothing.
        differences: Per field of an output, largest difference of each judged step: p50 and p95.
    """

    module: str
    artifact: str | None
    is_same: bool = True
    steps: int = 0
    judged: int = 0
    equal: int = 0
    not_judged: dict[str, int] = field(default_factory=dict)
    equal_anyway: int = 0
    foreign: int = 0
    first: str = ""
    differences: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether something was judged, and nothing contradicts that the same artifact gives the same outputs."""
        return self.judged > 0 and (not self.is_same or (self.equal == self.judged and not self.foreign))

    def leave_out(self, reason: str) -> None:
        """Count a step that is not judged."""
        self.not_judged[reason] = self.not_judged.get(reason, 0) + 1


def replay(bag: Bag, flow: Flow, name: str, artifact: Artifact | None) -> ReplayResult:
    """Replay one module.

    Args:
        bag: The recording.
        flow: The flow.
        name: A module of it.
        artifact: What is to run, or None for a module that is not trained.

    Raises:
        ReflexarcError: The bag lacks topics of the module, or a file of it is damaged.
    """
    return _Replay(bag, flow, name, artifact).run()


def first_difference(recorded: Value, replayed: Value) -> str:
    """The first field in which two values of one type differ by a bit, or nothing."""
    for entry in fields(recorded):
        one, other = getattr(recorded, entry.name), getattr(replayed, entry.name)
        if not isinstance(one, np.ndarray):
            if one != other:
                return f"{entry.name} is {other}, recorded is {one}"
        elif one.shape != other.shape:
            return f"{entry.name} has shape {other.shape}, recorded is {one.shape}"
        elif one.tobytes() != other.tobytes():
            pairs = enumerate(zip(one.reshape(-1), other.reshape(-1), strict=True))
            index, (old, new) = next(pair for pair in pairs if pair[1][0].tobytes() != pair[1][1].tobytes())
            return f"{entry.name}[{index}] is {new}, recorded is {old}"
    return ""


class _Topic:
    """Recorded values of one topic, of the last seconds; those of a description for ever."""

    def __init__(self, port: Port) -> None:
        self._message = message_class(port.type)
        self.is_description = port.stream == "description"
        self._order: deque[tuple[int, Mark]] = deque()
        self._values: dict[Mark, tuple[int, Value]] = {}
        self.newest: Value | None = None

    def add(self, log_time_ns: int, data: bytes) -> Mark | None:
        """Take a message; its mark, or None where the node could not read it either."""
        try:
            value = from_message(deserialize_message(data, self._message))
        except ValueRefusedError:
            return None
        mark = mark_of(value)
        self._values[mark] = (log_time_ns, value)
        self.newest = value
        if not self.is_description:
            self._order.append((log_time_ns, mark))
        while self._order and log_time_ns - self._order[0][0] > _KEPT_NS:
            time_ns, old = self._order.popleft()
            if self._values[old][0] == time_ns:  # else the same came again, later
                del self._values[old]
        return mark

    def find(self, mark: Mark) -> Value | None:
        """The value of a mark, if it was recorded lately."""
        found = self._values.get(mark)
        return None if found is None else found[1]


class _Published:
    """Finds what was recorded of an output and not published by the module: altered, or a stranger's."""

    def __init__(self) -> None:
        self._recorded: list[tuple[int, Mark]] = []
        self._told: set[Mark] = set()
        self.replayed: dict[int, Value] = {}
        """The newest outputs, by stamp."""

    def record(self, log_time_ns: int, mark: Mark) -> None:
        self._recorded.append((log_time_ns, mark))

    def tell(self, mark: Mark) -> None:
        self._told.add(mark)

    def remember(self, value: Value) -> None:
        self.replayed[getattr(value, "stamp_ns", 0)] = value
        if len(self.replayed) > _REMEMBERED:
            del self.replayed[next(iter(self.replayed))]

    def foreign(self, spans: Sequence[tuple[int, int]]) -> list[tuple[int, Mark]]:
        """What nobody told of in times of which every step was told."""
        return [
            (time_ns, mark)
            for time_ns, mark in self._recorded
            if mark not in self._told and any(begin < time_ns < end for begin, end in spans)
        ]


class _Replay:
    """One replay, from the first message of a bag to the last."""

    def __init__(self, bag: Bag, flow: Flow, name: str, artifact: Artifact | None) -> None:
        self._bag, self._flow, self._name = bag, flow, name
        spec = flow.modules[name]
        self._digest = None if artifact is None else artifact.digest
        self._module: Module = make_module(spec, artifact)
        self._inputs, self._outputs = step_ports(spec)
        self._topics: dict[str, _Topic] = {}
        self._input_topics: dict[str, list[_Topic]] = {port: [] for port in self._inputs}
        for port, source in spec.inputs.items():
            self._input_topics[base_port(port)].append(self._open(flow.port(source)))
        self._output_topics = {port: self._open(declared) for port, declared in spec.outputs.items()}
        self._output_port = {
            self._topic_name(declared.topic): port for port, declared in spec.outputs.items()
        }
        self._published = {port: _Published() for port in self._outputs}
        self._steps_topic = self._topic_name(steps_topic(name))
        self._waiting: deque[tuple[int, Step]] = deque()
        self._spans: list[tuple[int, int]] = []
        self._span_begin_ns: int | None = None
        self._told_ns = 0
        self._next_serial: int | None = None
        self._unknown: str = _BEFORE
        self._number = 0
        self._ran: int | None = None
        self._errors: defaultdict[str, list[float]] = defaultdict(list)
        self._result = ReplayResult(module=name, artifact=self._digest)

    def run(self) -> ReplayResult:
        for message in self._bag.messages({*self._topics, self._steps_topic}):
            while self._waiting and message.log_time_ns - self._waiting[0][0] > _SETTLED_NS:
                self._step(self._waiting.popleft()[1])
            if message.topic == self._steps_topic:
                self._take_steps(message.log_time_ns, message.data)
                continue
            mark = self._topics[message.topic].add(message.log_time_ns, message.data)
            if mark is not None and message.topic in self._output_port:
                self._published[self._output_port[message.topic]].record(message.log_time_ns, mark)
        while self._waiting:
            self._step(self._waiting.popleft()[1])
        self._end_span()
        self._look_for_foreign()
        result = self._result
        result.differences = {
            name: tuple(np.percentile(values, [50, 95]).tolist())
            for name, values in sorted(self._errors.items())
        }
        return result

    # --- what is in the bag

    def _topic_name(self, relative: str) -> str:
        """The bag's topic of a relative name, whatever namespace the flow ran in."""
        found = [topic for topic in self._bag.types if topic.endswith(f"/{relative}")]
        if not found:
            raise ReflexarcError(
                f"{self._bag.path}: no topic {relative}, which {self._name} has in flow {self._flow.name}. "
                "Record it while the flow runs: `reflexarc record`."
            )
        return min(found, key=len)

    def _open(self, port: Port) -> _Topic:
        name = self._topic_name(port.topic)
        return self._topics.setdefault(name, _Topic(port))

    def _take_steps(self, log_time_ns: int, data: bytes) -> None:
        numbers = deserialize_message(data, Int64MultiArray).data
        try:
            steps = list(decode_steps(numbers, self._inputs, self._outputs))
        except ValueRefusedError as error:
            raise ReflexarcError(
                f"{self._bag.path}: steps of {self._name} are of another flow: {error}. Give its flow: --flow."
            ) from None
        for step in steps:
            if step.serial != self._next_serial:
                self._end_span()
                self._span_begin_ns = log_time_ns
            self._next_serial = step.serial + 1
            self._waiting.append((log_time_ns, step))
        self._told_ns = log_time_ns

    def _end_span(self) -> None:
        """All steps were told since the last gap; a second less at both ends, as messages of two topics overtake."""
        if self._span_begin_ns is not None:
            self._spans.append((self._span_begin_ns + _NS, self._told_ns - _NS))

    # --- steps

    def _step(self, step: Step) -> None:
        for port, mark in step.outputs.items():
            self._published[port].tell(mark)
        if step.number == WITHOUT_STEP:
            self._unknown = _AFTER_GAP
            return
        result = self._result
        result.steps += 1
        if step.number == 0:
            self._module.reset()
            self._unknown = ""
        elif self._ran is not None and step.artifact != self._ran:
            self._unknown = _AFTER_SWAP
        elif self._ran is not None and step.number != self._number + 1:
            self._unknown = self._unknown or _AFTER_GAP
        is_first = self._ran is None
        self._ran, self._number = step.artifact, step.number
        inputs: dict[str, tuple[Value, ...]] = {}
        for port, marks in step.inputs.items():
            found = [self._find(port, mark) for mark in marks]
            if None in found:
                result.leave_out(f"its {port} was not recorded")
                self._unknown = self._unknown or _AFTER_GAP
                return
            inputs[port] = tuple(value for value in found if value is not None)
        if is_first and self._unknown:
            inputs = {port: values or self._described(port) for port, values in inputs.items()}
        self._judge(step, self._run(inputs, step.now_ns))

    def _find(self, port: str, mark: Mark) -> Value | None:
        found = (topic.find(mark) for topic in self._input_topics[port])
        return next((value for value in found if value is not None), None)

    def _described(self, port: str) -> tuple[Value, ...]:
        """What the module was told once, before the recording began."""
        told = [topic.newest for topic in self._input_topics[port] if topic.is_description]
        return tuple(value for value in told if value is not None)

    def _run(self, inputs: Mapping[str, tuple[Value, ...]], now_ns: int) -> dict[str, Value]:
        """The outputs of a step as they come out of the codec."""
        try:
            outputs = self._module.step(inputs, now_ns)
        except Exception as error:  # whatever the code of a module raises; its node would have ended
            raise ReflexarcError(
                f"{self._name}: step at {now_ns * 1e-9:.3f} s raised {type(error).__name__}: {error}"
            ) from error
        made = {}
        for port, value in outputs.items():
            try:
                made[port] = from_message(to_message(value))
            except ValueRefusedError:
                continue  # as the node would not have published it
        return made

    def _judge(self, step: Step, made: Mapping[str, Value]) -> None:
        result = self._result
        for port, value in made.items():
            self._published[port].remember(value)
        differences = [self._difference(port, step, made.get(port)) for port in self._outputs]
        told = next((text for text in differences if text), "")
        if step.is_altered or self._unknown:
            result.leave_out(_INJECTED if step.is_altered else self._unknown)
            result.equal_anyway += not told
            return
        result.judged += 1
        result.equal += not told
        result.is_same &= step.artifact == artifact_number(self._digest)
        if told and not result.first:
            result.first = f"at {step.now_ns * 1e-9:.3f} s, {told}"
        for port, value in made.items():
            if port in step.outputs and (recorded := self._output_topics[port].find(step.outputs[port])):
                self._measure(port, recorded, value)

    def _difference(self, port: str, step: Step, made: Value | None) -> str:
        """What is different in an output, or nothing."""
        mark = step.outputs.get(port)
        if mark is None or made is None:
            if mark is None and made is None:
                return ""
            return f"{port} is missing" if made is None else f"{port} is new"
        if mark_of(made) == mark:
            return ""
        recorded = self._output_topics[port].find(mark)
        return (
            f"{port}.{first_difference(recorded, made)}"
            if recorded
            else f"{port} (its message was not recorded)"
        )

    def _measure(self, port: str, recorded: Value, made: Value) -> None:
        for entry in fields(recorded):
            one, other = getattr(recorded, entry.name), getattr(made, entry.name)
            if isinstance(one, np.ndarray) and one.shape == other.shape and one.size:
                apart = np.abs(one.astype(np.float64) - other.astype(np.float64))
                if np.isfinite(apart).any():
                    self._errors[f"{port}.{entry.name}"].append(float(np.nanmax(apart)))

    def _look_for_foreign(self) -> None:
        """Find recorded messages that the module did not publish."""
        for port, published in self._published.items():
            found = published.foreign(self._spans)
            self._result.foreign += len(found)
            if found and not self._result.first:
                _, mark = found[0]
                recorded, made = self._output_topics[port].find(mark), published.replayed.get(mark.stamp_ns)
                text = first_difference(recorded, made) if recorded and made else ""
                self._result.first = f"a message on {port} that {self._name} did not publish" + (
                    f": {text}" if text else ""
                )
