import fcntl
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from reflexarc.control.artifacts.artifact import load_artifact
from reflexarc.control.artifacts.store import artifact_folder, read_lock
from reflexarc.control.errors import ArtifactError, TrainingError
from reflexarc.control.training import worker
from reflexarc.control.training.draft import draft_manifest
from reflexarc.control.training.worker import Request, train_one

FEW = {"episodes": 4, "ticks": 20, "iterations": 6, "batch": 4, "hidden": 4}


@pytest.fixture
def request_of(trained, store):
    """Makes a request to train the estimation, with few steps."""

    def make(settings=FEW, **changes):
        manifest = draft_manifest(trained.flow, "estimation", 0, settings, store)
        made = Request(
            module="estimation",
            flow=trained.flow.model_dump_json(),
            manifest=manifest.model_dump_json(),
            store=str(store),
            log_dir=str(store / "logs"),
        )
        return replace(made, **changes)

    return make


def work(store):
    return [path.name for path in (store / ".work").iterdir() if path.is_dir()]


def test_an_artifact_comes_of_it_the_lock_stays_and_nothing_is_left(request_of, store, trained):
    told = []
    digest = train_one(request_of(), lambda *progress: told.append(progress))
    artifact = load_artifact(artifact_folder(store, "estimation", digest), digest)
    assert artifact.manifest.completed == 1.0
    assert artifact.manifest.settings == FEW
    assert "odometry" in artifact.manifest.guarantees
    assert read_lock(store, trained.flow.name) == trained.digests
    assert work(store) == []
    assert told[-1][0] == "held-out episodes"
    assert ("training", 6, 6) in told


@pytest.mark.slow
def test_the_same_request_gives_the_same_digest_and_another_seed_another(request_of, trained, store):
    first = train_one(request_of(), lambda *_: None)
    shutil.rmtree(artifact_folder(store, "estimation", first))
    assert train_one(request_of(), lambda *_: None) == first
    manifest = draft_manifest(trained.flow, "estimation", 1, FEW, store)
    assert train_one(request_of(manifest=manifest.model_dump_json()), lambda *_: None) != first


@pytest.mark.slow
def test_after_an_interruption_it_goes_on_to_the_same_digest(request_of, store, crash):
    undisturbed = train_one(request_of(), lambda *_: None)
    shutil.rmtree(artifact_folder(store, "estimation", undisturbed))

    def fail_at(what, done):
        def report(*progress):
            if progress[:2] == (what, done):
                raise crash

        return report

    for moment in (("episodes", 4), ("training", 3), ("held-out episodes", 8)):
        with pytest.raises(crash):
            train_one(request_of(), fail_at(*moment))
    assert len(work(store)) == 1
    told = []
    assert train_one(request_of(), lambda what, *_: told.append(what)) == undisturbed
    assert "episodes" not in told  # they were recorded before
    assert work(store) == []


@pytest.mark.slow
def test_other_settings_do_not_go_on_from_its_checkpoints(request_of, store, crash):
    def fail(what, *_):
        if what == "training":
            raise crash

    with pytest.raises(crash):
        train_one(request_of(), fail)
    told = []
    train_one(request_of({**FEW, "hidden": 5}), lambda what, *_: told.append(what))
    assert "episodes" in told
    assert len(work(store)) == 1  # the other one may still go on


@pytest.mark.slow
def test_a_budget_ends_it_early_and_the_artifact_says_so(request_of, store):
    digest = train_one(request_of({**FEW, "iterations": 5000}, budget_s=0.01), lambda *_: None)
    completed = load_artifact(artifact_folder(store, "estimation", digest), digest).manifest.completed
    assert 0.0 < completed < 0.1
    assert work(store) == []


@pytest.mark.slow
def test_a_budget_that_was_enough_does_not_show(request_of):
    assert train_one(request_of(budget_s=1e6), lambda *_: None) == train_one(request_of(), lambda *_: None)


def test_two_at_once_are_refused_and_the_first_is_not_disturbed(request_of, store, monkeypatch):
    monkeypatch.setattr(worker, "_LOCK_WITHIN_S", 0.2)
    refused = []

    def second(what, *_):
        if what == "training" and not refused:
            with pytest.raises(TrainingError) as error:
                train_one(request_of({**FEW, "hidden": 5}), lambda *_: None)
            refused.append(str(error.value))

    train_one(request_of(), second)
    assert refused == [
        f"estimation: another training of it is under way in {store}. Wait for it, or stop it."
    ]


@pytest.mark.slow
def test_who_was_killed_holds_up_nobody(request_of, store):
    path = store / ".work" / "arm_track-estimation.lock"
    code = (
        "import fcntl, os, signal, sys\nfile = open(sys.argv[1], 'a')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\nos.kill(os.getpid(), signal.SIGKILL)\n"
    )
    path.parent.mkdir(exist_ok=True)
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -9
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    train_one(request_of(), lambda *_: None)


def test_a_store_that_cannot_be_written_is_named(request_of, store):
    shutil.rmtree(store / ".work")
    (store / ".work").write_text("a file where the folder should be")
    with pytest.raises(TrainingError, match=r"store: cannot be written \(.*\)\. Nothing was changed\."):
        train_one(request_of(), lambda *_: None)


def test_an_altered_need_is_named_before_anything_is_trained(request_of, store):
    (model,) = store.glob("perception-*/model.onnx")
    request = request_of()
    model.write_bytes(model.read_bytes() + b"x")
    with pytest.raises(ArtifactError, match=r"model\.onnx: altered"):
        train_one(request, pytest.fail)


def test_a_corrupted_checkpoint_is_named(request_of, store, crash):
    def fail(what, *_):
        if what == "training":
            raise crash

    with pytest.raises(crash):
        train_one(request_of(), fail)
    (episodes,) = (store / ".work").glob("*/episodes.pt")
    episodes.write_bytes(episodes.read_bytes()[:-1])
    with pytest.raises(TrainingError, match=r"episodes\.pt: the checkpoint is corrupted"):
        train_one(request_of(), lambda *_: None)
    assert episodes.exists()
