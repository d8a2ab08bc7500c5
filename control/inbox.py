"""Inbox: what has arrived at a module, from which of its sources, and whether it is time to step.

Both runtimes put values in here and ask here, so the rule that decides when a module steps exists once.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence

from reflexarc.control.fallback import Fallback, base_port
from reflexarc.control.flow import Flow, ModuleSpec
from reflexarc.control.module import Inputs
from reflexarc.control.ports import Port, refusal, silence_s
from reflexarc.control.values import Value

__all__ = ["Inbox", "make_inbox"]

_UNPAIRED_LIMIT = 16
"""Values of one trigger port that wait for their partner; more than a camera has in flight at 60 Hz."""

_ABSENT_AFTER = 3
"""Steps in a row without a value, after which a port is not waited for until it speaks again in time."""


class Inbox:
    """Checks, keeps and pairs the values that arrive at one module.

    A module steps when every trigger port holds a value of one same stamp, or when its deadline has
    passed without that, and from then on at the trigger's own rate until it speaks again. A step takes the oldest
    such set; of the other ports it takes all that came.

    Where sets may be incomplete, a module also steps on what is there of the oldest stamp: when all have come that
    spoke lately, or when the caller says that no more is to be waited for (`is_final`). Nothing comes back to
    a stamp once it is done with.

    Of an input with several sources one is read at a time, see `fallback`; a change is counted.

    Args:
        ports: Per connected port, the port of its source.
        trigger: Ports that make the module step; more than one are paired by stamp.
        deadline_ns: Longest time from a step to one without its trigger, in ns of flow time, or None.
        may_lack: Whether a set may be incomplete.
    """

    def __init__(
        self,
        ports: Mapping[str, Port],
        trigger: Sequence[str],
        deadline_ns: int | None,
        *,
        may_lack: bool = False,
    ) -> None:
        self._ports = dict(ports)
        self._trigger = tuple(trigger)
        self._deadline_ns = deadline_ns
        rates = [port.rate_hz for name, port in ports.items() if base_port(name) in trigger and port.rate_hz]
        self._late_ns = deadline_ns
        if deadline_ns is not None and rates:
            self._late_ns = min(deadline_ns, round(1e9 / max(rates)))
        self._is_late = False
        self._may_lack = may_lack
        self._done_stamp: int | None = None
        self._lacked: Counter[str] = Counter()
        self._queues: dict[str, deque[Value]] = {base_port(name): deque() for name in ports}
        self._fallbacks = _fallbacks(ports)
        self._last_step_ns = 0
        self.rejections: Counter[str] = Counter()
        """Values that were refused, by `port: reason`."""
        self.late_steps = 0
        """Steps that the deadline caused, since nothing came."""

    def reset(self, now_ns: int) -> None:
        """Drop everything that waits; the deadline counts from now."""
        for queue in self._queues.values():
            queue.clear()
        for fallback in self._fallbacks.values():
            fallback.reset(now_ns)
        self._last_step_ns = now_ns
        self._is_late = False
        self._done_stamp = None

    def deliver(self, port: str, value: Value, now_ns: int) -> bool:
        """Take a value in, or refuse and count it.

        Args:
            port: The connected port.
            value: What came.
            now_ns: The flow's time.

        Returns:
            Whether it fits its port.
        """
        reason = refusal(self._ports[port], value)
        if reason is not None:
            self.refuse(port, reason)
            return False
        if (fallback := self._fallbacks.get(base_port(port))) is not None:
            before = fallback.chosen
            is_read = fallback.arrived(port, now_ns)
            if fallback.chosen != before:
                self.rejections[f"{base_port(port)}: changed to {fallback.chosen}"] += 1
            if not is_read:
                return True
            port = base_port(port)
        if self._may_lack and port in self._trigger:
            if self._done_stamp is not None and value.stamp_ns <= self._done_stamp:  # type: ignore[union-attr]
                self.refuse(port, "late")
                return False
            self._lacked[port] = 0
        queue = self._queues[port]
        queue.append(value)
        if len(self._trigger) > 1 and port in self._trigger and len(queue) > _UNPAIRED_LIMIT:
            queue.popleft()
            self.refuse(port, "unpaired")
        return True

    def refuse(self, port: str, reason: str) -> None:
        """Count a value that could not even be read."""
        self.rejections[f"{port}: {reason}"] += 1
        if (fallback := self._fallbacks.get(base_port(port))) is not None:
            fallback.refused(port)

    def trust(self, port: str, *, is_trusted: bool) -> None:
        """Say whether what comes at a connected port is as it was in training."""
        if (fallback := self._fallbacks.get(base_port(port))) is not None:
            fallback.trust(port, is_trusted=is_trusted)

    @property
    def sources(self) -> Mapping[str, str]:
        """Of each input that has several sources, the connected port that is read now."""
        return {name: fallback.chosen for name, fallback in self._fallbacks.items()}

    @property
    def is_waiting(self) -> bool:
        """Whether a set has begun, and could be stepped on as it is."""
        return self._may_lack and any(self._queues[name] for name in self._trigger)

    def is_ready(self, now_ns: int, *, is_final: bool = False) -> bool:
        """Whether the module is to step now."""
        return self._stamp(is_final) is not None or self._is_overdue(now_ns)

    def take(self, now_ns: int, *, is_final: bool = False) -> Inputs:
        """What the module steps on; to be called once per step, when `is_ready`."""
        stamp = self._stamp(is_final)
        self._last_step_ns = now_ns
        self._is_late = stamp is None
        self.late_steps += self._is_late
        taken = {name: self._take_port(name, stamp) for name in self._queues}
        if self._may_lack and stamp is not None:
            self._done_stamp = stamp
            self._lacked.update(name for name in self._trigger if not taken[name])
        return taken

    def _is_overdue(self, now_ns: int) -> bool:
        limit_ns = self._late_ns if self._is_late else self._deadline_ns
        return limit_ns is not None and now_ns - self._last_step_ns >= limit_ns

    def _stamp(self, is_final: bool) -> int | None:
        """The stamp to step on, or None."""
        if not self._may_lack:
            return self._matching_stamp()
        waiting = {name: {v.stamp_ns for v in self._queues[name]} for name in self._trigger}  # type: ignore[union-attr]
        oldest = min((min(stamps) for stamps in waiting.values() if stamps), default=None)
        awaited = [name for name in self._trigger if self._lacked[name] < _ABSENT_AFTER]
        is_complete = is_final or all(oldest in waiting[name] for name in awaited)
        return oldest if is_complete else None

    def _matching_stamp(self) -> int | None:
        """The oldest stamp that all trigger ports hold; any value will do where there is one trigger port."""
        first, *others = (self._queues[name] for name in self._trigger)
        if not others:
            return getattr(first[0], "stamp_ns", 0) if first else None
        common = {value.stamp_ns for value in first}  # type: ignore[union-attr]
        for queue in others:
            common &= {value.stamp_ns for value in queue}  # type: ignore[union-attr]
        return min(common, default=None)

    def _take_port(self, name: str, stamp: int | None) -> tuple[Value, ...]:
        queue = self._queues[name]
        if len(self._trigger) == 1 or name not in self._trigger:
            values = tuple(queue)
            queue.clear()
            return values
        if stamp is None:
            return ()
        taken = tuple(value for value in queue if value.stamp_ns == stamp)  # type: ignore[union-attr]
        newer = [value for value in queue if value.stamp_ns > stamp]  # type: ignore[union-attr]
        unpaired = len(queue) - len(taken) - len(newer)
        if unpaired:
            self.rejections[f"{name}: unpaired"] += unpaired
        queue.clear()
        queue.extend(newer)
        return taken


def _fallbacks(ports: Mapping[str, Port]) -> dict[str, Fallback]:
    connected: dict[str, dict[str, int | None]] = {}
    for name, port in ports.items():
        silence = silence_s(port)
        connected.setdefault(base_port(name), {})[name] = None if silence is None else round(silence * 1e9)
    return {name: Fallback(silences) for name, silences in connected.items() if len(silences) > 1}


def make_inbox(flow: Flow, spec: ModuleSpec) -> Inbox:
    """The inbox of a module, as its flow declares it."""
    return Inbox(
        {port: flow.port(source) for port, source in spec.inputs.items()},
        spec.trigger,
        None if spec.deadline_s is None else round(spec.deadline_s * 1e9),
        may_lack=spec.patience_s is not None,
    )
