"""Campaign: many episodes with one fault each, in lock step in one process, and what the flow made of them.

Every episode is played twice, without and with its fault, so what the fault changed is known.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reflexarc.control.errors import ValueRefusedError, did_you_mean
from reflexarc.control.flow import Flow
from reflexarc.control.local import LocalRuntime
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.modules import module_class
from reflexarc.control.modules.guard import Guard
from reflexarc.control.modules.voter import Voter
from reflexarc.control.plant import Plant
from reflexarc.control.redundancy.fault_kind import FaultKind
from reflexarc.control.redundancy.faults import Fault, FaultInjector

__all__ = ["Injection", "Outcome", "is_named", "plan_injections", "run_campaign"]

_AT_S, _FOR_S = (0.1, 0.5), (0.1, 0.4)
"""Within a throw, which takes 0.6 to 0.9 s."""

_RANDOM_STATE_MAX = 2**31


@dataclass(frozen=True, kw_only=True)
class Injection:
    """One fault in one episode.

    Args:
        seed: Of the episode.
        target: What it hits: a module, or an approach with all of its replicas.
        modules: Whose outputs go wrong.
        told_as: How a voter is to tell it, or None where no voter stands behind these modules.
        fault: What goes wrong.
    """

    seed: int
    target: str
    modules: tuple[str, ...]
    told_as: str | None
    fault: Fault


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an injection came to.

    Args:
        injection: What was done.
        score_fault_free: Of the episode without it.
        score: Of the episode with it.
        told: What was counted with the fault and not without, as `node: reason`.
        detected_after_s: Flow time from the fault's begin to the first of these; None if there was none.
        recovered_after_s: Flow time from the fault's end until no voter holds anything against anybody; None where
            there is no voter, or the episode was over before.
        is_named: Whether a voter told it as what it is, and accused nobody else; None where there is no voter.
    """

    injection: Injection
    score_fault_free: Mapping[str, float]
    score: Mapping[str, float]
    told: tuple[str, ...]
    detected_after_s: float | None
    recovered_after_s: float | None
    is_named: bool | None

    @property
    def is_masked(self) -> bool:
        """Whether the task was done as well as without the fault."""
        return (
            all(
                self.score[name] >= value
                for name, value in self.score_fault_free.items()
                if name == "catch_rate"
            )
            and self.score["unsafe_commands"] <= self.score_fault_free["unsafe_commands"]
        )


def plan_injections(
    flow: Flow, seeds: Sequence[int], seed: int, modules: Sequence[str] = ()
) -> list[Injection]:
    """One fault per episode: kind, target and times drawn, every kind equally often.

    Args:
        flow: The flow.
        seeds: Of the episodes.
        seed: Decides the faults.
        modules: What may be hit; empty for the members and approaches behind the flow's voters, or where there are
            none for all of its trained modules.

    Raises:
        ValueRefusedError: A module is unknown, or is the guard.
    """
    targets = _targets(flow)
    if modules:
        for name in modules:
            _require_target(flow, name)
        targets = [target for target in targets if target[0] in modules] + [
            (name, (name,), None) for name in modules if name not in {target[0] for target in targets}
        ]
    elif voted := [target for target in targets if target[2] is not None]:
        targets = voted
    rng = np.random.default_rng(seed)
    kinds = list(FaultKind)
    injections = []
    for index, episode in enumerate(seeds):
        target, hit, told_as = targets[rng.integers(len(targets))]
        fault = Fault(
            kind=kinds[index % len(kinds)],
            at_s=float(rng.uniform(*_AT_S)),
            for_s=float(rng.uniform(*_FOR_S)),
            seed=int(rng.integers(_RANDOM_STATE_MAX)),
        )
        injections.append(Injection(seed=episode, target=target, modules=hit, told_as=told_as, fault=fault))
    return injections


def run_campaign(
    flow: Flow,
    made: Mapping[str, Module],
    plant: Plant,
    injections: Sequence[Injection],
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Play every episode without and with its fault.

    Args:
        flow: The flow.
        made: Its modules.
        plant: What closes the loop.
        injections: From `plan_injections`.
        on_outcome: Called after each.
    """
    voters = [module for module in made.values() if isinstance(module, Voter)]
    modules = {name: _Faulty(module) for name, module in made.items()}
    runtime = LocalRuntime(flow, modules, plant)
    outcomes = []
    for injection in injections:
        without = _play(runtime, injection.seed)
        score_fault_free = dict(plant.score())
        begin_ns = runtime.now_ns
        for name in injection.modules:
            modules[name].injector = FaultInjector(injection.fault, begin_ns)
        witness = _Witness(runtime, voters, without, injection.fault)
        counted = _play(runtime, injection.seed, witness)
        for name in injection.modules:
            modules[name].injector = None
        told = tuple(sorted(counted - without))
        outcomes.append(
            Outcome(
                injection=injection,
                score_fault_free=score_fault_free,
                score=dict(plant.score()),
                told=told,
                detected_after_s=witness.detected_after_s,
                recovered_after_s=witness.recovered_after_s,
                is_named=None if injection.told_as is None else is_named(injection, told),
            )
        )
        on_outcome(outcomes[-1])
    return outcomes


class _Faulty(Module):
    """A module whose outputs may go wrong."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self.injector: FaultInjector | None = None

    @property
    def rejections(self) -> Counter[str]:
        return self._module.rejections

    def reset(self) -> None:
        self._has_forgotten = False
        self._module.reset()

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        if self.injector is None:
            return self._module.step(inputs, now_ns)
        if self.injector.forgets(now_ns) and not self._has_forgotten:
            self._module.reset()
            self._has_forgotten = True
        return self.injector.apply(self._module.step(inputs, now_ns), now_ns)


class _Witness:
    """Looks after each tick whether the fault is detected, and later whether all is well again."""

    def __init__(
        self, runtime: LocalRuntime, voters: Sequence[Voter], without: Counter[str], fault: Fault
    ) -> None:
        self._runtime, self._voters, self._without = runtime, voters, without
        self._before = runtime.rejections()
        self._fault_ns = runtime.now_ns + round(fault.at_s * 1e9)
        self._healed_ns = self._fault_ns + round(fault.for_s * 1e9)
        self.detected_after_s: float | None = None
        self.recovered_after_s: float | None = None

    def __call__(self, now_ns: int) -> None:
        if now_ns < self._fault_ns:
            return
        if self.detected_after_s is None:
            if (self._runtime.rejections() - self._before) - self._without:
                self.detected_after_s = (now_ns - self._fault_ns) * 1e-9
            return
        is_well = self._voters and not any(voter.departures.open for voter in self._voters)
        if self.recovered_after_s is None and now_ns >= self._healed_ns and is_well:
            self.recovered_after_s = (now_ns - self._healed_ns) * 1e-9


def _play(runtime: LocalRuntime, seed: int, on_tick: Callable[[int], None] | None = None) -> Counter[str]:
    """One episode; all that was counted in it."""
    before = runtime.rejections()
    runtime.run_episode(seed, on_tick)
    return runtime.rejections() - before


def _targets(flow: Flow) -> list[tuple[str, tuple[str, ...], str | None]]:
    """Everything that may be hit: its name, whose outputs go wrong, and how a voter is to tell it."""
    targets: list[tuple[str, tuple[str, ...], str | None]] = []
    for name, spec in flow.modules.items():
        kind = module_class(spec.kind)
        if issubclass(kind, Voter):
            approaches: dict[str, list[str]] = {}
            for port, source in spec.inputs.items():
                approaches.setdefault(port.rpartition("_")[0], []).append(source.node)
            can_tell_use_cases = len(approaches) > 2
            for approach, members in approaches.items():
                is_alone = can_tell_use_cases and len(members) == 1
                if not is_alone:  # of one replica nobody can tell whether it or its approach is wrong
                    targets += [
                        (member, (member,), f"{name}: {approach}_{number}: fault")
                        for number, member in enumerate(members, start=1)
                    ]
                if can_tell_use_cases:
                    target = members[0] if is_alone else f"{name}.{approach}"
                    targets.append((target, tuple(members), f"{name}: {approach}: use case"))
        elif not issubclass(kind, Guard):
            targets.append((name, (name,), None))
    voted = {module for _, modules, told_as in targets if told_as for module in modules}
    return [target for target in targets if target[2] is not None or target[0] not in voted]


def _require_target(flow: Flow, name: str) -> None:
    known = [target for target, _, _ in _targets(flow)]
    if name in flow.modules and issubclass(module_class(flow.modules[name].kind), Guard):
        raise ValueRefusedError(f"{name}: is what keeps the robot safe. Faults are injected before it.")
    if name not in known and name not in flow.modules:
        raise ValueRefusedError(f"{flow.name}: no module '{name}' to hit. {did_you_mean(name, known)}")


def is_named(injection: Injection, told: Sequence[str]) -> bool:
    """Whether the voter accuses who is wrong, and nobody else."""
    assert injection.told_as is not None
    accused = {line for line in told if ": fault" in line or line.endswith(": use case")}
    meant = {line for line in accused if line.startswith(injection.told_as)}
    if injection.told_as.endswith("use case"):
        # A whole approach that is silent, or gives no numbers, is told member by member: nobody could hold it
        # for a difference of opinion.
        voter, approach, _ = injection.told_as.split(": ")
        meant |= {line for line in accused if line.startswith(f"{voter}: {approach}_")}
    return bool(meant) and accused == meant
