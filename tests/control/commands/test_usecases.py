from pathlib import Path

import numpy as np
import pytest

from reflexarc.control.redundancy.use_case_store import UseCaseStore
from reflexarc.control.values import PoseWithCovariance

NINE = Path(__file__).parents[1] / "redundancy" / "nine_estimators.yaml"


def test_a_line_per_approach_says_what_there_is_to_learn(reflexarc, tmp_path) -> None:
    store = UseCaseStore(tmp_path / "usecases", 10**6)
    for approach, x in (("depth", 0.0), ("depth", 1.0), ("color", 2.0)):
        place = np.array([x, 0.0, 0.0])
        seen = PoseWithCovariance(stamp_ns=1, frame_id="base_link", position=place, covariance=np.eye(6))
        assert store.keep("perception", approach, place, {"agreed": [seen]}) == ""
    done = reflexarc("usecases")
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["perception"]]
    assert [row[:4] for row in rows] == [["perception", "color", "1", "1"], ["perception", "depth", "2", "2"]]


def test_an_empty_folder_is_said(reflexarc, tmp_path) -> None:
    (tmp_path / "empty").mkdir()
    done = reflexarc("usecases", "empty")
    assert (done.returncode, done.stdout) == (0, "no use cases in empty\n")


def test_a_folder_that_is_not_there_is_one_line(reflexarc) -> None:
    done = reflexarc("usecases", "nowhere")
    assert done.returncode == 1
    assert done.stderr.startswith("reflexarc: nowhere: no use cases can be read there (No such file")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--flow", "arm_catch", "--usecases", "new"], "arm_catch: no job is done by three approaches"),
        (["--flow", str(NINE), "--usecases", "file"], "file: no use cases can be kept there (File exists)."),
        (
            ["--flow", str(NINE), "--usecases", "full", "--usecases-mb", "0.001"],
            "full: holds 0.0 MB of use cases, and may hold 0.001 MB.",
        ),
    ],
)
def test_where_none_can_be_kept_nothing_starts(reflexarc, tmp_path, arguments, complaint) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "perception.depth.unseen.0123.npz").write_bytes(bytes(1001))
    done = reflexarc("eval", "--episodes", "1", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"reflexarc: {complaint}")
    assert done.stderr.count("\n") == 1
