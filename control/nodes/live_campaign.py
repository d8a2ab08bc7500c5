"""Live campaign: faults in a flow that runs in real time, its processes really killed and frozen.

Each fault has four episodes of the same throw: one without it, one in which it begins, and two in which all may come
back. A thread beside the launcher injects it, and listens to what the nodes say of each other.
"""

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.campaign import Injection, Outcome, is_named
from reflexarc.control.errors import ReflexarcError, ValueRefusedError
from reflexarc.control.flow import Flow
from reflexarc.control.nodes.bringup import Status, run_ros
from reflexarc.control.nodes.health import HEALED
from reflexarc.control.nodes.running import RunningFlow, running_flows
from reflexarc.control.nodes.strike import SIGNALS, strike
from reflexarc.control.run_result import Episode
from reflexarc.control.values import Diagnostic

if TYPE_CHECKING:
    from rclpy.executors import Executor
    from rclpy.node import Node

__all__ = ["run_live_campaign"]

_EPISODES = 4
"""Per fault: without it, with it, and two to come back in: a killed process takes some 2 s."""

_POLL_S = 0.02
_LAST_WORDS_S = 5.0
"""What the last fault came to is known soon after the last episode."""


def run_live_campaign(
    flow: Flow,
    injections: Sequence[Injection],
    store: Path = SHIPPED_STORE,
    real_time_factor: float = 1.0,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Inject one fault after the other.

    Args:
        flow: The flow.
        injections: From `plan_injections`.
        store: Folder of the artifacts.
        real_time_factor: How fast the twin's clock goes.
        on_outcome: Called after each.

    Raises:
        ReflexarcError: The flow cannot start or go on, or a fault cannot be injected.
    """
    seeds = [injection.seed for injection in injections for _ in range(_EPISODES)]
    saboteur = _Saboteur(flow, injections, real_time_factor, on_outcome)
    try:
        run_ros(flow, seeds, "realtime", saboteur.take, store, real_time_factor)
    finally:
        saboteur.end()
    return saboteur.outcomes


class _EndedError(Exception):
    """The run is over."""


class _Saboteur(threading.Thread):
    """Injects the faults, while the launcher runs in the thread that made this one."""

    def __init__(
        self,
        flow: Flow,
        injections: Sequence[Injection],
        real_time_factor: float,
        on_outcome: Callable[[Outcome], None],
    ) -> None:
        super().__init__(daemon=True)
        self._flow, self._injections, self._on_outcome = flow, injections, on_outcome
        self._factor = real_time_factor
        self._episodes: Sequence[Episode] = ()
        self._is_over = threading.Event()
        self._failure: ReflexarcError | None = None
        self.outcomes: list[Outcome] = []

    def take(self, status: Status) -> None:
        """How the run stands, from the launcher."""
        self._episodes = status.episodes
        if status.phase == "running" and self.ident is None:
            self.start()

    def end(self) -> None:
        """The run is over.

        Raises:
            ReflexarcError: A fault could not be injected.
        """
        self._is_over.set()
        if self.ident is not None:
            self.join(_LAST_WORDS_S)
        if self._failure is not None:
            raise self._failure

    def run(self) -> None:
        """Inject one after the other."""
        from reflexarc.control.nodes.module_client import guest  # noqa: PLC0415 needs ROS 2

        try:
            running = self._found()
            with guest("campaign") as (node, executor):
                accuser = _Accuser(node, executor)
                for number, injection in enumerate(self._injections):
                    outcome = self._one(number * _EPISODES, injection, accuser, running)
                    self.outcomes.append(outcome)
                    self._on_outcome(outcome)
        except _EndedError:
            return
        except ReflexarcError as error:
            self._failure = error

    def _found(self) -> RunningFlow:
        while True:
            for running in running_flows():
                if running.pid == os.getpid():
                    return running
            self._check()
            time.sleep(_POLL_S)

    def _one(self, first: int, injection: Injection, accuser: "_Accuser", running: RunningFlow) -> Outcome:
        self._await_episode(first, accuser)
        accuser.begin()
        self._await_episode(first + 1, accuser)
        begins_s = sum(episode.ticks for episode in self._episodes[: first + 1]) * self._flow.tick_ns * 1e-9
        # Between episodes the twin waits for whoever is away, and nobody misses him.
        self._await_time(begins_s, accuser)
        accuser.end_of_quiet()
        fault = injection.fault
        if fault.kind in SIGNALS:
            self._await_time(begins_s + fault.at_s, accuser)
            begun_at = time.monotonic()
            strike(
                [running.pid_of(name) for name in injection.modules],
                fault.model_copy(update={"for_s": fault.for_s / self._factor}),
                lambda seconds: self._spin_until(time.monotonic() + seconds, accuser),
            )
            over_at = time.monotonic()
        else:
            begun_at = time.monotonic() + fault.at_s / self._factor
            for name in injection.modules:
                accuser.inject(name, fault.model_dump_json())
            over_at = begun_at + fault.for_s / self._factor
        self._await_episode(first + 2, accuser)
        ended_at = time.monotonic()
        scores = [dict(self._episodes[first + index].score) for index in (0, 1)]
        self._await_episode(first + _EPISODES, accuser)
        # Approaches dissent by themselves now and then. What is said of others therefore counts in the same throw
        # as was played without the fault, and if it was not said there.
        told = {
            line: at
            for line, at in accuser.told().items()
            if _concerns(line, injection) or (at <= ended_at and line not in accuser.usual_findings)
        }
        mine = [at for line, at in told.items() if _concerns(line, injection)]
        healed_at = accuser.healed_at()
        return Outcome(
            injection=injection,
            score_fault_free=scores[0],
            score=scores[1],
            told=tuple(sorted(told)),
            detected_after_s=self._factor * max(0.0, min(mine) - begun_at) if mine else None,
            recovered_after_s=None if healed_at is None else self._factor * max(0.0, healed_at - over_at),
            is_named=None if injection.told_as is None else is_named(injection, tuple(told)),
        )

    def _await_episode(self, count: int, accuser: "_Accuser") -> None:
        """Listen until so many episodes are over."""
        while len(self._episodes) < count:
            self._check()
            accuser.listen()

    def _await_time(self, flow_s: float, accuser: "_Accuser") -> None:
        """Listen until the twin's clock says so much."""
        while accuser.flow_s < flow_s:
            self._check()
            accuser.listen()

    def _spin_until(self, until: float, accuser: "_Accuser") -> None:
        while time.monotonic() < until:
            accuser.listen()

    def _check(self) -> None:
        if self._is_over.is_set():
            raise _EndedError


def _concerns(line: str, injection: Injection) -> bool:
    """Whether something that was told is about those who were hit; where no voter stands behind them, all is."""
    if injection.told_as is None:
        return True
    voter, member, _ = injection.told_as.split(": ")
    return line.startswith((f"{voter}: {member}:", f"{voter}: {member}_"))


class _Accuser:
    """Listens to health reports: who accuses whom, and what is counted that was not before the fault."""

    def __init__(self, node: "Node", executor: "Executor") -> None:
        from rclpy.parameter import Parameter  # noqa: PLC0415 needs ROS 2

        from reflexarc.control.nodes.module_client import ModuleClient  # noqa: PLC0415

        node.set_parameters([Parameter("use_sim_time", value=True)])
        self._clock = node.get_clock()
        self._executor = executor
        self._client = ModuleClient(node, executor, on_line=self._hear)
        self._usual: set[str] = set()
        """What nodes count without any fault."""
        self.usual_findings: set[str] = set()
        """What voters find in the episode without a fault: an approach may differ by itself."""
        self._counts: dict[str, Counter[str]] = {}
        self._told: dict[str, float] = {}
        self._open: set[str] = set()
        self._healed_at: float | None = None
        self._is_quiet = True

    def listen(self) -> None:
        """Take in what has come."""
        self._executor.spin_once(timeout_sec=_POLL_S)

    @property
    def flow_s(self) -> float:
        """The flow's time, as the twin last told it."""
        return float(self._clock.now().nanoseconds * 1e-9)

    def begin(self) -> None:
        """An episode without a fault begins."""
        self._is_quiet = True
        self.usual_findings.clear()

    def end_of_quiet(self) -> None:
        """The fault comes."""
        self._is_quiet = False
        self._told.clear()
        self._healed_at = None

    def inject(self, module: str, fault: str) -> None:
        """Set the parameter of a module.

        Raises:
            ValueRefusedError: It refuses.
        """
        from reflexarc.control.nodes.injected_fault import PARAMETER  # noqa: PLC0415 needs ROS 2

        if refused := self._client.set_parameter(module, PARAMETER, fault):
            raise ValueRefusedError(refused)

    def told(self) -> dict[str, float]:
        """What was told since the fault came, as `node: reason`, and when it was first told."""
        return dict(self._told)

    def healed_at(self) -> float | None:
        """When the last accusation was over; None if there was none, or one is not."""
        return None if self._open else self._healed_at

    def _hear(self, line: Diagnostic) -> None:
        now = time.monotonic()
        node, _, member = line.name.partition("/")
        if member:
            self._take_finding(f"{node}: {member}", line.message, now)
        else:
            self._take_counts(node, Counter({k: int(v) for k, v in line.figures if v.isdigit()}), now)

    def _take_finding(self, who: str, what: str, now: float) -> None:
        if what != HEALED:
            self._open.add(who)
            if self._is_quiet:
                self.usual_findings.add(f"{who}: {what}")
            else:
                self._told.setdefault(f"{who}: {what}", now)
        elif who in self._open:
            self._open.discard(who)
            self._healed_at = now

    def _take_counts(self, node: str, counts: Counter[str], now: float) -> None:
        before = self._counts.get(node, Counter())
        self._counts[node] = counts
        for reason in counts - before if before else ():
            line = f"{node}: {reason}"
            if self._is_quiet:
                self._usual.add(line)
            elif line not in self._usual:
                self._told.setdefault(line, now)
