"""`reflexarc sim`: a flow and its twin on ROS 2, live on the terminal, and the report."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from reflexarc.control.commands.run import Run, UseCases
from reflexarc.control.commands.secure import secured
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes import Clock
from reflexarc.control.nodes.bringup import Status, run_ros
from reflexarc.control.nodes.description import TWIN
from reflexarc.control.report import mean_score
from reflexarc.control.run_result import Episode

__all__ = ["node_table", "run_sim", "score_line", "status_table"]

_LEVELS = ("[green]ok[/]", "[yellow]warning[/]", "[red]error[/]", "[red]stale[/]")
"""By level of diagnostic_msgs/DiagnosticStatus."""


def run_sim(
    flow: str,
    episodes: int,
    clock: Clock,
    real_time_factor: float,
    seed: int,
    json: Path | None,
    store: Path | None,
    usecases: UseCases | None,
    secure: Path | None = None,
) -> None:
    """Run it, with live status on stderr and the report on stdout.

    Args:
        flow: Name or path of the flow file.
        episodes: How many.
        clock: What drives the flow.
        real_time_factor: How fast the twin's clock goes in real time.
        seed: Decides all episodes.
        json: Where the report goes as data, or None.
        store: Folder of the artifacts, or None for those that ship.
        usecases: Where use cases go, or None for nowhere.
        secure: Keystore that closes the flow to strangers, or None for an open one.

    Raises:
        ReflexarcError: It cannot start, or a node has ended; the message says which and why.
    """
    if secure is not None and usecases is not None:
        raise ValueRefusedError(
            "--usecases adds modules that are not in the flow file, so --secure has no keys for them. Leave one out."
        )
    run = Run.prepare(flow, episodes, clock, seed, json, store, usecases)
    nodes = (TWIN, *run.flow.order)
    status = Console(stderr=True)
    transport = None if secure is None else secured(secure, load_flow(flow))
    if transport is not None:
        status.print(f"{flow}: {transport}", highlight=False, soft_wrap=True)
    with Live(console=status, refresh_per_second=4, transient=True) as live:
        shown = -1

        def show(now: Status) -> None:
            nonlocal shown
            if status.is_terminal:
                live.update(status_table(nodes, now, episodes))
            elif len(now.episodes) * 10 // episodes > shown:  # a log gets a line per tenth
                shown = len(now.episodes) * 10 // episodes
                status.print(score_line(now.episodes, episodes), highlight=False)

        show(Status("starting", {}, ()))
        result = run_ros(run.flow, run.seeds, clock, show, run.store, real_time_factor, transport)
    run.report(result, Console())


def status_table(nodes: Sequence[str], status: Status, episodes: int) -> Table:
    """Rate, latency and health of each node, and the score so far.

    Args:
        nodes: Names, in the order data passes.
        status: How the run stands.
        episodes: How many there will be.
    """
    return node_table(nodes, status, score_line(status.episodes, episodes))


def node_table(nodes: Sequence[str], status: Status, caption: str) -> Table:
    """Rate, latency and health of each node.

    Args:
        nodes: Names, in the order data passes.
        status: How the run stands.
        caption: What stands below.
    """
    table = Table(title=status.phase, caption=caption)
    table.add_column("node")
    for column in ("steps/s", "step p50", "step p99"):
        table.add_column(column, justify="right")
    table.add_column("health", min_width=30)
    for node in nodes:
        report = status.nodes.get(node)
        if report is None:
            table.add_row(node, "", "", "", "[dim]no report yet[/]")
            continue
        figures = dict(report.figures)
        times = [f"{figures[name]} ms" if name in figures else "" for name in ("step_p50_ms", "step_p99_ms")]
        level = _LEVELS[min(report.level, len(_LEVELS) - 1)]
        health = level if report.message == "ok" else f"{level} {escape(report.message)}"
        table.add_row(node, figures.get("rate_hz", ""), *times, health)
    return table


def score_line(done: Sequence[Episode], episodes: int) -> str:
    """How many episodes are over, and what they came to."""
    figures = (f"{name.replace('_', ' ')} {value:.3f}" for name, value in mean_score(done).items())
    return ", ".join((f"episode {len(done)} of {episodes}", *figures))
