import shutil

import pytest
import torch

from reflexarc.control.artifacts.store import load_pinned, write_lock
from reflexarc.control.errors import ArtifactError, TrainingError
from reflexarc.control.training.digests import departures
from reflexarc.control.training.draft import draft_manifest, pinned_manifest


def test_a_draft_with_nothing_given_is_what_the_pinned_artifact_was_made_of(trained):
    for name in trained.flow.training_order:
        pinned = load_pinned(trained.flow, name, trained.store).manifest
        draft = draft_manifest(trained.flow, name, None, None, trained.store)
        assert departures(pinned, draft) == []
        assert draft.settings == trained.settings[name]
        assert draft.ports == pinned.ports
        assert not draft.files


def test_what_is_given_counts(trained):
    draft = draft_manifest(trained.flow, "estimation", 5, {"hidden": 8}, trained.store)
    pinned = load_pinned(trained.flow, "estimation", trained.store).manifest
    assert (draft.seed, draft.settings) == (5, {"hidden": 8})
    assert departures(pinned, draft) == ["config", "seed"]


def test_a_need_that_is_not_trained_is_named_with_the_command(tmp_path, trained):
    with pytest.raises(TrainingError) as refused:
        draft_manifest(trained.flow, "estimation", None, None, tmp_path)
    assert str(refused.value) == (
        "estimation: its training needs perception, which is not trained. "
        "Train it first: reflexarc train --flow arm_track --module perception"
    )


def test_libraries_are_named_with_their_versions(trained):
    libraries = draft_manifest(trained.flow, "perception", 0, {}, trained.store).libraries
    assert torch.__version__.startswith(libraries["torch"].partition("+")[0])
    assert {"numpy", "mujoco", "onnx"} <= set(libraries)


def test_an_artifact_that_is_lost_is_drafted_from_the_defaults(store, trained):
    shutil.rmtree(store / f"estimation-{trained.digests['estimation'][:12]}")
    with pytest.raises(ArtifactError, match="no artifact here"):
        pinned_manifest(store, trained.flow, "estimation")
    draft = draft_manifest(trained.flow, "estimation", None, None, store)
    assert (draft.seed, draft.settings) == (0, {})
    write_lock(store, trained.flow.name, {})
    assert pinned_manifest(store, trained.flow, "estimation") is None
