"""Store and lock: where artifacts lie, and which of them a flow runs.

`launch/artifacts/<flow>.lock.json` pins, for each trained module of a flow, the digest of its artifact, as a
package lock file does. A store that someone else keeps is named by `--store`.
"""

import fcntl
import json
import re
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reflexarc.control.artifacts.artifact import Artifact, artifact_digest, load_artifact
from reflexarc.control.errors import ArtifactError, did_you_mean
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow

__all__ = [
    "SHIPPED_STORE",
    "artifact_folder",
    "find_artifact",
    "load_pinned",
    "lock_path",
    "pin",
    "read_lock",
    "resolve_artifacts",
    "write_lock",
]

SHIPPED_STORE = Path(__file__).parents[2] / "launch" / "artifacts"
"""The artifacts that come with the project."""


class Lock(BaseModel):
    """What a lock file holds: the flow, and the digest per module."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: str
    artifacts: dict[str, str] = Field(default_factory=dict)


def lock_path(store: Path, flow_name: str) -> Path:
    """Where the lock of a flow lies."""
    return store / f"{flow_name}.lock.json"


def artifact_folder(store: Path, name: str, digest: str) -> Path:
    """Where an artifact lies."""
    return store / f"{name}-{digest[:12]}"


def read_lock(store: Path, flow_name: str) -> dict[str, str]:
    """Digest per module; empty where nothing was trained yet.

    Raises:
        ArtifactError: The file is not a lock.
    """
    path = lock_path(store, flow_name)
    try:
        return dict(Lock.model_validate_json(path.read_bytes()).artifacts)
    except FileNotFoundError:
        return {}
    except (OSError, ValidationError) as error:
        reason = error.strerror if isinstance(error, OSError) else error.errors()[0]["msg"]
        raise ArtifactError(f"{path}: not a lock file ({reason}). Restore it, or train again.") from None


def write_lock(store: Path, flow_name: str, artifacts: Mapping[str, str]) -> None:
    """Replace the lock of a flow in one move.

    Raises:
        ArtifactError: It cannot be written; the old one stays.
    """
    text = json.dumps({"flow": flow_name, "artifacts": dict(sorted(artifacts.items()))}, indent=1) + "\n"
    path = lock_path(store, flow_name)
    try:
        store.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be written ({error.strerror}). Nothing was changed.") from error


def pin(store: Path, flow_name: str, name: str, digest: str) -> None:
    """Pin one artifact in the lock of a flow, whoever else does so at the same time.

    Raises:
        ArtifactError: The lock cannot be read or written; the old one stays.
    """
    try:
        store.mkdir(parents=True, exist_ok=True)
        guard = (store / f".{flow_name}.lock").open("a")
    except OSError as error:
        raise ArtifactError(f"{store}: cannot be written ({error.strerror}). Nothing was changed.") from error
    with guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        write_lock(store, flow_name, {**read_lock(store, flow_name), name: digest})


def load_pinned(flow: Flow, module: str, store: Path, lock: Mapping[str, str] | None = None) -> Artifact:
    """The verified artifact of one trained module.

    Args:
        flow: The flow.
        module: Its name.
        store: Folder of the artifacts.
        lock: Digest per artifact name; None for what the store's lock pins.

    Raises:
        ArtifactError: It is not in the lock, not in the store, altered, or made for another kind.
    """
    spec = flow.modules[module]
    name = spec.artifact or module
    pins = read_lock(store, flow.name) if lock is None else lock
    if name not in pins:
        raise ArtifactError(
            f"{module}: no artifact '{name}' in {lock_path(store, flow.name)}. "
            f"{did_you_mean(name, pins)} Train it with `reflexarc train --flow {flow.name}`."
        )
    artifact = load_artifact(artifact_folder(store, name, pins[name]), pins[name])
    _require_kind(flow, module, artifact)
    return artifact


def resolve_artifacts(flow: Flow, store: Path = SHIPPED_STORE) -> dict[str, Artifact]:
    """The verified artifact of every trained module of a flow.

    Raises:
        ArtifactError: One is not in the lock, not in the store, altered, or made for another kind.
    """
    return {
        name: load_pinned(flow, name, store)
        for name, spec in flow.modules.items()
        if spec.artifact is not None
    }


def find_artifact(flow: Flow, name: str, digest: str, store: Path = SHIPPED_STORE) -> Artifact:
    """The verified artifact of one trained module by its digest, whatever the lock pins.

    Args:
        flow: The flow.
        name: A trained module of it.
        digest: Its digest, or at least 8 of the first digits if no other artifact begins with them.
        store: Folder of the artifacts.

    Raises:
        ArtifactError: There is none or more than one, it is altered, or made for another kind or flow.
    """
    kept = flow.modules[name].artifact
    if not re.fullmatch(r"[0-9a-f]{8,64}", digest):
        raise ArtifactError(f"{name}: '{digest}' is not a digest. Give at least 8 of its 64 hex digits.")
    there = sorted(path.name.removeprefix(f"{kept}-") for path in store.glob(f"{kept}-{'[0-9a-f]' * 12}"))
    found = [digits for digits in there if digits.startswith(digest[:12])]
    if len(found) != 1:
        what = f"no artifact {kept}-{digest[:12]}" if not found else f"more than one artifact {kept}-{digest}"
        raise ArtifactError(f"{name}: {what} in {store}. Known: {', '.join(found or there) or 'none'}.")
    folder = store / f"{kept}-{found[0]}"
    artifact = load_artifact(folder, digest if len(digest) == 64 else _named_digest(folder, found[0], digest))
    _require_kind(flow, name, artifact)
    if artifact.manifest.flow != flow.name:
        raise ArtifactError(
            f"{name}: artifact {folder.name} was trained for flow {artifact.manifest.flow}, not for "
            f"{flow.name}. Train one with `reflexarc train --flow {flow.name}`."
        )
    return artifact


def _named_digest(folder: Path, digits: str, prefix: str) -> str:
    """The digest of the manifest in a folder, which the folder's name and what was asked for must begin."""
    found = artifact_digest(folder)
    return found if found.startswith(digits) and found.startswith(prefix) else max(digits, prefix, key=len)


def _require_kind(flow: Flow, name: str, artifact: Artifact) -> None:
    kind = flow.modules[name].kind
    if artifact.manifest.kind != kind:
        raise ArtifactError(
            f"{name}: artifact {artifact.folder.name} is of kind '{artifact.manifest.kind}', "
            f"the flow wants '{kind}'. Train it again with `reflexarc train --flow {flow.name}`."
        )
