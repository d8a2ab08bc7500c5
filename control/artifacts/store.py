"""Store and lock: where artifacts lie, and which of them a flow runs.

`launch/artifacts/<flow>.lock.json` pins, for each trained module of a flow, the digest of its artifact, as a
package lock file does. A store that someone else keeps is named by `--store`.
"""

import fcntl
import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reflexarc.control.artifacts.artifact import Artifact, load_artifact
from reflexarc.control.errors import ArtifactError, did_you_mean
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow

__all__ = [
    "SHIPPED_STORE",
    "artifact_folder",
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
    if artifact.manifest.kind != spec.kind:
        raise ArtifactError(
            f"{module}: artifact {artifact.folder.name} is of kind '{artifact.manifest.kind}', "
            f"the flow wants '{spec.kind}'. Train it again with `reflexarc train --flow {flow.name}`."
        )
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
