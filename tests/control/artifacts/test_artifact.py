import json

import pytest

from reflexarc.control.artifacts.artifact import Manifest, load_artifact, write_artifact
from reflexarc.control.errors import ArtifactError


def manifest(**changes):
    fields = {
        "module": "perception",
        "kind": "perception",
        "flow": "some_flow",
        "trainer": "supervised",
        "ports": {},
        "constants": {"a": 1.5},
        "code_digest": "c",
        "environment_digest": "e",
        "config_digest": "d",
        "upstream": {},
        "seed": 0,
        "libraries": {},
    }
    return Manifest(**{**fields, **changes})


FILES = {"model.onnx": b"model", "metrics.json": b'{"rmse": 0.5}'}


def test_written_and_loaded(tmp_path):
    written = write_artifact(tmp_path, manifest(), FILES)
    assert written.folder.name == f"perception-{written.digest[:12]}"
    loaded = load_artifact(written.folder, written.digest)
    assert loaded.model == b"model"
    assert loaded.metrics == {"rmse": 0.5}
    assert loaded.manifest.constants == {"a": 1.5}


def test_the_same_content_has_the_same_name_and_another_seed_another(tmp_path):
    first = write_artifact(tmp_path, manifest(), FILES)
    assert write_artifact(tmp_path, manifest(), FILES).digest == first.digest
    assert write_artifact(tmp_path, manifest(seed=1), FILES).digest != first.digest
    assert write_artifact(tmp_path, manifest(), {**FILES, "model.onnx": b"x"}).digest != first.digest
    assert len([path for path in tmp_path.iterdir() if path.name.startswith(".")]) == 0


@pytest.mark.parametrize("name", ["model.onnx", "metrics.json", "manifest.json"])
def test_an_altered_file_is_refused_by_name(tmp_path, name):
    artifact = write_artifact(tmp_path, manifest(), FILES)
    path = artifact.folder / name
    path.write_bytes(path.read_bytes().replace(b"e", b"f", 1))
    with pytest.raises(ArtifactError, match=f"{name}: altered"):
        load_artifact(artifact.folder, artifact.digest)


@pytest.mark.parametrize("name", ["model.onnx", "manifest.json"])
def test_a_missing_file_is_named(tmp_path, name):
    artifact = write_artifact(tmp_path, manifest(), FILES)
    (artifact.folder / name).unlink()
    with pytest.raises(ArtifactError, match=name):
        load_artifact(artifact.folder, artifact.digest)


def test_a_manifest_of_another_format_is_refused(tmp_path):
    artifact = write_artifact(tmp_path, manifest(), FILES)
    path = artifact.folder / "manifest.json"
    content = json.loads(path.read_text())
    del content["seed"]
    path.write_text(json.dumps(content))
    import hashlib

    with pytest.raises(ArtifactError, match=r"not a manifest of format 2 \(seed"):
        load_artifact(artifact.folder, hashlib.sha256(path.read_bytes()).hexdigest())


def test_a_store_that_cannot_be_written_is_named(tmp_path):
    blocker = tmp_path / "store"
    blocker.write_text("a file where the folder should be")
    with pytest.raises(ArtifactError, match="store: cannot be written"):
        write_artifact(blocker, manifest(), FILES)
