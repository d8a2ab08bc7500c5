"""Plan: the training graph walked, each module trained on frozen artifacts of what it needs."""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from reflexarc.control.artifacts.artifact import Artifact, Manifest, load_artifact, write_artifact
from reflexarc.control.artifacts.store import read_lock, write_lock
from reflexarc.control.errors import ArtifactError, TrainingError, did_you_mean
from reflexarc.control.flow import Flow
from reflexarc.control.training.export import library_versions
from reflexarc.control.training.recipes import RECIPES, Job

__all__ = ["code_digest", "config_digest", "train_flow"]

_ROOT = Path(__file__).parents[2]

_CODE: Mapping[str, tuple[str, ...]] = {
    "supervised": ("training/supervised", "training/dataset", "training/networks", "modules/perception"),
    "sequence": ("training/sequence", "training/dataset", "training/networks", "modules/estimation"),
    "reinforcement": ("training/reinforcement", "training/upstream", "training/policy_network"),
}
"""What decides the result of a trainer, beside the environments and the code that all trainers share."""

_SHARED_CODE = ("training/recipes", "training/export")

_NOT_TRAINED_ON = ("single.py", "throughput.py", "twin.py")
"""What else the environments' folder holds."""


def code_digest(trainer: str) -> str:
    """sha256 over the code that decides a training's result; comments and docstrings do not count."""
    digest = hashlib.sha256()
    environments = sorted(
        str(path.relative_to(_ROOT))
        for path in (_ROOT / "envs").rglob("*")
        if path.suffix in (".py", ".xml") and path.name not in _NOT_TRAINED_ON
    )
    code = [f"control/{name}.py" for name in (*_CODE[trainer], *_SHARED_CODE)]
    for name in (*code, *environments):
        path = _ROOT / name
        digest.update(name.encode())
        digest.update(_normalized(path).encode())
    return digest.hexdigest()


def config_digest(flow: Flow, module: str, changes: Mapping[str, Any]) -> str:
    """sha256 over the module's part of the flow, the plant, and changed settings."""
    spec = flow.modules[module].model_dump(mode="json")
    content = {"plant": flow.plant.model_dump(mode="json"), "module": spec, "changes": dict(changes)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def train_flow(
    flow: Flow,
    modules: Sequence[str] | None,
    seed: int,
    store: Path,
    log_dir: Path,
    settings: Mapping[str, Mapping[str, Any]],
) -> dict[str, str]:
    """Train a flow's modules, each after what it needs; what is up to date is left alone.

    Args:
        flow: The flow.
        modules: Which to train; None for all.
        seed: Decides everything random.
        store: Where artifacts and the lock go.
        log_dir: For TensorBoard.
        settings: Per module, settings that differ from the defaults.

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
    torch.set_num_threads(1)  # sums depend on how many threads share them, and two fight over a busy core
    console = Console()
    columns = (
        TextColumn("{task.fields[module]:<12} {task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        for name in wanted:
            _train_one(flow, name, seed, store, log_dir, settings.get(name, {}), progress)
    return read_lock(store, flow.name)


def _wanted(flow: Flow, modules: Sequence[str] | None) -> list[str]:
    for name in modules or ():
        if name not in flow.training_order:
            known = did_you_mean(name, flow.training_order)
            raise TrainingError(f"{flow.name}: no trained module '{name}'. {known}")
    return [name for name in flow.training_order if modules is None or name in modules]


def _train_one(
    flow: Flow,
    name: str,
    seed: int,
    store: Path,
    log_dir: Path,
    changes: Mapping[str, Any],
    progress: Progress,
) -> None:
    spec = flow.modules[name]
    assert spec.training is not None
    upstream = {need: _upstream(flow, name, need, store) for need in spec.training.needs}
    changes = {**spec.training.parameters, **changes}
    manifest = Manifest(
        module=spec.artifact or name,
        kind=spec.kind,
        flow=flow.name,
        trainer=spec.training.trainer,
        ports={
            "inputs": {
                port: flow.port(source).model_dump(mode="json") for port, source in spec.inputs.items()
            },
            "outputs": {port: declared.model_dump(mode="json") for port, declared in spec.outputs.items()},
        },
        constants={},
        code_digest=code_digest(spec.training.trainer),
        config_digest=config_digest(flow, name, changes),
        upstream={need: artifact.digest for need, artifact in upstream.items()},
        seed=seed,
        libraries=library_versions(),
    )
    if _is_up_to_date(manifest, store, flow.name):
        progress.console.print(f"{name}: up to date")
        return
    task = progress.add_task("starting", module=name, total=1)
    last_line = ""

    def on_progress(what: str, done: int, total: int) -> None:
        nonlocal last_line
        if progress.tasks[task].description != what:
            progress.reset(task, total=total, description=what)
        progress.update(task, completed=done, total=total)
        line = f"{name}: {what}, {10 * done // total * 10} % of {total}"
        if not progress.console.is_terminal and line != last_line:  # a log has no bars: a line per tenth
            progress.console.print(line)
            last_line = line

    job = Job(
        flow=flow,
        spec=spec,
        upstream=upstream,
        seed=seed,
        changes=changes,
        log_dir=log_dir / flow.name / name,
        progress=on_progress,
    )
    trained = RECIPES[spec.training.trainer](job)
    metrics = json.dumps(dict(trained.metrics), indent=1, sort_keys=True) + "\n"
    artifact = write_artifact(
        store,
        manifest.model_copy(update={"constants": dict(trained.constants)}),
        {**trained.files, "metrics.json": metrics.encode()},
    )
    write_lock(store, flow.name, {**read_lock(store, flow.name), manifest.module: artifact.digest})
    progress.update(task, description="done", completed=1, total=1)
    figures = ", ".join(f"{key} {value:.4g}" for key, value in trained.metrics.items())
    progress.console.print(f"{name}: {artifact.digest[:12]} ({figures})")


def _upstream(flow: Flow, name: str, need: str, store: Path) -> Artifact:
    artifact_name = flow.modules[need].artifact or need
    lock = read_lock(store, flow.name)
    if artifact_name not in lock:
        raise TrainingError(
            f"{name}: its training needs {need}, which is not trained. "
            f"Train it first: reflexarc train --flow {flow.name} --module {need}"
        )
    digest = lock[artifact_name]
    return load_artifact(store / f"{artifact_name}-{digest[:12]}", digest)


def _is_up_to_date(manifest: Manifest, store: Path, flow_name: str) -> bool:
    digest = read_lock(store, flow_name).get(manifest.module)
    if digest is None:
        return False
    try:
        old = load_artifact(store / f"{manifest.module}-{digest[:12]}", digest).manifest
    except ArtifactError:
        return False
    made_by = ("kind", "trainer", "code_digest", "config_digest", "upstream", "seed", "libraries")
    return all(getattr(old, field) == getattr(manifest, field) for field in made_by)


def _normalized(path: Path) -> str:
    if path.suffix != ".py":
        return path.read_text()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
            first.value.value = ""
    return ast.dump(tree)
