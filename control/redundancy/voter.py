"""Vote: whose output to use of parallel systems, who departs from its own approach, and which approach from the others.

A pure function over the outputs of one stamp. Two of three replicas decide within an approach, two of three approaches
between them. What was decided before enters as an explicit state, and only for hysteresis: a source is kept while
it is good, and who was wrong has to be right for a while before it counts again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import combinations
from typing import NamedTuple

import numpy as np

from reflexarc.control.redundancy.merging import information_of, intersect_covariances, mahalanobis_squared
from reflexarc.control.values import FloatArray

__all__ = [
    "Departure",
    "Member",
    "Output",
    "Status",
    "Tolerances",
    "Verdict",
    "VoterState",
    "distance_squared",
    "vote",
]


class Member(NamedTuple):
    """Who: a replica of an approach, counted from 1, or the approach as a whole (0)."""

    approach: str
    replica: int = 0

    def __str__(self) -> str:
        return f"{self.approach}_{self.replica}" if self.replica else self.approach


class Output(NamedTuple):
    """What a member says of one stamp.

    Attributes:
        mean: Shape (N,); of no meaning where nothing is known.
        covariance: Shape (N, N).
        is_known: False for 'I see nothing', which is an answer like any other.
    """

    mean: FloatArray
    covariance: FloatArray
    is_known: bool = True


@dataclass(frozen=True, kw_only=True)
class Tolerances:
    """When outputs are the same.

    Args:
        replica: By how much two replicas of one approach may differ, per component of the mean and of the standard
            deviation. Shape (N,).
        approach: Squared Mahalanobis distance up to which two approaches are similar. Their errors are of zero mean
            and N components, so without a fault it is rarely beyond the 0.999 quantile of chi-squared: 16.3 for
            N = 3, 22.5 for N = 6 (Bar-Shalom, Li, Kirubarajan, Estimation with applications to tracking and
            navigation, 2001, table 1.5.4).
        heal_after: Stamps for which one that was wrong has to be right before it counts again.
    """

    replica: FloatArray
    approach: float
    heal_after: int


class Status(str, Enum):
    """What an output stands on."""

    AGREED = "agreed"
    """All approaches, or the replicas of the only one."""
    DISSENT = "dissent"
    """Two approaches; the third differs, or has to prove itself."""
    UNCONFIRMED = "unconfirmed"
    """One that no other confirms, since no other speaks."""
    NO_MAJORITY = "no majority"
    """Nothing: there is no output."""


@dataclass(frozen=True)
class Departure:
    """Something that differs.

    Args:
        member: Who.
        reason: `silent`, `not finite` or `differs`.
        is_attributed: Whether it is known that this member is the wrong one; else it is only known that one is.
    """

    member: Member
    reason: str
    is_attributed: bool = True


@dataclass(frozen=True)
class VoterState:
    """What is remembered from stamp to stamp.

    Args:
        sources: Per approach, the replica that was used.
        probation: For how many more stamps somebody has to be right.
    """

    sources: Mapping[str, int] = field(default_factory=dict)
    probation: Mapping[Member, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a vote came to.

    Args:
        output: What to use; None without a majority.
        status: What that stands on.
        sources: Whose outputs are in it.
        faults: Replicas that depart from their approach.
        use_cases: Approaches that depart from the others.
        distance: Of the use case from the others, in standard deviations; infinite where one side knows nothing.
        state: For the next vote.
    """

    output: Output | None
    status: Status
    sources: tuple[Member, ...]
    faults: tuple[Departure, ...]
    use_cases: tuple[Departure, ...]
    distance: float
    state: VoterState


class _Voice(NamedTuple):
    """An approach that has an output."""

    member: Member
    output: Output
    is_trusted: bool


# Whoever is wrong may say numbers beyond all: then he differs, which is no news for a terminal.
@np.errstate(over="ignore", invalid="ignore")
def vote(
    outputs: Mapping[str, Sequence[Output | None]], tolerances: Tolerances, state: VoterState
) -> Verdict:
    """Judge what all members say of one stamp.

    Within an approach: of three replicas two that are equal outvote the third, which is a fault. Of two that
    differ nobody knows which is wrong, so the approach has no output. One that is left alone is used. Where a is
    equal to b and b to c, all three are, whatever a and c are.

    Between approaches: of three, the closest two, if they are similar, outvote the third: it is a use case if it is
    not similar to what they come to together. Of two that differ nobody knows which is wrong, and there is no
    output. Whoever was outvoted lately is listened to, but not merged, until it is healed.

    Args:
        outputs: Per approach, what each replica says; None for one that is silent. 'Known' and 'unknown' differ.
        tolerances: When outputs are the same.
        state: Of the last vote.
    """
    faults: list[Departure] = []
    voices: list[_Voice] = []
    sources: dict[str, int] = {}
    compared = _compare(outputs, tolerances.replica)
    for approach, replicas in outputs.items():
        chosen, found = _within(approach, replicas, compared, state)
        faults += found
        if chosen is not None:
            sources[approach] = chosen
            output = replicas[chosen - 1]
            assert output is not None
            voices.append(_Voice(Member(approach, chosen), output, not state.probation.get(Member(approach))))
    output, status, used, use_cases, distance = _between(voices, len(outputs), tolerances)
    wrong = {departure.member for departure in (*faults, *use_cases) if departure.is_attributed}
    probation = {
        member: left - 1 for member, left in state.probation.items() if left > 1 and member not in wrong
    }
    probation |= dict.fromkeys(wrong, tolerances.heal_after)
    return Verdict(
        output=output,
        status=status,
        sources=used,
        faults=tuple(faults),
        use_cases=use_cases,
        distance=distance,
        state=VoterState({**state.sources, **sources}, probation),
    )


# --- within an approach


class _Compared(NamedTuple):
    """All members that know something, compared at once: a call of numpy costs more than a matrix."""

    rows: Mapping[Member, int]
    is_equal: Sequence[Sequence[bool]]
    """Of two rows."""

    def are_equal(self, first: Member, second: Member) -> bool:
        """Whether two say the same; that they know nothing, too."""
        if first in self.rows and second in self.rows:
            return self.is_equal[self.rows[first]][self.rows[second]]
        return first not in self.rows and second not in self.rows


def _compare(outputs: Mapping[str, Sequence[Output | None]], tolerance: FloatArray) -> _Compared:
    known = {
        Member(approach, number): output
        for approach, replicas in outputs.items()
        for number, output in enumerate(replicas, start=1)
        if output is not None and output.is_known
    }
    if not _are_sound(list(known.values())):
        known = {member: output for member, output in known.items() if _are_sound([output])}
    if not known:
        return _Compared({}, [])
    means, covariances = _stacked(list(known.values()))
    said = np.concatenate([means, np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))], axis=1)
    is_equal = (np.abs(said[:, None] - said) <= np.concatenate([tolerance, tolerance])).all(axis=2)
    return _Compared({member: row for row, member in enumerate(known)}, is_equal.tolist())


def _are_sound(known: Sequence[Output]) -> bool:
    """Whether outputs can be compared."""
    if not known:
        return True
    means, covariances = _stacked(known)
    if not (np.isfinite(covariances).all() and np.isfinite(means).all()):
        return False
    try:
        np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        return False
    return True


def _stacked(known: Sequence[Output]) -> tuple[FloatArray, FloatArray]:
    """Means (K, N) and covariances (K, N, N)."""
    return np.array([output.mean for output in known]), np.array([output.covariance for output in known])


def _within(
    approach: str, replicas: Sequence[Output | None], compared: _Compared, state: VoterState
) -> tuple[int | None, list[Departure]]:
    """The replica to use, counted from 1, or None; and who departs."""
    faults = []
    present: list[Member] = []
    for number, output in enumerate(replicas, start=1):
        member = Member(approach, number)
        if output is None:
            faults.append(Departure(member, "silent"))
        elif output.is_known and member not in compared.rows:
            faults.append(Departure(member, "not finite"))
        else:
            present.append(member)
    if not present:
        return None, faults
    groups = [[other for other in present if compared.are_equal(one, other)] for one in present]
    group = max(groups, key=len)  # the first of the largest
    if len(group) == 1 and len(present) > 1:
        return None, [*faults, Departure(Member(approach), "differs", is_attributed=False)]
    faults += [Departure(member, "differs") for member in present if member not in group]
    trusted = [member for member in group if not state.probation.get(member)] or group
    last = Member(approach, state.sources.get(approach, 0))
    return (last if last in trusted else trusted[0]).replica, faults


# --- between approaches


_Between = tuple[Output | None, Status, tuple[Member, ...], tuple[Departure, ...], float]


def _between(voices: Sequence[_Voice], approaches: int, tolerances: Tolerances) -> _Between:
    if not voices:
        return None, Status.NO_MAJORITY, (), (), 0.0
    if len(voices) == 1:
        status = Status.AGREED if approaches == 1 else Status.UNCONFIRMED
        return voices[0].output, status, (voices[0].member,), (), 0.0
    distances = {
        (first, second): distance_squared(voices[first].output, voices[second].output)
        for first, second in combinations(range(len(voices)), 2)
    }
    closest = min(distances, key=lambda pair: distances[pair])
    if distances[closest] > tolerances.approach:
        unknown_which = tuple(
            Departure(Member(voice.member.approach), "differs", is_attributed=False) for voice in voices
        )
        return None, Status.NO_MAJORITY, (), unknown_which, float(np.sqrt(distances[closest]))
    merge = _Merge(voices)
    agreeing = [voices[index] for index in closest]
    others = [voice for voice in voices if voice not in agreeing]
    merged = merge(agreeing)
    for voice in others:
        distance = distance_squared(voice.output, merged)
        if distance > tolerances.approach:
            dissent = (Departure(Member(voice.member.approach), "differs"),)
            return merged, Status.DISSENT, _members(agreeing), dissent, float(np.sqrt(distance))
    trusted = [voice for voice in voices if voice.is_trusted]
    if len(trusted) < 2:
        trusted = agreeing
    status = Status.AGREED if len(trusted) == approaches else Status.DISSENT
    return merge(trusted), status, _members(trusted), (), 0.0


def _members(voices: Sequence[_Voice]) -> tuple[Member, ...]:
    return tuple(voice.member for voice in voices)


@np.errstate(over="ignore", invalid="ignore")
def distance_squared(first: Output, second: Output) -> float:
    """How far apart two outputs are, as a squared number of standard deviations; infinite if one knows nothing."""
    if not first.is_known and not second.is_known:
        return 0.0
    if first.is_known != second.is_known:
        return float("inf")
    return mahalanobis_squared(first.mean - second.mean, first.covariance, second.covariance)


class _Merge:
    """Merges voices that are similar, so that either all of them know something or none does."""

    def __init__(self, voices: Sequence[_Voice]) -> None:
        known = [voice for voice in voices if voice.output.is_known]
        self._rows = {voice.member: row for row, voice in enumerate(known)}
        self._estimates = information_of(*_stacked([voice.output for voice in known])) if known else None

    def __call__(self, voices: Sequence[_Voice]) -> Output:
        if self._estimates is None or not voices[0].output.is_known:
            return voices[0].output
        return Output(*intersect_covariances(self._estimates, [self._rows[voice.member] for voice in voices]))
