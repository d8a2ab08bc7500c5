import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from reflexarc.control.artifacts.store import read_lock, resolve_artifacts
from reflexarc.control.errors import TrainingError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.training import plan
from reflexarc.control.training.plan import code_digest, config_digest, train_flow

FLOW = load_flow("arm_track")
SMALL = {
    "perception": {"images": 768, "epochs": 4},
    "estimation": {"episodes": 8, "ticks": 40, "iterations": 2, "batch": 8},
    "policy": {"steps": 512, "environments": 8, "rollout": 16, "batch": 64, "epochs": 1},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    train_flow(FLOW, None, 0, folder, folder / "logs", SMALL)
    return folder


def test_all_modules_are_trained_from_nothing_in_the_order_of_their_needs(store):
    artifacts = resolve_artifacts(FLOW, store)
    assert set(artifacts) == {"perception", "estimation", "policy"}
    digests = {name: artifact.digest for name, artifact in artifacts.items()}
    assert artifacts["policy"].manifest.upstream == {n: digests[n] for n in ("perception", "estimation")}
    assert artifacts["perception"].metrics["position_median_m"] < 0.05
    assert list((store / "logs").rglob("events.out.tfevents.*"))


def test_what_is_up_to_date_is_left_alone(store, capsys):
    before = read_lock(store, FLOW.name)
    assert train_flow(FLOW, None, 0, store, store / "logs", SMALL) == before
    assert capsys.readouterr().out.count("up to date") == 3


def test_another_seed_makes_another_artifact_and_names_it(store, tmp_path):
    # From here on only the estimator, which is quick; its upstream is what the fixture made.
    for path in store.iterdir():
        (tmp_path / path.name).symlink_to(path)
    before = read_lock(store, FLOW.name)
    (tmp_path / "arm_track.lock.json").unlink()
    (tmp_path / "arm_track.lock.json").write_text(json.dumps({"flow": FLOW.name, "artifacts": before}))
    first = train_flow(FLOW, ["estimation"], 1, tmp_path, tmp_path / "logs2", SMALL)
    assert first["estimation"] != before["estimation"]
    assert first["perception"] == before["perception"]
    (tmp_path / f"estimation-{first['estimation'][:12]}").rename(tmp_path / "put aside")
    again = train_flow(FLOW, ["estimation"], 1, tmp_path, tmp_path / "logs3", SMALL)
    assert again == first


def test_a_need_that_is_not_trained_is_named(tmp_path):
    with pytest.raises(
        TrainingError, match=r"needs perception, which is not trained\. Train it first: reflexarc"
    ):
        train_flow(FLOW, ["estimation"], 0, tmp_path, tmp_path, {})


@pytest.mark.parametrize(
    ("modules", "settings", "message"),
    [
        (["percepton"], {}, "no trained module 'percepton'. Did you mean 'perception'"),
        (None, {"guard": {"a": 1}}, "--set: no trained module 'guard'"),
        (["perception"], {"perception": {"image": 1}}, "has no setting 'image'. Did you mean 'images'"),
        (["perception"], {"perception": {"images": "many"}}, "setting 'images' is 'many', expected int"),
        (["perception"], {"perception": {"epochs": 0}}, "setting 'epochs' is 0; it has to be positive"),
    ],
)
def test_bad_requests_are_refused_before_anything_is_trained(tmp_path, modules, settings, message):
    with pytest.raises(TrainingError, match=message):
        train_flow(FLOW, modules, 0, tmp_path, tmp_path, settings)
    assert not read_lock(tmp_path, FLOW.name)


def test_comments_do_not_count_and_code_does(monkeypatch, tmp_path):
    root = Path(plan.__file__).parents[2]
    for folder in ("control", "envs"):
        (tmp_path / folder).symlink_to(root / folder)
    copy = tmp_path / "control"
    copy.unlink()
    subprocess.run(["cp", "-r", str(root / "control"), str(copy)], check=True)
    monkeypatch.setattr(plan, "_ROOT", tmp_path)
    before = code_digest("sequence")
    trainer = copy / "training" / "sequence.py"
    text = trainer.read_text()
    trainer.write_text("# a comment\n" + text.replace('"""The guarantee', '"""What is said of', 1))
    assert code_digest("sequence") == before
    trainer.write_text(text.replace("clamp(max=50.0)", "clamp(max=60.0)"))
    assert code_digest("sequence") != before
    assert code_digest("supervised") == code_digest("supervised")


def test_the_configuration_counts():
    assert config_digest(FLOW, "policy", {}) != config_digest(FLOW, "policy", {"steps": 1})
    assert config_digest(FLOW, "policy", {}) != config_digest(load_flow("arm_catch"), "policy", {})


def test_without_torch_the_extra_is_named(tmp_path):
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text(
        "import importlib.util as u\n_f = u.find_spec\n"
        "u.find_spec = lambda name, package=None: None if name == 'torch' else _f(name, package)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "reflexarc.control.cli", "train"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "reflexarc: training needs torch. Run: pip install 'reflexarc[train]'.\n"
