"""What a run of a flow comes to, whichever runtime ran it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from reflexarc.control.trace import StepRecord

__all__ = ["Episode", "RunResult"]


@dataclass(frozen=True)
class Episode:
    """One episode.

    Args:
        seed: What decided it.
        ticks: How long it took.
        score: Name to figure, as the plant gives it; includes `unsafe_commands`.
    """

    seed: int
    ticks: int
    score: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """One run.

    Args:
        episodes: In order.
        trajectory_sha256: Over all accepted commands and plant states.
        missed_deadlines: Ticks without a fresh command for the plant.
        records: Steps per module.
        rejections: Per module, count per reason of values that were refused.
        clock_at: Monotonic ns at which the plant passed each flow time; None where time is simulated.
        artifacts: Digest of what a trained module ran at the end, where it can be swapped.
    """

    episodes: Sequence[Episode]
    trajectory_sha256: str
    missed_deadlines: int
    records: Mapping[str, Sequence[StepRecord]]
    rejections: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    clock_at: Mapping[int, int] | None = None
    artifacts: Mapping[str, str] = field(default_factory=dict)
