"""`reflexarc campaign`: random faults in closed loop, one per episode, and a table of what the flow made of them."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from pydantic import TypeAdapter
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn
from rich.table import Table

from reflexarc.control.campaign import Outcome, plan_injections, run_campaign
from reflexarc.control.commands.run import Run
from reflexarc.control.files import write_whole
from reflexarc.control.modules import make_module
from reflexarc.control.nodes import Clock
from reflexarc.control.nodes.live_campaign import run_live_campaign
from reflexarc.control.redundancy.fault_kind import FaultKind
from reflexarc.envs.twin import make_plant

__all__ = ["campaign_figures", "run_campaign_command"]


def run_campaign_command(
    flow: str,
    faults: int,
    clock: Clock,
    real_time_factor: float,
    seed: int,
    modules: Sequence[str],
    json_path: Path | None,
    store: Path | None,
) -> None:
    """Inject them, with progress on stderr and the table on stdout.

    Args:
        flow: Name or path of the flow.
        faults: How many; one per episode.
        clock: `lockstep`, in one process, or `realtime` over ROS 2, where processes are really killed and frozen.
        real_time_factor: In real time, how fast the twin's clock goes.
        seed: Decides episodes and faults.
        modules: What may be hit, see `plan_injections`.
        json_path: Where the figures go as data, or None.
        store: Folder of the artifacts, or None for those that ship.

    Raises:
        ReflexarcError: The flow, an artifact or an option is not right.
    """
    run = Run.prepare(flow, faults, clock, seed, json_path, store)
    injections = plan_injections(run.flow, run.seeds, seed, modules)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=faults)

        def advance(outcome: Outcome) -> None:
            progress.advance(task)

        if clock == "realtime":
            outcomes = run_live_campaign(run.flow, injections, run.store, real_time_factor, advance)
        else:
            plant = make_plant(run.flow.plant.env, run.flow.plant.outputs, run.flow.plant.parameters)
            modules_of = {n: (spec, run.artifacts.get(n)) for n, spec in run.flow.modules.items()}
            made = {n: make_module(*what) for n, what in modules_of.items()}
            outcomes = run_campaign(run.flow, made, plant, injections, advance)
    settings = {"flow": run.flow.name, "clock": clock, "seed": seed}
    if clock == "realtime":
        settings["real_time_factor"] = real_time_factor
    figures = {**settings, **campaign_figures(outcomes)}
    Console().print(_table(figures))
    if json_path is not None:
        each = TypeAdapter(list[Outcome]).dump_python(outcomes, mode="json")
        write_whole(json_path, json.dumps({**figures, "outcomes": each}, indent=1) + "\n")


def campaign_figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """What a campaign came to, all together and per kind of fault; times in s, medians."""
    kinds = [kind for kind in FaultKind if any(o.injection.fault.kind is kind for o in outcomes)]
    return {
        **_summed(outcomes),
        "by_kind": {
            kind.value: _summed([o for o in outcomes if o.injection.fault.kind is kind]) for kind in kinds
        },
    }


def _summed(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    detected = [o.detected_after_s for o in outcomes if o.detected_after_s is not None]
    recovered = [o.recovered_after_s for o in outcomes if o.recovered_after_s is not None]
    named = [o.is_named for o in outcomes if o.is_named is not None]
    return {
        "faults": len(outcomes),
        "detected": len(detected),
        "masked": sum(o.is_masked for o in outcomes),
        "detected_or_masked": sum(o.is_masked or o.detected_after_s is not None for o in outcomes),
        "named_correctly": sum(named) if named else None,
        "recovered": len(recovered),
        "time_to_detect_s": median(detected) if detected else None,
        "time_to_recover_s": median(recovered) if recovered else None,
        "unsafe_commands": sum(o.score["unsafe_commands"] for o in outcomes),
        "score_fault_free": _mean_score([o.score_fault_free for o in outcomes]),
        "score": _mean_score([o.score for o in outcomes]),
    }


def _mean_score(scores: Sequence[Any]) -> dict[str, float]:
    names = [name for name in scores[0] if name in ("catch_rate", "tracking_rmse_m")]
    return {name: sum(score[name] for score in scores) / len(scores) for name in names}


def _table(figures: dict[str, Any]) -> Table:
    table = Table(
        title=f"{figures['flow']}: {figures['faults']} faults, {figures['clock']}, seed {figures['seed']}",
        caption=f"{figures['unsafe_commands']:g} unsafe commands; scores without and with the fault",
        box=SIMPLE_HEAD,
    )
    for column in ("fault", "n", "detected", "named", "masked", "recovered"):
        table.add_column(column, justify="left" if column == "fault" else "right", no_wrap=True)
    names = list(figures["score"])
    for name in names:
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    for kind, row in (*figures["by_kind"].items(), ("all", figures)):
        table.add_row(
            kind,
            str(row["faults"]),
            _with_time(row["detected"], row["time_to_detect_s"]),
            "-" if row["named_correctly"] is None else str(row["named_correctly"]),
            str(row["masked"]),
            _with_time(row["recovered"], row["time_to_recover_s"]),
            *(f"{row['score_fault_free'][name]:.3f}, {row['score'][name]:.3f}" for name in names),
            end_section=kind == list(figures["by_kind"])[-1],
        )
    return table


def _with_time(count: int, seconds: float | None) -> str:
    return str(count) if seconds is None else f"{count} in {1000 * seconds:.0f} ms"
