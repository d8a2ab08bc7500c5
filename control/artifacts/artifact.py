"""Artifact: one trained module, immutable, named by the digest of its content and of all that made it.

A folder with `model.onnx`, `weights.safetensors`, `manifest.json` and `metrics.json`. The digest is the
sha256 of the manifest, and the manifest holds the sha256 of every other file, so one altered byte anywhere
shows. Nothing in it is ever unpickled.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from reflexarc.control.contracts import Assumption
from reflexarc.control.errors import ArtifactError

__all__ = ["Artifact", "Manifest", "artifact_digest", "load_artifact", "write_artifact"]

_MANIFEST = "manifest.json"


class Manifest(BaseModel):
    """What made an artifact, and what it holds.

    Args:
        format: Version of this layout.
        module: Name of the module in its flow.
        kind: Module kind that can run it.
        flow: Name of the flow it was trained for.
        trainer: Trainer that made it.
        ports: Per input and output, what the network was built for (shape, unit, frame).
        constants: Figures that the module needs beside the network: scales, noise model, layout.
        code_digest: sha256 over the code that made it, without comments.
        environment_digest: sha256 over the environment that it was trained in, and the plant's settings.
        config_digest: sha256 over its part of the flow file, and its settings.
        settings: Settings of the trainer that were given beside the flow file.
        data: sha256 over recorded data that was added to the simulated, or empty.
        completed: Share of the training that was done; below 1 a budget ended it.
        upstream: Digest of every frozen module that it was trained on.
        seed: Seed of the training.
        libraries: Versions of the libraries that made it.
        guarantees: Per output, what was measured on held-out episodes.
        assumes: Per input, the envelope that it was trained under.
        files: sha256 of every other file of the folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal[2] = 2
    module: str
    kind: str
    flow: str
    trainer: str
    ports: dict[str, Any]
    constants: dict[str, Any]
    code_digest: str
    environment_digest: str
    config_digest: str
    settings: dict[str, Any] = {}
    data: str = ""
    completed: float = 1.0
    upstream: dict[str, str]
    seed: int
    libraries: dict[str, str]
    guarantees: dict[str, dict[str, float]] = {}
    assumes: dict[str, Assumption] = {}
    files: dict[str, str] = {}


class Artifact:
    """A verified artifact on disk.

    Args:
        folder: Where it lies.
        digest: sha256 of its manifest.
        manifest: What it holds.
    """

    def __init__(self, folder: Path, digest: str, manifest: Manifest) -> None:
        self.folder = folder
        self.digest = digest
        self.manifest = manifest

    @property
    def model(self) -> bytes:
        """The bytes of `model.onnx`, as they were verified."""
        return _verified_bytes(self.folder, "model.onnx", self.manifest)

    @property
    def metrics(self) -> dict[str, Any]:
        """What was measured after training, on held-out seeds."""
        loaded: dict[str, Any] = json.loads(_verified_bytes(self.folder, "metrics.json", self.manifest))
        return loaded


def artifact_digest(folder: Path) -> str:
    """sha256 of a folder's manifest, whatever it is: the artifact is verified by `load_artifact`.

    Raises:
        ArtifactError: There is none.
    """
    try:
        return hashlib.sha256((folder / _MANIFEST).read_bytes()).hexdigest()
    except OSError as error:
        raise ArtifactError(f"{folder / _MANIFEST}: cannot be read ({error.strerror}).") from None


def load_artifact(folder: Path, digest: str) -> Artifact:
    """An artifact whose every file was compared with its digest.

    Args:
        folder: Where it lies.
        digest: The digest that the lock pins.

    Raises:
        ArtifactError: A file is missing, unreadable or altered; the message names it.
    """
    try:
        raw = (folder / _MANIFEST).read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{folder.name}: no artifact here ({error.strerror}: {folder / _MANIFEST}). "
            "Train it with `reflexarc train`, or restore the folder."
        ) from None
    found = hashlib.sha256(raw).hexdigest()
    if found != digest:
        raise ArtifactError(
            f"{folder / _MANIFEST}: altered (sha256 {found[:12]}…, the lock pins {digest[:12]}…). "
            "Restore the file, or train the module again with `reflexarc train`."
        )
    try:
        manifest = Manifest.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        raise ArtifactError(
            f"{folder / _MANIFEST}: not a manifest of format 2 ({'.'.join(map(str, first['loc']))}: {first['msg']})."
        ) from None
    for name in manifest.files:
        _verified_bytes(folder, name, manifest)
    return Artifact(folder, digest, manifest)


def write_artifact(store: Path, manifest: Manifest, files: Mapping[str, bytes]) -> Artifact:
    """Write an artifact whole or not at all, and give it its name.

    Args:
        store: Folder that holds artifacts.
        manifest: What made it; `files` is filled in here.
        files: Content per file name.

    Returns:
        The artifact, at `store/<module>-<first 12 digits of its digest>`.
    """
    complete = manifest.model_copy(
        update={"files": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}}
    )
    raw = (json.dumps(complete.model_dump(), indent=1, sort_keys=True) + "\n").encode()
    digest = hashlib.sha256(raw).hexdigest()
    folder = store / f"{manifest.module}-{digest[:12]}"
    if folder.exists():
        return load_artifact(folder, digest)
    try:
        store.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{manifest.module}-", dir=store))
    except OSError as error:
        raise ArtifactError(f"{store}: cannot be written ({error.strerror}). Nothing was changed.") from error
    try:
        for name, data in {**files, _MANIFEST: raw}.items():
            (temporary / name).write_bytes(data)
        temporary.chmod(
            0o755
        )  # mkdtemp makes it private, but an artifact is for everyone who may read the store
        os.rename(temporary, folder)
    except OSError as error:
        raise ArtifactError(
            f"{folder}: cannot be written ({error.strerror}). Nothing was changed."
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return Artifact(folder, digest, complete)


def _verified_bytes(folder: Path, name: str, manifest: Manifest) -> bytes:
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"{folder / name}: cannot be read ({error.strerror}). Restore it, or train the module again."
        ) from None
    if hashlib.sha256(data).hexdigest() != manifest.files.get(name):
        raise ArtifactError(
            f"{folder / name}: altered since it was trained. Restore it, or train the module again."
        )
    return data
