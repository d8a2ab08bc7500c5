import json
from dataclasses import replace
from pathlib import Path

import pytest

from reflexarc.control.commands import doctor
from reflexarc.control.commands.doctor import Finding, findings, run_doctor


def test_it_looks_for_everything_that_a_run_needs() -> None:
    names = [finding.name for finding in findings()]
    assert names == [
        "Python",
        "ROS 2",
        "mujoco",
        "onnxruntime",
        "flow arm_catch",
        "flow arm_catch_3x3",
        "flow arm_track",
        "ROS logs",
        "cores",
        "priority",
        "GL",
        "torch",
        "stable_baselines3",
    ]


def test_what_is_not_there_comes_with_a_remedy() -> None:
    assert all(finding.remedy for finding in findings() if finding.state != "ok")


@pytest.mark.parametrize(("state", "is_ready"), [("ok", True), ("optional", True), ("missing", False)])
def test_only_what_a_run_needs_makes_it_fail(
    state: doctor.State, is_ready: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = [Finding("thing", "ok", "1.0"), replace(Finding("other", "ok", "2.0", "get it"), state=state)]
    monkeypatch.setattr(doctor, "findings", lambda: found)
    assert run_doctor(as_json=False) is is_ready
    assert run_doctor(as_json=True) is is_ready
    out = capsys.readouterr().out
    assert ("Not ready" not in out) is is_ready
    assert json.loads(out[out.index("{") :])["ready"] is is_ready


def test_this_machine_is_ready(reflexarc) -> None:
    done = reflexarc("doctor", "--json")
    assert done.returncode == 0, done.stdout
    assert json.loads(done.stdout)["ready"]


def test_without_ros_2_it_fails_and_says_how_to_get_it(reflexarc, tmp_path: Path) -> None:
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy" / "__init__.py").write_text(
        "raise ImportError('librcl.so: cannot open shared object file')"
    )
    done = reflexarc("doctor", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "librcl.so: cannot open shared object file" in done.stdout
    assert "reflexarc[ros]" in done.stdout
    assert "Not ready" in done.stdout
