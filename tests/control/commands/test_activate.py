"""What `activate` refuses; what it does is in tests/control/nodes/test_deployment.py, with real nodes."""

from pathlib import Path

from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.running import FLOW_FILE, announce


def test_without_a_deployment_there_is_nothing_to_activate(reflexarc, tmp_path: Path) -> None:
    done = reflexarc("activate", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.startswith("reflexarc: no flow is running. Start one with ")


def test_a_twin_is_not_activated(reflexarc, tmp_path: Path) -> None:
    directory = tmp_path / "reflexarc-x"
    directory.mkdir()
    (directory / FLOW_FILE).write_text(load_flow("arm_catch").model_dump_json())
    announce(directory, "arm_catch", "realtime", tmp_path)
    done = reflexarc("deactivate", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == (
        "reflexarc: flow arm_catch runs with its twin, whose guard is active with it. "
        "Only what is deployed to a robot is activated.\n"
    )
