"""`reflexarc bench`: what this machine does: control steps per second, and latencies over ROS 2."""

import json
import os
import platform
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from reflexarc.control.commands.run import Run, require_writable
from reflexarc.control.errors import ReflexarcError, RuntimeUnavailableError, ValueRefusedError
from reflexarc.control.files import write_whole
from reflexarc.control.nodes.bringup import run_ros
from reflexarc.control.report import Report, make_report

__all__ = ["RATIO_TO_BARE", "RATIO_TO_SUBPROC", "bench_table", "run_bench"]

RATIO_TO_BARE = 0.8
"""Goal: batched control steps per bare step of `mujoco.batch`."""

RATIO_TO_SUBPROC = 8.0
"""Goal: batched control steps per step of the same environment in SB3's SubprocVecEnv."""

_ENVIRONMENTS = 1024
"""Enough that the cost of Python per step hardly counts: with 512 the ratio to the bare batch is 0.06 lower. Policies
are trained with 128."""

_FLOW = "arm_catch"
_EPISODES = 5
"""Some 5 s of real time: 250 camera frames and 500 steps of every other module."""


def run_bench(seconds: float, json_path: Path | None) -> None:
    """Measure, and print a table; `--json` writes the same as data.

    Args:
        seconds: How long to measure each environment.
        json_path: Where to, or None.

    Raises:
        RuntimeUnavailableError: SB3 or ROS 2 is not installed.
        ReflexarcError: An option is not right, or the flow cannot run.
    """
    if not 0.1 <= seconds <= 3600.0:
        raise ValueRefusedError(f"seconds is {seconds:g}. Give a number from 0.1 to 3600.")
    if json_path is not None:
        require_writable(json_path)
    if find_spec("stable_baselines3") is None:
        raise RuntimeUnavailableError(
            "bench needs stable-baselines3 to compare with. Run: pip install 'reflexarc[train]'."
        )
    # Both import what the check above is for.
    from reflexarc.envs.registry import TASKS
    from reflexarc.envs.throughput import measure

    run = Run.prepare(_FLOW, _EPISODES, "realtime", 0, None, None)
    status = Console(stderr=True)
    speeds: dict[str, dict[str, float]] = {}
    with status.status("") as spinner:
        for task_id in TASKS:
            spinner.update(f"{task_id}: {_ENVIRONMENTS} environments, {seconds:g} s")
            speeds[task_id] = measure(task_id, _ENVIRONMENTS, seconds)
        spinner.update(f"{_FLOW}: {_EPISODES} episodes in real time over ROS 2")
        result = run_ros(run.flow, run.seeds, "realtime", store=run.store)
    report = make_report(run.flow, "realtime", 0, result, {})
    Console().print(bench_table(speeds, report))
    if json_path is not None:
        _write(json_path, speeds, report)


def bench_table(speeds: dict[str, dict[str, float]], report: Report) -> Table:
    """What was measured beside its goal.

    Args:
        speeds: Per environment, control steps per second as `envs.throughput` names them.
        report: A run in real time.
    """
    table = Table(
        "figure", "measured", "goal", title=f"{_machine()['processor']}, {_machine()['cores']} cores"
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for task_id, speed in speeds.items():
        bare, subproc = _ratios(speed)
        table.add_row(f"{task_id}, batched", f"{speed['batched']:,.0f} steps/s", "")
        table.add_row(
            "  per step of bare mujoco.batch",
            f"{bare:.2f}",
            f"≥ {RATIO_TO_BARE:g} {_mark(bare, RATIO_TO_BARE)}",
        )
        table.add_row(
            "  per step of SubprocVecEnv",
            f"{subproc:.1f}",
            f"≥ {RATIO_TO_SUBPROC:g} {_mark(subproc, RATIO_TO_SUBPROC)}",
        )
    for name, latency in report.latency_ms.items():
        label = "camera frame to command" if name == "frame_to_command" else f"{name}, input to output"
        table.add_row(f"{label}, p50 / p99", f"{latency.p50:.2f} / {latency.p99:.2f} ms", "")
    table.add_row(
        "missed deadlines", str(report.missed_deadlines), f"0 {'✓' if report.missed_deadlines == 0 else '✗'}"
    )
    return table


def _ratios(speed: dict[str, float]) -> tuple[float, float]:
    return speed["batched"] / speed["bare_batch"], speed["batched"] / speed["subproc"]


def _mark(value: float, goal: float) -> str:
    return "✓" if value >= goal else "✗"


def _machine() -> dict[str, Any]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": _processor(), "cores": cores, "python": platform.python_version()}


def _processor() -> str:
    """The processor's name; `platform` knows only its family on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _write(path: Path, speeds: dict[str, dict[str, float]], report: Report) -> None:
    environments = {
        task_id: {
            "steps_per_s": speed,
            "ratio_to_bare": _ratios(speed)[0],
            "ratio_to_subproc": _ratios(speed)[1],
        }
        for task_id, speed in speeds.items()
    }
    content = {
        "machine": _machine(),
        "environments": environments,
        "flow": report.flow,
        "latency_ms": {name: latency.model_dump() for name, latency in report.latency_ms.items()},
        "missed_deadlines": report.missed_deadlines,
    }
    try:
        write_whole(path, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        raise ReflexarcError(f"{path}: cannot be written ({error.strerror}).") from None
