import json
from collections.abc import Mapping
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from reflexarc.control.commands.sim import score_line, status_table
from reflexarc.control.nodes.bringup import Status
from reflexarc.control.run_result import Episode
from reflexarc.control.values import Diagnostic


def text(table: Table) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def episode(score: Mapping[str, float]) -> Episode:
    return Episode(seed=1, ticks=10, score=score)


def test_a_node_is_shown_with_rate_latency_and_health() -> None:
    figures = (("rate_hz", "50.0"), ("step_p50_ms", "3.100"), ("step_p99_ms", "4.900"))
    nodes = {
        "perception": Diagnostic(name="perception", level=0, message="ok", figures=figures),
        "guard": Diagnostic(name="guard", level=2, message="silent: command [1]"),
    }
    done = [episode({"catch_rate": 1.0}), episode({"catch_rate": 0.0})]
    lines = text(status_table(("twin", *nodes), Status("running", nodes, done), 20)).splitlines()
    (perception,) = (line for line in lines if "perception" in line)
    assert all(part in perception for part in ("50.0", "3.100 ms", "4.900 ms", "ok"))
    assert any("guard" in line and "error silent: command [1]" in line for line in lines)
    assert any("twin" in line and "no report yet" in line for line in lines)
    assert "episode 2 of 20, catch rate 0.500" in lines[-1]


def test_before_the_first_episode_there_is_no_score() -> None:
    assert score_line([], 20) == "episode 0 of 20"


@pytest.mark.ros
def test_it_runs_reports_and_writes(reflexarc, ros_domain: int, tmp_path: Path) -> None:
    done = reflexarc("sim", "--episodes", "1", "--seed", "3", "--json", "report.json", HOME="/nonexistent")
    assert done.returncode == 0, done.stderr
    assert "episode 1 of 1" in done.stderr
    assert "arm_catch: 1 episode, lockstep, seed 3" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["flow"], report["clock"], report["seed"], report["episodes"]) == (
        "arm_catch",
        "lockstep",
        3,
        1,
    )
    assert "catch_rate" in report["score"]
    assert set(report["latency_ms"]) == {"perception", "estimation", "policy", "guard", "frame_to_command"}
    assert set(report["artifacts"]) == {"perception", "estimation", "policy"}
    assert report["unsafe_commands"] == 0
    local = reflexarc("eval", "--episodes", "1", "--seed", "3", "--json", "local.json")
    assert local.returncode == 0, local.stderr
    here = json.loads((tmp_path / "local.json").read_text())
    assert here["trajectory_sha256"] == report["trajectory_sha256"]
    assert here.keys() == report.keys()


def test_what_is_wrong_is_said_before_anything_starts(reflexarc) -> None:
    done = reflexarc("sim", "--store", ".")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("reflexarc: perception: no artifact 'perception' in arm_catch.lock.json.")
    assert len(done.stderr.splitlines()) == 1


def test_without_ros_2_it_says_how_to_get_it(reflexarc, tmp_path: Path) -> None:
    # The wheels cannot be taken away from this machine, but their import can.
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['rclpy'] = None\n")
    done = reflexarc("sim", "--episodes", "1", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "pip install 'reflexarc[ros]'" in done.stderr
