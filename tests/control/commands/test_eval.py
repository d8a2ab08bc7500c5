import json
from pathlib import Path
from shutil import copytree

from reflexarc.control.artifacts.store import SHIPPED_STORE, read_lock


def test_it_runs_reports_and_writes(reflexarc, tmp_path: Path) -> None:
    done = reflexarc("eval", "--episodes", "2", "--json", "report.json")
    assert done.returncode == 0, done.stderr
    assert "arm_catch: 2 episodes, lockstep, seed 0" in done.stdout
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["flow"], report["clock"], report["seed"], report["episodes"]) == (
        "arm_catch",
        "lockstep",
        0,
        2,
    )
    assert report["missed_deadlines"] == 0


def test_the_same_seed_gives_the_same_trajectory(reflexarc, tmp_path: Path) -> None:
    digests = []
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        done = reflexarc("eval", "--episodes", "1", "--seed", seed, "--json", name)
        assert done.returncode == 0, done.stderr
        digests.append(json.loads((tmp_path / name).read_text())["trajectory_sha256"])
    assert digests[0] == digests[1] != digests[2]


def test_an_altered_artifact_ends_it(reflexarc, tmp_path: Path) -> None:
    store = copytree(SHIPPED_STORE, tmp_path / "store")
    digest = read_lock(store, "arm_catch")["policy"]
    model = store / f"policy-{digest[:12]}" / "model.onnx"
    model.write_bytes(model.read_bytes()[:-1] + b"x")
    done = reflexarc("eval", "--store", str(store))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.endswith("altered since it was trained. Restore it, or train the module again.\n")
