"""`reflexarc eval`: a flow and its twin in one process, in lock step, and the same report as `sim`."""

from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from reflexarc.control.commands.run import Run, UseCases
from reflexarc.control.local import LocalRuntime
from reflexarc.control.modules import make_module
from reflexarc.control.report import mean_score
from reflexarc.control.run_result import Episode
from reflexarc.envs.twin import make_plant

__all__ = ["run_eval"]


def run_eval(
    flow: str, episodes: int, seed: int, json: Path | None, store: Path | None, usecases: UseCases | None
) -> None:
    """Run it, with progress on stderr and the report on stdout.

    Raises:
        ReflexarcError: The flow, an artifact or an option is not right.
    """
    run = Run.prepare(flow, episodes, "lockstep", seed, json, store, usecases)
    modules = {name: make_module(spec, run.artifacts.get(name)) for name, spec in run.flow.modules.items()}
    plant = make_plant(run.flow.plant.env, run.flow.plant.outputs, run.flow.plant.parameters)
    done: list[Episode] = []
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=episodes)

        def show(episode: Episode) -> None:
            done.append(episode)
            score = ", ".join(f"{name} {value:.3f}" for name, value in mean_score(done).items())
            progress.update(task, advance=1, description=score)

        result = LocalRuntime(run.flow, modules, plant).run(run.seeds, show)
    run.report(result, Console())
