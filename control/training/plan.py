"""Plan: the training graph walked, each module trained on frozen artifacts of what it needs."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from reflexarc.control.artifacts.artifact import Manifest, load_artifact
from reflexarc.control.artifacts.history import promote, record_time
from reflexarc.control.artifacts.store import artifact_folder, read_lock
from reflexarc.control.errors import ArtifactError, TrainingError, did_you_mean
from reflexarc.control.flow import Flow
from reflexarc.control.training.digests import departures
from reflexarc.control.training.draft import draft_manifest, pinned_manifest
from reflexarc.control.training.executors import Executor, ExecutorName, make_executor
from reflexarc.control.training.worker import Request

__all__ = ["train_flow", "train_to_artifact"]


def train_flow(
    flow: Flow,
    modules: Sequence[str] | None,
    seed: int,
    store: Path,
    log_dir: Path,
    settings: Mapping[str, Mapping[str, Any]],
    executor: ExecutorName = "local",
) -> dict[str, str]:
    """Train a flow's modules, each after what it needs; what is up to date is left alone.

    Args:
        flow: The flow.
        modules: Which to train; None for all.
        seed: Decides everything random.
        store: Where artifacts and the lock go.
        log_dir: For TensorBoard.
        settings: Per module, settings that differ from the defaults; without, those of the pinned artifact.
        executor: Where to train.

    Returns:
        Digest per module, as the lock now pins them.

    Raises:
        TrainingError: A module is unknown or not trained, or a needed one has no artifact.
    """
    wanted = _wanted(flow, modules)
    for name in settings:
        if name not in flow.training_order:
            raise TrainingError(
                f"--set: no trained module '{name}'. {did_you_mean(name, flow.training_order)}"
            )
    pending = list(wanted)
    running: set[str] = set()
    begun: dict[str, float] = {}
    bars = _Bars()
    with bars.progress:
        runner: Executor | None = None
        try:
            while pending or running:
                for name in [name for name in pending if _is_ready(flow, name, {*pending, *running})]:
                    if runner is not None and len(running) >= runner.slots:
                        break  # a draft reads all code: a fifth of a second that the trainings want for themselves
                    manifest = draft_manifest(flow, name, seed, settings.get(name), store)
                    if _is_up_to_date(manifest, store, flow):
                        pending.remove(name)
                        bars.say(f"{name}: up to date")
                        continue
                    runner = runner or make_executor(executor)
                    pending.remove(name)
                    running.add(name)
                    begun[name] = time.monotonic()
                    runner.start(_request(flow, name, manifest, store, log_dir))
                if runner is None or not running:
                    continue
                for event in runner.events():
                    bars.show(event.module, event.kind, event.content)
                    if event.kind == "failed":
                        raise TrainingError(event.content)
                    if event.kind == "done":
                        running.remove(event.module)
                        artifact = flow.modules[event.module].artifact or event.module
                        promote(store, flow.name, artifact, event.content, "train")
                        record_time(store, flow.name, event.module, time.monotonic() - begun[event.module])
                        bars.say(_line(event.module, event.content, store, flow))
        finally:
            if runner is not None:
                runner.close()
    return read_lock(store, flow.name)


def train_to_artifact(
    flow: Flow,
    name: str,
    manifest: Manifest,
    store: Path,
    log_dir: Path,
    budget_s: float | None = None,
) -> str:
    """Train one module on this machine into the store, and leave the lock alone.

    Returns:
        Digest of the artifact.

    Raises:
        TrainingError: It cannot be trained.
    """
    bars = _Bars()
    with bars.progress:
        runner = make_executor("local")
        try:
            runner.start(_request(flow, name, manifest, store, log_dir, budget_s))
            while True:
                for event in runner.events():
                    bars.show(event.module, event.kind, event.content)
                    if event.kind == "failed":
                        raise TrainingError(event.content)
                    if event.kind == "done":
                        return str(event.content)
        finally:
            runner.close()


def _request(
    flow: Flow, name: str, manifest: Manifest, store: Path, log_dir: Path, budget_s: float | None = None
) -> Request:
    training = flow.modules[name].training
    assert training is not None
    return Request(
        module=name,
        flow=flow.model_dump_json(),
        manifest=manifest.model_dump_json(),
        store=str(store.absolute()),
        log_dir=str((log_dir / flow.name / name).absolute()),
        budget_s=budget_s or training.budget_s,
    )


def _wanted(flow: Flow, modules: Sequence[str] | None) -> list[str]:
    for name in modules or ():
        if name not in flow.training_order:
            known = did_you_mean(name, flow.training_order)
            raise TrainingError(f"{flow.name}: no trained module '{name}'. {known}")
    return [name for name in flow.training_order if modules is None or name in modules]


def _is_ready(flow: Flow, name: str, unfinished: set[str]) -> bool:
    training = flow.modules[name].training
    assert training is not None
    return not unfinished.intersection(training.needs)


def _is_up_to_date(manifest: Manifest, store: Path, flow: Flow) -> bool:
    try:
        pinned = pinned_manifest(store, flow, manifest.module)
    except ArtifactError:
        return False  # altered or lost: it is made again
    return pinned is not None and not departures(pinned, manifest)


def _line(name: str, digest: str, store: Path, flow: Flow) -> str:
    artifact = load_artifact(artifact_folder(store, flow.modules[name].artifact or name, digest), digest)
    figures = ", ".join(f"{key} {value:.4g}" for key, value in artifact.metrics.items())
    return f"{name}: {digest[:12]} ({figures})"


class _Bars:
    """A bar per running training; where there is no terminal, a line per tenth."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.fields[module]:<12} {task.description:<18}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self.progress = Progress(*columns, console=Console())
        self._tasks: dict[str, TaskID] = {}
        self._said: dict[str, str] = {}

    def say(self, line: str) -> None:
        self.progress.console.print(line, soft_wrap=True, highlight=False)

    def show(self, module: str, kind: str, content: Any) -> None:
        if module not in self._tasks:
            self._tasks[module] = self.progress.add_task("starting", module=module, total=1)
        task = self._tasks[module]
        if kind == "done":
            self.progress.update(task, description="done", completed=1, total=1)
        if kind != "progress":
            return
        what, done, total = content
        if next(t for t in self.progress.tasks if t.id == task).description != what:
            self.progress.reset(task, total=total, description=what)
        self.progress.update(task, completed=done, total=total)
        line = f"{module}: {what}, {10 * done // total * 10} % of {total}"
        if not self.progress.console.is_terminal and line != self._said.get(module):
            self.say(line)
            self._said[module] = line
