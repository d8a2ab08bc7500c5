import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reflexarc.control.artifacts.history import read_history, read_times
from reflexarc.control.artifacts.store import load_pinned, read_lock, resolve_artifacts, write_lock
from reflexarc.control.errors import TrainingError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.training.plan import train_flow, train_to_artifact

FLOW = load_flow("arm_track")
EXAMPLE = Path(__file__).parents[3] / "examples" / "kill_trainings.py"
FEW = {"episodes": 4, "ticks": 20, "iterations": 6, "batch": 4, "hidden": 4}


def without(store, *modules):
    """Takes modules out of a lock."""
    lock = read_lock(store, FLOW.name)
    write_lock(store, FLOW.name, {name: digest for name, digest in lock.items() if name not in modules})
    return store


def test_every_module_is_trained_on_the_frozen_ones_that_it_needs(trained):
    artifacts = resolve_artifacts(FLOW, trained.store)
    digests = {name: artifact.digest for name, artifact in artifacts.items()}
    assert artifacts["policy"].manifest.upstream == {n: digests[n] for n in ("perception", "estimation")}
    assert artifacts["perception"].metrics["position_median_m"] < 0.05
    assert list((trained.store / "logs").rglob("events.out.tfevents.*"))


def test_what_is_up_to_date_is_left_alone(trained, store, capsys):
    before = sorted(path.name for path in store.iterdir())
    assert train_flow(FLOW, None, 0, store, store / "logs", trained.settings) == trained.digests
    assert capsys.readouterr().out.count("up to date") == 3
    assert sorted(path.name for path in store.iterdir()) == before


def test_without_settings_those_of_the_pinned_artifact_stay(trained, store, capsys):
    assert train_flow(FLOW, None, 0, store, store / "logs", {}) == trained.digests
    assert capsys.readouterr().out.count("up to date") == 3


@pytest.mark.slow
def test_another_seed_makes_another_artifact_and_the_others_stay(trained, store, capsys):
    changed = train_flow(FLOW, ["estimation"], 1, store, store / "logs", {"estimation": FEW})
    assert changed["estimation"] != trained.digests["estimation"]
    assert {**changed, "estimation": ""} == {**trained.digests, "estimation": ""}
    last = read_history(store, FLOW.name)[-1]
    assert (last.before, last.after) == (trained.digests["estimation"], changed["estimation"])
    assert read_times(store, FLOW.name)["estimation"] < 90
    assert f"estimation: {changed['estimation'][:12]} (" in capsys.readouterr().out
    assert load_pinned(FLOW, "estimation", store).manifest.seed == 1


@pytest.mark.slow
def test_what_was_lost_is_made_again_in_the_order_of_needs_with_the_same_digest(trained, store, capsys):
    # Without its pin; the artifact is still there, and is found to be the same.
    without(store, "estimation")
    assert train_flow(FLOW, None, 0, store, store / "logs", trained.settings) == trained.digests
    said = capsys.readouterr().out
    assert (
        said.index("perception: up to date") < said.index("estimation: ") < said.index("policy: up to date")
    )


@pytest.mark.slow
def test_an_altered_artifact_is_no_obstacle_to_a_new_one(store):
    (model,) = store.glob("estimation-*/model.onnx")
    model.write_bytes(model.read_bytes() + b"x")
    digests = train_flow(FLOW, ["estimation"], 0, store, store / "logs", {"estimation": FEW})
    assert load_pinned(FLOW, "estimation", store).digest == digests["estimation"]


@pytest.mark.slow
def test_an_artifact_alone_leaves_the_lock_as_it_was(trained, store):
    from reflexarc.control.training.draft import draft_manifest

    manifest = draft_manifest(FLOW, "estimation", 2, FEW, store)
    digest = train_to_artifact(FLOW, "estimation", manifest, store, store / "logs")
    assert (store / f"estimation-{digest[:12]}").is_dir()
    assert read_lock(store, FLOW.name) == trained.digests


def test_a_training_that_fails_is_one_error_and_the_lock_is_as_it_was(trained, store):
    with pytest.raises(TrainingError, match="estimation: setting 'hidden' is 0; it has to be positive"):
        train_flow(FLOW, ["estimation"], 0, store, store / "logs", {"estimation": {"hidden": 0}})
    assert read_lock(store, FLOW.name) == trained.digests


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


@pytest.mark.slow
def test_trainings_that_are_killed_go_on_to_the_digest_of_one_that_was_not(trained, store):
    spec = importlib.util.spec_from_file_location("kill_trainings", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    settings = {"estimation": trained.settings["estimation"]}

    def make_store():
        for folder in store.glob("estimation-*"):
            shutil.rmtree(folder)
        return without(store, "estimation")

    ended, struck = example.train_with_kills(make_store, settings, ["estimation"], 3, 3.0, 0)
    assert all(digests == trained.digests for digests in ended)
    assert struck >= 1


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
