import json
from pathlib import Path

import pytest
from rich.console import Console

from reflexarc.control.commands.bench import bench_table, run_bench
from reflexarc.control.errors import ReflexarcError, ValueRefusedError
from reflexarc.control.report import Percentiles, Report


def report(missed_deadlines: int) -> Report:
    return Report(
        flow="arm_catch",
        clock="realtime",
        seed=0,
        episodes=5,
        score={},
        latency_ms={
            "guard": Percentiles(p50=0.1, p99=0.2),
            "frame_to_command": Percentiles(p50=41.0, p99=48.5),
        },
        missed_deadlines=missed_deadlines,
        unsafe_commands=0,
        artifacts={},
        trajectory_sha256="",
        rejections={},
    )


def lines_of(batched: float, missed_deadlines: int) -> dict[str, str]:
    """The right part of each row by its left one."""
    speeds = {"reflexarc/ArmCatch-v0": {"batched": batched, "bare_batch": 100.0, "subproc": 10.0}}
    console = Console(width=120)
    with console.capture() as capture:
        console.print(bench_table(speeds, report(missed_deadlines)))
    rows = [[cell.strip() for cell in line.split("│")] for line in capture.get().splitlines() if "│" in line]
    return {row[1]: " ".join(row[2:]).strip() for row in rows}


def test_goals_that_are_met_are_marked() -> None:
    rows = lines_of(batched=90.0, missed_deadlines=0)
    assert rows["reflexarc/ArmCatch-v0, batched"] == "90 steps/s"
    assert rows["per step of bare mujoco.batch"] == "0.90 ≥ 0.8 ✓"
    assert rows["per step of SubprocVecEnv"] == "9.0 ≥ 8 ✓"
    assert rows["camera frame to command, p50 / p99"] == "41.00 / 48.50 ms"
    assert rows["missed deadlines"] == "0 0 ✓"


def test_goals_that_are_not_met_are_marked() -> None:
    rows = lines_of(batched=70.0, missed_deadlines=3)
    assert rows["per step of bare mujoco.batch"] == "0.70 ≥ 0.8 ✗"
    assert rows["per step of SubprocVecEnv"] == "7.0 ≥ 8 ✗"
    assert rows["missed deadlines"] == "3 0 ✗"


def test_a_wrong_option_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    with pytest.raises(ValueRefusedError, match=r"seconds is 0\. Give a number from 0\.1 to 3600\."):
        run_bench(0.0, None)
    with pytest.raises(ReflexarcError, match="nothing can be written there"):
        run_bench(1.0, tmp_path)


@pytest.mark.slow
@pytest.mark.ros
def test_it_measures_and_writes(reflexarc, ros_domain: int, tmp_path: Path) -> None:
    pytest.importorskip(
        "stable_baselines3", reason="needs it to compare with: pip install 'reflexarc[train]'"
    )
    done = reflexarc("bench", "--seconds", "0.2", "--json", "bench.json", within_s=110.0)
    assert done.returncode == 0, done.stderr
    written = json.loads((tmp_path / "bench.json").read_text())
    assert set(written["environments"]) == {"reflexarc/ArmCatch-v0", "reflexarc/ArmTrack-v0"}
    for measured in written["environments"].values():
        assert measured["ratio_to_bare"] > 0.0
        assert measured["ratio_to_subproc"] > 0.0
    assert "frame_to_command" in written["latency_ms"]
    assert written["machine"]["cores"] >= 1
