import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")
sys.path.insert(
    0, str(Path(__file__).parents[1] / "nodes")
)  # for `replayed`, and for the module that it names

from replayed import Recording

from reflexarc.control.commands.replay import run_replay
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.steps import artifact_number, mark_of
from reflexarc.control.values import Float64Array

pytestmark = pytest.mark.ros

NODES = Path(__file__).parents[1] / "nodes"


@pytest.fixture
def replay(reflexarc):
    def run(*arguments: str):
        return reflexarc("replay", *map(str, arguments), PYTHONPATH=str(NODES))

    return run


def test_it_says_how_much_is_equal(replay, tmp_path: Path) -> None:
    bag = Recording().write(tmp_path / "bag")
    done = replay(bag, "--json", "report.json")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "brake: 400 steps",
        "  330 of 330 that can be judged are equal, bit for bit",
        "  70 not judged: what the module remembered when the recording began is not known",
        "  0 of these are equal all the same",
    ]
    (result,) = json.loads((tmp_path / "report.json").read_text())
    assert (result["judged"], result["equal"], list(result["not_judged"].values())) == (330, 330, [70])


def test_a_difference_is_named_and_is_a_failure(replay, tmp_path: Path) -> None:
    recording = Recording()
    recording.recorded[200] = Float64Array(data=np.zeros(2))
    done = replay(recording.write(tmp_path / "bag"), "--module", "brake")
    assert (done.returncode, done.stderr) == (1, "")
    assert done.stdout.splitlines()[-1].startswith(
        "  first difference: a message on command that brake did not publish"
    )


@pytest.mark.parametrize(
    ("bag", "module", "flow", "complaint"),
    [
        ("nowhere", (), None, "nowhere: no such bag. Give the folder"),
        ("bag", ("brke",), None, "flow small has no module 'brke'. Did you mean 'brake'?"),
        ("bag", ("policy",), "arm_catch", "bag: no topic ball/odometry, which policy has"),
        ("bag", (), "nothing", "nothing: no such flow"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    bag: str,
    module: tuple[str, ...],
    flow: str | None,
    complaint: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Recording().write(tmp_path / "bag")
    with pytest.raises(ReflexarcError) as raised:
        run_replay(Path(bag), module, flow, None, None)
    assert str(raised.value).startswith(complaint)
    assert "\n" not in str(raised.value)


def test_another_artifact_is_compared_and_does_not_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = Recording()
    for index, step in enumerate(recording.steps):
        other = Float64Array(data=recording.outputs[index].data + 0.25)
        recording.recorded[index] = other
        recording.change(index, artifact=artifact_number("ab" * 32), outputs={"command": mark_of(other)})
        assert step.artifact == 0
    assert run_replay(recording.write(tmp_path / "bag"), (), None, None, None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[1:3] == [
        "  330 compared; largest difference in a step, p50 and p95:",
        "    command.data: 0.25, 0.25",
    ]
