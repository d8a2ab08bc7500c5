"""Succession: one module takes the place of another while the flow runs, and gives it back on a fault.

A newcomer is first stepped in the shadow, on copies of the live inputs, and only checked. After enough good
steps it takes over between two steps, and then the old one is stepped on as well, so that it can take back
at any step with all that it would know. No output of a newcomer goes out unchecked before the watch is over.
"""

import copy
import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType

import numpy as np

from reflexarc.control.contracts import Assumption
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.ports import Port, refusal
from reflexarc.control.values import Image, Value
from reflexarc.control.watch import SuccessorWatch

__all__ = ["SLOW_LIMIT", "UNKNOWN_LIMIT", "WARM_STEPS", "WATCH_NS", "Phase", "Succession"]

WARM_STEPS = 100
"""Good steps before a newcomer takes over: one second at 100 Hz, two at 50 Hz. Nothing that a module of ours
remembers is older, as a thrown ball is seen for less than a second, so its state is then as warm as the old one's."""

WATCH_NS = 3_000_000_000
"""Flow time for which a newcomer is watched: two or three throws, each from the first sight to the catch."""

SLOW_LIMIT = 10
"""Steps in a row that are too long. A network that is too large is so in every step, and is found out in the shadow;
with 3, a machine with four times more work than cores took back 3 of 50 good newcomers."""

UNKNOWN_LIMIT = 15
"""Steps in a row in which the newcomer knows nothing and the old one does. They may differ by some frames where
something comes into view; 0.15 s at 100 Hz and 0.3 s at 50 Hz are more than that, and are how a blind network looks."""


class Phase(str, Enum):
    """How the last swap stands."""

    IDLE = "idle"
    WARMING = "warming"
    WATCHING = "watching"
    DONE = "done"
    REFUSED = "refused"
    ROLLED_BACK = "rolled back"


@dataclasses.dataclass(kw_only=True)
class _Step:
    """What one step of the two came to; None for what was not stepped yet."""

    inputs: Inputs
    now_ns: int
    old: Outputs | None = None
    old_ns: int = 0
    new: Outputs | None = None
    new_ns: int = 0


class Succession:
    """Stands where a module stood, and lets another take its place.

    The caller publishes what `step` returns and then calls `settle`, which does the part of a swap that the
    outputs need not wait for.

    Args:
        module: The module that serves.
        outputs: Its output ports as the flow declares them.
        slow_ns: A newcomer's step longer than this is too long, if the old one's was not.
        clock: Time in ns, to measure steps by.
    """

    def __init__(
        self,
        module: Module,
        outputs: Mapping[str, Port],
        slow_ns: int,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._old = module
        self._new: Module | None = None
        self._outputs = dict(outputs)
        self._slow_ns = slow_ns
        self._clock = clock
        self._last: dict[str, tuple[Value, ...]] = {}
        self._pending: _Step | None = None
        self._counted: Counter[str] = Counter()
        self.phase = Phase.IDLE
        self.reason = ""
        """Why the last newcomer was refused or rolled back."""

    @property
    def serving(self) -> Module:
        """The module whose outputs are published."""
        return self._new if self._new is not None and self.phase is Phase.WATCHING else self._old

    @property
    def is_under_way(self) -> bool:
        """Whether there are two."""
        return self._new is not None

    @property
    def rejections(self) -> Counter[str]:
        """What the serving module refused, and the swaps that failed, since this was made; it never shrinks."""
        total = Counter(self.serving.rejections)
        total.update(self._counted)
        return +total

    def begin(
        self, newcomer: Module, readers: Mapping[str, Mapping[str, Assumption]] = MappingProxyType({})
    ) -> None:
        """Step a newcomer in the shadow from the next step on; not while a swap `is_under_way`.

        Args:
            newcomer: Made, and not stepped yet.
            readers: Per output port, what each of its readers assumes, by the reader's name.
        """
        if self.is_under_way:
            raise RuntimeError("a swap is under way")
        self._new = newcomer
        self.phase, self.reason = Phase.WARMING, ""
        self._good_steps = self._slow_steps = self._unknown_steps = 0
        self._watch = SuccessorWatch(readers)

    def abandon(self, reason: str) -> None:
        """End a swap that is under way in favour of the old module, without counting it as a fault."""
        if self.is_under_way:
            self._end(Phase.ROLLED_BACK if self.phase is Phase.WATCHING else Phase.REFUSED, reason)

    def reset(self) -> None:
        """Make both forget."""
        self._pending = None
        self._old.reset()
        if self._new is not None:
            try:
                self._new.reset()
            except Exception as error:
                self._fail(f"reset raised {type(error).__name__}: {error}")

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """Outputs to publish now, checked if they are a newcomer's that is watched.

        Args:
            inputs: As for `Module.step`.
            now_ns: The flow's time, in ns.
        """
        self.settle()
        self._last.update({port: values[-1:] for port, values in inputs.items() if values})
        if self._new is None:
            return self._old.step(inputs, now_ns)
        # The newcomer gets copies, so that neither sees what the other may have written into them.
        step = _Step(inputs=self._copied(inputs), now_ns=now_ns)
        if self.phase is Phase.WARMING:
            step.old, step.old_ns = self._timed(self._old, inputs, now_ns)
            self._pending = step
            return step.old
        return self._watched(step, self._new, inputs)

    def settle(self) -> None:
        """Step the one whose outputs are not published, and let the swap go on or end."""
        step, self._pending = self._pending, None
        if step is None or self._new is None:
            return
        if self.phase is Phase.WARMING:
            assert step.old is not None
            fault = self._attempt(step, self._new) or self._missing(step.old, step.new)
            self._judge(step, fault)
            if self._new is not None:
                self._good_steps += 1
                if self._good_steps >= WARM_STEPS:
                    self._take_over(step.now_ns)
            return
        if step.old is None:
            try:
                step.old, step.old_ns = self._timed(self._old, step.inputs, step.now_ns)
            except Exception:  # it would have ended the node, so there is nothing left to go back to
                self._retire()
                return
        self._judge(step, None)
        if self._new is not None and step.now_ns - self._watched_since_ns >= WATCH_NS:
            self._retire()

    # --- the two phases

    def _watched(self, step: _Step, newcomer: Module, inputs: Inputs) -> Outputs:
        """The newcomer's outputs, or the old one's for the same inputs if they are bad."""
        fault = self._attempt(step, newcomer)
        step.inputs = inputs  # the newcomer has used the copies
        if fault is None and step.new is not None and len(step.new) < len(self._outputs):
            step.old, step.old_ns = self._timed(self._old, inputs, step.now_ns)
            fault = self._missing(step.old, step.new)
        if fault is None and step.new is not None:
            self._pending = step
            return step.new
        outputs = self._old.step(inputs, step.now_ns) if step.old is None else step.old
        self._fail(fault or "")
        return outputs

    def _take_over(self, now_ns: int) -> None:
        assert self._new is not None
        self._change_counts(self._old, self._new)
        self.phase = Phase.WATCHING
        self._watched_since_ns = now_ns
        self._slow_steps = self._unknown_steps = 0

    def _retire(self) -> None:
        """Drop the old one: the newcomer stays."""
        assert self._new is not None
        self._old, self._new = self._new, None
        self.phase = Phase.DONE

    def _fail(self, reason: str) -> None:
        """Drop the newcomer, since it is not fit to serve."""
        phase = Phase.ROLLED_BACK if self.phase is Phase.WATCHING else Phase.REFUSED
        self._end(phase, reason)
        self._counted[f"swap {phase.value}: {reason}"] += 1

    def _end(self, phase: Phase, reason: str) -> None:
        assert self._new is not None
        if phase is Phase.ROLLED_BACK:
            self._change_counts(self._new, self._old)
        self._new, self._pending = None, None
        self.phase, self.reason = phase, reason

    def _change_counts(self, before: Module, after: Module) -> None:
        """Keep the sum of counts as it is when the other module's counts come into it."""
        self._counted.update(before.rejections)
        self._counted.subtract(after.rejections)

    # --- one step

    def _copied(self, inputs: Inputs) -> Inputs:
        """Copies for the newcomer; in its first step also of what came once, or last, before it was there."""
        is_first = self.phase is Phase.WARMING and self._good_steps == 0
        return copy.deepcopy({p: v or (self._last.get(p, ()) if is_first else ()) for p, v in inputs.items()})

    def _timed(self, module: Module, inputs: Inputs, now_ns: int) -> tuple[Outputs, int]:
        begin_ns = self._clock()
        outputs = module.step(inputs, now_ns)
        return outputs, self._clock() - begin_ns

    def _attempt(self, step: _Step, newcomer: Module) -> str | None:
        """Step the newcomer; what is wrong with it, or None."""
        before = Counter(newcomer.rejections)
        try:
            step.new, step.new_ns = self._timed(newcomer, step.inputs, step.now_ns)
            for port, value in step.new.items():
                reason = self._refusal(port, value)
                if reason is not None:
                    return f"{port}: {reason}"
        except Exception as error:
            return f"step raised {type(error).__name__}: {error}"
        # What a module refuses of its own outputs it counts under their port, and then publishes less.
        own = [key for key in newcomer.rejections - before if key.partition(":")[0] in self._outputs]
        return own[0] if own else None

    def _refusal(self, port: str, value: Value) -> str | None:
        if port not in self._outputs:
            return "no such output"
        return refusal(self._outputs[port], value) or (None if _is_finite(value) else "not finite")

    def _missing(self, old: Outputs, new: Outputs | None) -> str | None:
        missing = [port for port in old if new is None or port not in new]
        return f"{missing[0]}: no value, where the old module gives one" if missing else None

    def _judge(self, step: _Step, fault: str | None) -> None:
        """End the swap on a fault, or on what is a fault once it lasts."""
        if fault is None:
            assert step.old is not None
            assert step.new is not None
            # Where both are slow it is the machine, which says nothing of the newcomer.
            if step.new_ns <= self._slow_ns:
                self._slow_steps = 0
            elif step.old_ns <= self._slow_ns:
                self._slow_steps += 1
            unknown = [port for port in step.old if _is_known(step.old[port])]
            unknown = [port for port in unknown if not _is_known(step.new[port])]
            self._unknown_steps = self._unknown_steps + 1 if unknown else 0
            if self._slow_steps >= SLOW_LIMIT:
                fault = f"{SLOW_LIMIT} steps in a row took longer than {self._slow_ns * 1e-6:g} ms"
            elif self._unknown_steps >= UNKNOWN_LIMIT:
                fault = f"{unknown[0]}: unknown {UNKNOWN_LIMIT} times in a row, where the old module knows it"
            for port in step.old:
                left = self._watch.take(port, step.old[port], step.new[port])
                fault = fault or (f"{port}: {left}" if left else None)
        if fault is not None:
            self._fail(fault)


def _is_known(value: Value) -> bool:
    return bool(getattr(value, "is_known", True))


def _is_finite(value: Value) -> bool:
    """Whether all numbers of a value are; NaN is how an image and what is not known say 'nothing'."""
    if isinstance(value, Image) or not _is_known(value):
        return True
    arrays = (getattr(value, field.name) for field in dataclasses.fields(value))
    return all(np.isfinite(a).all() for a in arrays if isinstance(a, np.ndarray) and a.dtype.kind == "f")
