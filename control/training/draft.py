"""Draft: the manifest of an artifact before it is trained: all that would decide its result."""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from reflexarc.control.artifacts.artifact import Manifest, load_artifact
from reflexarc.control.artifacts.store import artifact_folder, read_lock
from reflexarc.control.errors import ArtifactError, TrainingError
from reflexarc.control.fallback import base_port
from reflexarc.control.flow import Flow
from reflexarc.control.training.digests import code_digest, config_digest, environment_digest

__all__ = ["draft_manifest", "pinned_manifest"]

_LIBRARIES = ("torch", "onnx", "numpy", "mujoco", "stable-baselines3", "onnxruntime")


def draft_manifest(
    flow: Flow, name: str, seed: int | None, settings: Mapping[str, Any] | None, store: Path
) -> Manifest:
    """What a training of a module would start from now.

    Args:
        flow: The flow.
        name: The module.
        seed: None for that of the pinned artifact.
        settings: None for those of the pinned artifact. Its data stay in any case.
        store: Where the lock pins what it needs.

    Raises:
        TrainingError: What it needs is not trained.
    """
    spec = flow.modules[name]
    assert spec.training is not None
    lock = read_lock(store, flow.name)
    upstream = {}
    for need in spec.training.needs:
        needed = flow.modules[need].artifact or need
        if needed not in lock:
            raise TrainingError(
                f"{name}: its training needs {need}, which is not trained. "
                f"Train it first: reflexarc train --flow {flow.name} --module {need}"
            )
        upstream[need] = lock[needed]
    try:
        pinned = pinned_manifest(store, flow, spec.artifact or name)
    except ArtifactError:
        pinned = None
    given = dict(settings if settings is not None else pinned.settings if pinned else {})
    return Manifest(
        module=spec.artifact or name,
        kind=spec.kind,
        flow=flow.name,
        trainer=spec.training.trainer,
        ports={
            "inputs": {
                port: flow.port(source).model_dump(mode="json")
                for port, source in spec.inputs.items()
                if port == base_port(port)
            },
            "outputs": {port: declared.model_dump(mode="json") for port, declared in spec.outputs.items()},
        },
        constants={},
        code_digest=code_digest(spec.training.trainer),
        environment_digest=environment_digest(flow),
        config_digest=config_digest(flow, name, given),
        settings=given,
        data=pinned.data if pinned else "",
        upstream=upstream,
        seed=seed if seed is not None else pinned.seed if pinned else 0,
        libraries=_versions(),
    )


def pinned_manifest(store: Path, flow: Flow, artifact: str) -> Manifest | None:
    """The manifest of the artifact that the lock pins under a name, verified; None where it pins none.

    Raises:
        ArtifactError: It is missing or altered.
    """
    digest = read_lock(store, flow.name).get(artifact)
    if digest is None:
        return None
    return load_artifact(artifact_folder(store, artifact, digest), digest).manifest


def _versions() -> dict[str, str]:
    """Versions of the libraries that make an artifact, as far as they are installed."""
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
