import json

import pytest

from reflexarc.control.artifacts.artifact import Manifest, write_artifact
from reflexarc.control.artifacts.store import (
    find_artifact,
    lock_path,
    read_lock,
    resolve_artifacts,
    write_lock,
)
from reflexarc.control.errors import ArtifactError
from reflexarc.control.flow_file import load_flow

TRAINED = ("perception", "estimation", "policy")


def artifact(store, module, kind=None, seed=0, flow="arm_catch"):
    manifest = Manifest(
        module=module,
        kind=kind or module,
        flow=flow,
        trainer="supervised",
        ports={},
        constants={},
        code_digest="c",
        environment_digest="e",
        config_digest="d",
        upstream={},
        seed=seed,
        libraries={},
    )
    return write_artifact(store, manifest, {"model.onnx": b"model", "metrics.json": b"{}"})


@pytest.fixture
def flow():
    return load_flow("arm_catch")


@pytest.fixture
def store(tmp_path):
    """A store with an artifact of every trained module of arm_catch, and their lock."""
    write_lock(tmp_path, "arm_catch", {name: artifact(tmp_path, name).digest for name in TRAINED})
    return tmp_path


def test_a_lock_is_read_as_it_was_written(tmp_path):
    store = tmp_path / "new" / "store"
    write_lock(store, "some_flow", {"policy": "b", "perception": "a"})
    assert read_lock(store, "some_flow") == {"perception": "a", "policy": "b"}
    path = store / "some_flow.lock.json"
    assert list(store.iterdir()) == [path] == [lock_path(store, "some_flow")]
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(json.loads(path.read_text())["artifacts"]) == ["perception", "policy"]


def test_a_lock_is_replaced(tmp_path):
    write_lock(tmp_path, "some_flow", {"policy": "a", "perception": "a"})
    write_lock(tmp_path, "some_flow", {"policy": "b"})
    assert read_lock(tmp_path, "some_flow") == {"policy": "b"}


def test_each_flow_has_its_own_lock(tmp_path):
    write_lock(tmp_path, "some_flow", {"policy": "a"})
    assert read_lock(tmp_path, "other_flow") == {}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "Invalid JSON"),
        ("[]", "Input should be an object"),
        ('{"flow": "arm_catch", "artefacts": {}}', "Extra inputs are not permitted"),
        ('{"flow": "arm_catch", "artifacts": {"policy": 3}}', "Input should be a valid string"),
        ('{"artifacts": {}}', "Field required"),
    ],
)
def test_a_file_that_is_no_lock_is_named(store, content, reason):
    path = lock_path(store, "arm_catch")
    path.write_text(content)
    with pytest.raises(ArtifactError) as refused:
        read_lock(store, "arm_catch")
    message = str(refused.value)
    assert message.startswith(f"{path}: not a lock file ({reason}")
    assert message.endswith("). Restore it, or train again.")


def test_a_lock_that_cannot_be_read_is_named(tmp_path):
    lock_path(tmp_path, "arm_catch").mkdir()
    with pytest.raises(ArtifactError, match=r"arm_catch\.lock\.json: not a lock file \(Is a directory\)"):
        read_lock(tmp_path, "arm_catch")


def test_every_trained_module_has_the_artifact_that_the_lock_pins(store, flow):
    artifact(store, "policy", seed=1)  # which the lock does not name
    resolved = resolve_artifacts(flow, store)
    assert list(resolved) == list(TRAINED)
    assert {name: found.digest for name, found in resolved.items()} == read_lock(store, "arm_catch")
    assert all(found.manifest.seed == 0 for found in resolved.values())


def test_a_module_that_is_not_in_the_lock_says_how_to_train_it(store, flow):
    lock = read_lock(store, "arm_catch")
    del lock["policy"]
    write_lock(store, "arm_catch", lock)
    with pytest.raises(ArtifactError) as refused:
        resolve_artifacts(flow, store)
    assert str(refused.value) == (
        f"policy: no artifact 'policy' in {lock_path(store, 'arm_catch')}. "
        "Known: estimation, perception. Train it with `reflexarc train --flow arm_catch`."
    )


def test_an_artifact_by_another_name_than_its_module(store, flow):
    policy = flow.modules["policy"].model_copy(update={"artifact": "polciy"})
    renamed = flow.model_copy(update={"modules": {**flow.modules, "policy": policy}})
    with pytest.raises(ArtifactError, match=r"policy: no artifact 'polciy' in .* Did you mean 'policy'\?"):
        resolve_artifacts(renamed, store)
    write_lock(
        store,
        "arm_catch",
        {**read_lock(store, "arm_catch"), "polciy": artifact(store, "polciy", "policy").digest},
    )
    assert resolve_artifacts(renamed, store)["policy"].folder.name.startswith("polciy-")


def test_an_artifact_that_the_store_lacks_is_named(store, flow):
    digest = 64 * "0"
    write_lock(store, "arm_catch", {**read_lock(store, "arm_catch"), "policy": digest})
    with pytest.raises(ArtifactError, match="policy-000000000000: no artifact here"):
        resolve_artifacts(flow, store)


def test_an_artifact_of_another_kind_is_refused(store, flow):
    other = artifact(store, "policy", kind="estimation")
    write_lock(store, "arm_catch", {**read_lock(store, "arm_catch"), "policy": other.digest})
    with pytest.raises(ArtifactError) as refused:
        resolve_artifacts(flow, store)
    assert str(refused.value) == (
        f"policy: artifact {other.folder.name} is of kind 'estimation', the flow wants 'policy'. "
        "Train it again with `reflexarc train --flow arm_catch`."
    )


def test_an_altered_artifact_is_refused_before_anything_runs(store, flow):
    folder = next(store.glob("estimation-*"))
    (folder / "model.onnx").write_bytes(b"other")
    with pytest.raises(ArtifactError, match=r"model\.onnx: altered since it was trained"):
        resolve_artifacts(flow, store)


def test_a_flow_that_was_never_trained_says_how(tmp_path, flow):
    with pytest.raises(ArtifactError, match=r"perception: no artifact .* Train it with `reflexarc train"):
        resolve_artifacts(flow, tmp_path)


def test_an_artifact_is_found_by_its_digest_or_the_first_digits_of_it(flow, store):
    other = artifact(store, "policy", seed=7)
    for digest in (other.digest, other.digest[:8], other.digest[:20]):
        assert find_artifact(flow, "policy", digest, store).digest == other.digest


@pytest.mark.parametrize("digest", ["", "abc", "0123456", "0123456g", "0" * 65, "../../etc"])
def test_what_is_no_digest_is_said(flow, store, digest):
    with pytest.raises(ArtifactError, match="is not a digest"):
        find_artifact(flow, "policy", digest, store)


def test_an_unknown_digest_names_the_known_ones(flow, store):
    known = read_lock(store, "arm_catch")["policy"][:12]
    with pytest.raises(ArtifactError, match=f"no artifact policy-000000000000 in .*. Known: {known}."):
        find_artifact(flow, "policy", "0" * 64, store)


def test_digits_that_two_artifacts_begin_with_are_refused(flow, store):
    for end in ("0000", "1111"):
        (store / f"policy-ffffffff{end}").mkdir()
    with pytest.raises(
        ArtifactError, match=r"more than one artifact policy-ffffffff .* ffffffff0000, ffffffff1111"
    ):
        find_artifact(flow, "policy", "ffffffff", store)


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx"])
@pytest.mark.parametrize("digits", [12, 64])
def test_an_altered_artifact_is_not_found(flow, store, name, digits):
    other = artifact(store, "policy", seed=7)
    with (other.folder / name).open("ab") as file:
        file.write(b" ")
    with pytest.raises(ArtifactError, match=f"{name}: altered"):
        find_artifact(flow, "policy", other.digest[:digits], store)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"kind": "estimation"}, "is of kind 'estimation'"),
        ({"flow": "arm_track"}, "was trained for flow arm_track"),
    ],
)
def test_an_artifact_for_something_else_is_refused(flow, store, change, complaint):
    other = artifact(store, "policy", **change)
    with pytest.raises(ArtifactError, match=complaint):
        find_artifact(flow, "policy", other.digest, store)
