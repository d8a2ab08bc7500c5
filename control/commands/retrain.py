"""`reflexarc retrain` and `reflexarc rollback`: one module anew, judged, and promoted or not."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reflexarc.control.artifacts.history import rollback
from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.commands.train import parse_settings, require_trainer
from reflexarc.control.errors import TrainingError, did_you_mean
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.seeds import evaluation_seeds

__all__ = ["parse_duration", "run_retrain", "run_rollback"]

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}


def run_retrain(
    module: str,
    flow: str,
    settings: Sequence[str],
    data: Path | None,
    budget: str | None,
    episodes: int,
    seed: int,
    store: Path | None,
    logs: Path,
    *,
    dry_run: bool,
    force: bool,
) -> bool:
    """Do it, and print every finding; a report goes below the logs.

    Returns:
        Whether the new module was promoted, or nothing had to be done.

    Raises:
        ReflexarcError: Something is not right; the old module stays.
    """
    changes = parse_settings([f"{module}.{setting}" for setting in settings])
    budget_s = None if budget is None else parse_duration(budget)
    if episodes < 2:
        raise TrainingError(f"--episodes {episodes}: a comparison takes at least 2 pairs.")
    evaluation_seeds(seed, episodes)  # refuses what they cannot be
    require_trainer()
    loaded = load_flow(flow)

    from reflexarc.control.training.retrain import Retraining, plan_retraining, retrain
    from reflexarc.control.training.retrain_report import write_retrain_report

    with _as_file(data, loaded, module) as recorded:
        folder = SHIPPED_STORE if store is None else store
        wanted = Retraining(
            settings=changes.get(module, {}),
            data=recorded,
            budget_s=budget_s,
            episodes=episodes,
            evaluation_seed=seed,
            force=force,
        )
        console = Console(highlight=False, soft_wrap=True)
        intent = plan_retraining(loaded, module, wanted, folder)
        if not intent.causes and not force:
            console.print(f"{module}: up to date, nothing to retrain. --force does it anyway.")
            return True
        took = "" if intent.seconds is None else f", some {max(intent.seconds / 60, 0.1):.1f} min"
        console.print(f"{module}: to be trained because of {', '.join(intent.causes) or '--force'}{took}")
        console.print(f"frozen: {', '.join(intent.neighbours)}")
        if dry_run:
            return True
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("paired episodes", total=episodes)
            outcome = retrain(
                loaded,
                intent,
                wanted,
                folder,
                logs,
                console.print,
                lambda done, total: progress.update(task, completed=done, total=total),
            )
        verb = "promoted" if outcome.is_promoted else "kept the old one"
        console.print(f"{module}: {verb}: {outcome.reason}")
        console.print(f"{outcome.old.digest[:12]} -> {outcome.new.digest[:12]}")
        console.print(f"report: {write_retrain_report(outcome, loaded)}")
        return outcome.is_promoted


@contextmanager
def _as_file(data: Path | None, flow: Flow, module: str) -> Iterator[Path | None]:
    """Recorded data as one file; a folder is one of use cases."""
    if data is None or not data.is_dir():
        yield data
        return
    from reflexarc.control.training.use_cases import use_cases_as_data

    arrays = use_cases_as_data(data, flow, module)
    with tempfile.TemporaryDirectory(prefix="reflexarc-") as folder:
        path = Path(folder) / "use_cases.npz"
        np.savez_compressed(path, **arrays)  # type: ignore[arg-type]
        yield path


def run_rollback(module: str, flow: str, store: Path | None) -> None:
    """Pin what was pinned before.

    Raises:
        ReflexarcError: The module is unknown, or nothing was pinned before.
    """
    loaded = load_flow(flow)
    if module not in loaded.training_order:
        raise TrainingError(
            f"{loaded.name}: no trained module '{module}'. {did_you_mean(module, loaded.training_order)}"
        )
    folder = SHIPPED_STORE if store is None else store
    change = rollback(folder, loaded.name, loaded.modules[module].artifact or module)
    typer.echo(f"{module}: {(change.before or '')[:12]} -> {change.after[:12]}")


def parse_duration(text: str) -> float:
    """Seconds of `90s`, `5m` or `1.5h`.

    Raises:
        TrainingError: It is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if found is None or float(found[1]) <= 0:
        raise TrainingError(f"--budget {text}: write a time as 90s, 5m or 1.5h.")
    return float(found[1]) * _UNITS_S[found[2]]
