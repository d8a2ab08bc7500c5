"""`reflexarc train`: the training graph of a flow, or one module of it with its neighbours frozen."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import yaml
from rich.console import Console

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.errors import RuntimeUnavailableError, TrainingError, ValueRefusedError
from reflexarc.control.flow_file import load_flow

__all__ = ["parse_settings", "require_trainer", "run_train"]

_NEEDED = ("torch", "stable_baselines3", "tensorboard", "safetensors", "onnx", "onnxscript", "matplotlib")
"""The extra `train`, as Python imports it."""

_MAX_SEED = 499_999_999
"""Training measures what it made on seeds 5e8 further on, and evaluation's begin at 1e9."""


def run_train(
    flow: str,
    modules: Sequence[str] | None,
    seed: int,
    store: Path | None,
    logs: Path,
    settings: Sequence[str],
    executor: Literal["local", "ray"],
) -> None:
    """Train, and print the digest of each module as the lock now pins it.

    Raises:
        RuntimeUnavailableError: The extra `train` is not installed.
        ReflexarcError: The flow or an option is not right, or the training cannot go on.
    """
    if not 0 <= seed <= _MAX_SEED:
        raise ValueRefusedError(f"seed is {seed}. Give a whole number from 0 to {_MAX_SEED}.")
    changes = parse_settings(settings)
    require_trainer()
    loaded = load_flow(flow)

    from reflexarc.control.training.plan import train_flow

    folder = SHIPPED_STORE if store is None else store
    digests = train_flow(loaded, modules or None, seed, folder, logs, changes, executor)
    console = Console(highlight=False, soft_wrap=True)
    for name, digest in digests.items():
        console.print(f"{name}: {digest[:12]} in {folder}")


def require_trainer() -> None:
    """Make sure that what trainings need is installed.

    Raises:
        RuntimeUnavailableError: It is not.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise RuntimeUnavailableError(
            f"training needs {', '.join(missing)}. Run: pip install 'reflexarc[train]'."
        )


def parse_settings(settings: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Settings of trainers, by module and key.

    Args:
        settings: `MODULE.KEY=VALUE`, as the user wrote them; values are YAML scalars.

    Raises:
        TrainingError: One is not of this form.
    """
    parsed: dict[str, dict[str, Any]] = {}
    for text in settings:
        place, equals, value = text.partition("=")
        module, _, key = place.partition(".")
        try:
            read = yaml.safe_load(value)
        except yaml.YAMLError:
            read = None
        if not (equals and module and key) or not isinstance(read, bool | int | float | str):
            raise TrainingError(
                f"--set {text}: write it as MODULE.KEY=VALUE, with one number or word as value."
            )
        parsed.setdefault(module, {})[key] = read
    return parsed
