from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

from reflexarc.control.commands.record import run_record
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.running import FLOW_FILE, announce


@pytest.fixture
def complaint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What `record` says beside a flow that is said to be up. How it records: tests/control/nodes/test_recording.py."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    directory = tmp_path / "reflexarc-x"
    directory.mkdir()

    def run(
        flow: str | None = None, out: str = "bag", max_s: float | None = None, ring_s: float | None = None
    ) -> str:
        with pytest.raises(ReflexarcError) as raised:
            run_record(flow, Path(out), None, 100.0, max_s, ring_s)
        assert not Path("bag").exists()
        return str(raised.value)

    def run_beside(*arguments: object, is_up: bool = True, **more: object) -> str:
        if is_up:
            (directory / FLOW_FILE).write_text(load_flow("arm_catch").model_dump_json())
            announce(directory, "arm_catch", "realtime", tmp_path)
        return run(*arguments, **more)

    return run_beside


def test_without_a_running_flow_it_says_how_to_start_one(complaint) -> None:
    assert complaint(is_up=False) == "no flow is running. Start one with `reflexarc sim --clock realtime`."


def test_another_flow_is_not_running(complaint) -> None:
    assert complaint("arm_track") == "no flow 'arm_track' is running. Known: arm_catch."


def test_a_folder_that_exists_is_left_alone(complaint, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    assert complaint(out="there") == "there exists already. Give a folder that does not: --out."
    assert list((tmp_path / "there").iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(complaint, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert complaint(out="file/bag") == "file/bag: cannot be made (Not a directory)."


def test_a_ring_has_no_other_bound_of_time(complaint) -> None:
    assert complaint(max_s=5.0, ring_s=5.0).startswith("--ring keeps seconds of its own;")
