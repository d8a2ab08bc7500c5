"""Digests: all that decides the result of a training, as one line each. Needs no torch, so `status` runs without it."""

import ast
import hashlib
import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from reflexarc.control.artifacts.artifact import Manifest
from reflexarc.control.fallback import base_port
from reflexarc.control.flow import Flow
from reflexarc.envs.registry import TASKS

__all__ = ["code_digest", "config_digest", "departures", "environment_digest"]

_ROOT = Path(__file__).parents[2]

_SHARED = ("quantities", "training/checkpoints", "training/export", "training/figures", "training/job")

_CODE: Mapping[str, tuple[str, ...]] = {
    "supervised": (
        "modules/perception",
        "training/dataset",
        "training/network_classical",
        "training/networks",
        "training/recipe_supervised",
        "training/recording",
        "training/supervised",
    ),
    "sequence": (
        "modules/estimation",
        "modules/perception",
        "training/dataset",
        "training/network_attention",
        "training/network_kalman",
        "training/networks",
        "training/recipe_sequence",
        "training/recording",
        "training/sequence",
    ),
    "reinforcement": (
        "modules/estimation",
        "modules/perception",
        "training/policy_network",
        "training/recipe_reinforcement",
        "training/recording",
        "training/reinforcement",
        "training/upstream",
    ),
}
"""What decides the result of a trainer, beside the environment; a test compares it with what they import."""

_NOT_TRAINED_ON = ("drives.py", "single.py", "throughput.py", "twin.py")
"""What else the environments' folder holds."""


def code_digest(trainer: str) -> str:
    """sha256 over the code of a trainer; comments and docstrings do not count."""
    return _digest_of(_ROOT / f"control/{name}.py" for name in sorted((*_CODE[trainer], *_SHARED)))


def environment_digest(flow: Flow) -> str:
    """sha256 over the code and models of a flow's environment, and what the flow says of its plant."""
    others = [task for task_id, task in TASKS.items() if task_id != flow.plant.env]
    not_ours = {Path(inspect.getfile(task)).name for task in others} | {task.model_file for task in others}
    code = _digest_of(
        path
        for path in sorted((_ROOT / "envs").rglob("*"))
        if path.suffix in (".py", ".xml") and path.name not in {*_NOT_TRAINED_ON, *not_ours}
    )
    plant = json.dumps(flow.plant.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(f"{code} {plant}".encode()).hexdigest()


def config_digest(flow: Flow, module: str, settings: Mapping[str, Any]) -> str:
    """sha256 over a module's part of the flow, and the settings that were given beside it.

    A budget does not count: where it ended a training, the manifest's `completed` says so. Nor does what a running
    module falls back to.
    """
    spec = flow.modules[module].model_dump(
        mode="json", exclude={"training": {"budget_s": True}, "patience_s": True}
    )
    spec["inputs"] = {port: source for port, source in spec["inputs"].items() if port == base_port(port)}
    content = {"module": spec, "settings": dict(settings)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def departures(pinned: Manifest, wanted: Manifest) -> list[str]:
    """What an artifact was made of that a training now would not make it of; empty if it is up to date."""
    causes = [
        cause
        for cause, fields in {
            "code": ("kind", "trainer", "code_digest"),
            "environment": ("environment_digest",),
            "config": ("config_digest",),
            "data": ("data",),
            "seed": ("seed",),
        }.items()
        if any(getattr(pinned, field) != getattr(wanted, field) for field in fields)
    ]
    if pinned.completed < 1.0:
        causes.append(f"budget: {100 * pinned.completed:.0f} % of its training was done")
    needs = {**pinned.upstream, **wanted.upstream}
    causes += [f"upstream: {n}" for n in needs if pinned.upstream.get(n) != wanted.upstream.get(n)]
    return causes


def _digest_of(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(_ROOT)).encode())
        digest.update(_normalized(path).encode())
    return digest.hexdigest()


def _normalized(path: Path) -> str:
    if path.suffix != ".py":
        return path.read_text()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            node.value.value = ""
    return ast.dump(tree)
