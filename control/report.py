"""Report: what a run came to, as data and as people read it."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.run_result import Episode, RunResult
from reflexarc.control.trace import frame_ages_s, hop_latencies_s
from reflexarc.control.values import FloatArray

__all__ = ["Percentiles", "Report", "make_report", "mean_score", "print_report", "write_report"]

_SUMS = ("squared_error_m2", "squared_error_count")
"""An episode's sums, from which a root mean square over all episodes is made."""


class Percentiles(BaseModel):
    """Median and 99th percentile, in ms."""

    model_config = ConfigDict(frozen=True)

    p50: float
    p99: float


class Report(BaseModel):
    """One run. The keys are the same for `sim` (real ROS 2) and `eval` (one process).

    `real_time_factor` is flow time over wall time within episodes, None where time is simulated: below 1 the
    twin was too slow, and the flow had as much more wall time to answer.
    `latency_ms` holds, per module, the time from a complete trigger to published outputs (monotonic
    clock), and `frame_to_command`: the age of each camera frame when the first command that used it
    went out: by the clock in real time; in lock step, where time is simulated, in flow time until the
    command takes effect. `swapped` holds what a module ran in the end, where that is not what it began with.
    """

    model_config = ConfigDict(frozen=True)

    flow: str
    clock: str
    seed: int
    episodes: int
    score: dict[str, float]
    latency_ms: dict[str, Percentiles]
    real_time_factor: float | None = None
    missed_deadlines: int
    unsafe_commands: int
    artifacts: dict[str, str]
    swapped: dict[str, str] = {}
    trajectory_sha256: str
    rejections: dict[str, dict[str, int]]


def make_report(flow: Flow, clock: str, seed: int, result: RunResult, artifacts: Mapping[str, str]) -> Report:
    """The report of a run.

    Args:
        flow: What ran.
        clock: `lockstep` or `realtime`.
        seed: What the episodes' seeds came from.
        result: What the runtime gives.
        artifacts: Module to digest, as the run began.
    """
    latency = {name: hop_latencies_s(result.records.get(name, ())) for name in flow.order}
    ages = frame_ages_s(flow.path_to_camera, result.records, result.clock_at)
    if result.clock_at is None and flow.path_to_camera:
        ages = ages + flow.latency_ticks(flow.path_to_camera[0][0]) * flow.tick_ns * 1e-9
    latency["frame_to_command"] = ages
    return Report(
        flow=flow.name,
        clock=clock,
        seed=seed,
        episodes=len(result.episodes),
        score=mean_score(result.episodes),
        latency_ms={name: _percentiles(values) for name, values in latency.items() if len(values)},
        real_time_factor=_real_time_factor(flow, result),
        missed_deadlines=result.missed_deadlines,
        unsafe_commands=int(sum(episode.score.get("unsafe_commands", 0.0) for episode in result.episodes)),
        artifacts=dict(artifacts),
        swapped={n: digest for n, digest in result.artifacts.items() if artifacts.get(n) != digest},
        trajectory_sha256=result.trajectory_sha256,
        rejections={name: dict(counts) for name, counts in result.rejections.items() if counts},
    )


def mean_score(episodes: Sequence[Episode]) -> dict[str, float]:
    """Each figure of merit over all episodes: the mean, or the root of the mean square of an error."""
    if not episodes:
        return {}
    names = [name for name in episodes[0].score if name != "unsafe_commands" and name not in _SUMS]
    score = {name: float(np.mean([episode.score[name] for episode in episodes])) for name in names}
    squares, count = (sum(episode.score.get(name, 0.0) for episode in episodes) for name in _SUMS)
    if count:
        score["tracking_rmse_m"] = float(np.sqrt(squares / count))
    return score


def print_report(report: Report, console: Console) -> None:
    """Print a report for people."""
    table = Table(title=f"{report.flow}: {_counted(report.episodes)}, {report.clock}, seed {report.seed}")
    table.add_column("figure")
    table.add_column("value", justify="right")
    for name, value in report.score.items():
        table.add_row(*_score_row(name, value, report.episodes))
    for name, latency in report.latency_ms.items():
        label = "camera frame to command" if name == "frame_to_command" else f"{name}, input to output"
        table.add_row(f"{label}, p50 / p99", f"{latency.p50:.2f} / {latency.p99:.2f} ms")
    if report.real_time_factor is not None:
        table.add_row("real-time factor", f"{report.real_time_factor:.3f}")
    table.add_row("missed deadlines", str(report.missed_deadlines))
    table.add_row("unsafe commands", str(report.unsafe_commands))
    for module, counts in report.rejections.items():
        for reason, count in counts.items():
            table.add_row(escape(f"{module}: {reason}"), f"{count} x")
    for module, digest in report.artifacts.items():
        table.add_row(f"artifact of {module}", digest[:12])
        if module in report.swapped:
            table.add_row(f"artifact of {module}, in the end", report.swapped[module][:12])
    table.add_row("trajectory sha256", report.trajectory_sha256[:12])
    console.print(table)


def write_report(report: Report, path: Path) -> None:
    """Write a report as JSON, whole or not at all.

    Raises:
        ReflexarcError: The file cannot be written.
    """
    text = json.dumps(report.model_dump(), indent=1) + "\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise ReflexarcError(f"{path}: the report cannot be written ({error.strerror}).") from None


def _real_time_factor(flow: Flow, result: RunResult) -> float | None:
    if result.clock_at is None:
        return None
    at = np.array([wall_ns for _, wall_ns in sorted(result.clock_at.items())])
    wall_ns, ticks, first = 0, 0, 0
    for episode in result.episodes:  # between two episodes only the wall's time passes
        last = min(first + episode.ticks, len(at)) - 1
        if last > first:
            wall_ns += int(at[last] - at[first])
            ticks += last - first
        first += episode.ticks
    return ticks * flow.tick_ns / wall_ns if wall_ns else None


def _percentiles(seconds: FloatArray) -> Percentiles:
    p50, p99 = np.percentile(seconds * 1e3, [50, 99])
    return Percentiles(p50=float(p50), p99=float(p99))


def _counted(episodes: int) -> str:
    return "1 episode" if episodes == 1 else f"{episodes} episodes"


def _score_row(name: str, value: float, episodes: int) -> tuple[str, str]:
    if name == "catch_rate":
        return "balls caught", f"{round(value * episodes)} of {episodes} ({100 * value:.1f} %)"
    if name.endswith("_m"):
        return name.removesuffix("_m").replace("_", " "), f"{100 * value:.2f} cm"
    return name.replace("_", " "), f"{value:.4g}"
