"""Worker: one training in a process of its own, from its request to its artifact."""

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from reflexarc.control.artifacts.artifact import Manifest, load_artifact, write_artifact
from reflexarc.control.artifacts.store import artifact_folder
from reflexarc.control.errors import TrainingError
from reflexarc.control.flow import Flow
from reflexarc.control.training.checkpoints import Checkpoints
from reflexarc.control.training.data import data_path, read_data
from reflexarc.control.training.job import Job
from reflexarc.control.training.recipes import RECIPES

__all__ = ["Request", "train_one"]

_WORK = ".work"
"""Folder of the store for checkpoints and locks."""

_LOCK_WITHIN_S = 3.0
"""A training that was killed with its launcher lets go of its lock at once; on a loaded machine, soon."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One training, as plain data that goes to another process or host.

    Args:
        module: Its name in the flow.
        flow: The flow, as JSON.
        manifest: All that is known of the artifact before, as JSON.
        store: Folder of artifacts and checkpoints.
        log_dir: Folder for TensorBoard.
        budget_s: Ends the training after so long, or None.
    """

    module: str
    flow: str
    manifest: str
    store: str
    log_dir: str
    budget_s: float | None = None


def train_one(request: Request, report: Callable[[str, int, int], None]) -> str:
    """Train one module, or go on where its last training was interrupted.

    Args:
        request: What to train.
        report: Told what is being done, how much of it is done, and of how much.

    Returns:
        Digest of the artifact, which is in the store; the lock is as it was.

    Raises:
        ReflexarcError: It cannot start or go on; checkpoints stay.
    """
    # Sums depend on how many threads share them, and two fight over a busy core.
    torch.set_num_threads(1)
    flow = Flow.model_validate_json(request.flow)
    manifest = Manifest.model_validate_json(request.manifest)
    store = Path(request.store)
    spec = flow.modules[request.module]
    assert spec.training is not None
    upstream = {
        need: load_artifact(artifact_folder(store, flow.modules[need].artifact or need, digest), digest)
        for need, digest in manifest.upstream.items()
    }
    progress = _Progress(report, request.budget_s)
    folder = store / _WORK / f"{manifest.module}-{_key(manifest)}"
    with _alone(store, request.module, f"{flow.name}-{manifest.module}"):
        job = Job(
            flow=flow,
            spec=spec,
            upstream=upstream,
            seed=manifest.seed,
            changes={**spec.training.parameters, **manifest.settings},
            data=read_data(request.module, manifest.trainer, data_path(store, manifest.data))
            if manifest.data
            else {},
            log_dir=Path(request.log_dir),
            checkpoints=Checkpoints(folder),
            progress=progress,
        )
        trained = RECIPES[manifest.trainer](job)
        metrics = json.dumps(dict(trained.metrics), indent=1, sort_keys=True) + "\n"
        made: dict[str, Any] = {
            "constants": dict(trained.constants),
            "guarantees": {port: dict(figures) for port, figures in trained.guarantees.items()},
            "assumes": dict(trained.assumes),
            "completed": progress.completed,
        }
        files: Mapping[str, bytes] = {**trained.files, "metrics.json": metrics.encode()}
        artifact = write_artifact(store, manifest.model_copy(update=made), files)
        shutil.rmtree(folder, ignore_errors=True)
    return artifact.digest


class _Progress:
    """Passes on how far a training is, and ends it when its budget is spent."""

    def __init__(self, report: Callable[[str, int, int], None], budget_s: float | None) -> None:
        self._report = report
        self._until = None if budget_s is None else time.monotonic() + budget_s
        self.completed = 1.0

    def __call__(self, what: str, done: int, total: int) -> bool:
        self._report(what, done, total)
        if what != "training" or self._until is None or time.monotonic() < self._until or done == total:
            return True
        self.completed = done / total
        return False


def _key(manifest: Manifest) -> str:
    """Name of a training by all that decides its result, so that nothing else goes on from its checkpoints."""
    content = manifest.model_dump(mode="json")
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


@contextmanager
def _alone(store: Path, module: str, name: str) -> Iterator[None]:
    """Nobody else trains this module into this store meanwhile.

    Raises:
        TrainingError: Someone does, or the store cannot be written.
    """
    path = store / _WORK / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise TrainingError(f"{store}: cannot be written ({error.strerror}). Nothing was changed.") from None
    with file:
        until = time.monotonic() + _LOCK_WITHIN_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    raise TrainingError(
                        f"{module}: another training of it is under way in {store}. Wait for it, or stop it."
                    ) from None
                time.sleep(0.1)
        yield
