"""`reflexarc deploy --check`: every topic that a robot must offer, and what is missing or does not fit."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reflexarc.control.commands.secure import secured
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.access import OPERATOR
from reflexarc.control.nodes.deployment import network_of
from reflexarc.control.nodes.environment import require_ros, shared_memory_cleaned
from reflexarc.control.robot_file import on_robot

if TYPE_CHECKING:
    from reflexarc.control.nodes.robot_check import TopicFinding

__all__ = ["check_table", "run_check"]

_FILE_WIDTH = 160
"""Columns where nobody has a window, which would else count as one of 80."""


def run_check(flow: str, robot: str, host: str | None = None, secure: Path | None = None) -> bool:
    """Listen for some seconds, print a table, and a line per problem.

    Args:
        flow: Name or path of the flow.
        robot: Name or path of the robot file.
        host: Which host of the flow's deployment this is; None where everything runs here.
        secure: Keystore of flow and drivers, or None for open ones.

    Returns:
        Whether the flow can be deployed.

    Raises:
        ReflexarcError: The flow or the robot file is wrong, or there is no ROS 2.
    """
    loaded = on_robot(load_flow(flow), robot)
    require_ros()
    transport = None if secure is None else secured(secure, loaded)
    with (
        shared_memory_cleaned(),
        tempfile.TemporaryDirectory(prefix="reflexarc-check-") as folder,
        network_of(loaded, host, Path(folder), transport, OPERATOR) as domain,
    ):
        from reflexarc.control.nodes.module_client import guest
        from reflexarc.control.nodes.robot_check import check_robot_topics

        with guest("robot_check") as (node, executor):
            found = check_robot_topics(loaded, node, executor)
    assert loaded.robot is not None
    console = Console(soft_wrap=True, highlight=False)
    if not console.is_terminal:
        console.width = _FILE_WIDTH
    console.print(check_table(f"{loaded.name} on {loaded.robot.robot}, ROS domain {domain}", found))
    for finding in found:
        for problem in finding.problems:
            console.print(f"{finding.port}: {escape(problem)}")
    wrong = sum(bool(finding.problems) for finding in found)
    console.print(
        f"Not ready: {wrong} of {len(found)} topics."
        if wrong
        else f"Ready: all {len(found)} topics are as they must be."
    )
    return not wrong


def check_table(title: str, found: "Sequence[TopicFinding]") -> Table:
    """A line for each topic."""
    table = Table(title=title, box=SIMPLE_HEAD)
    for column in ("port", "topic", "type", "QoS"):
        table.add_column(column, overflow="fold")  # a topic that is cut off says nothing
    for column in ("needed", "measured", "behind"):
        table.add_column(column, justify="right")
    table.add_column("")
    for one in found:
        state = "[green]ok[/]"
        if one.problems:
            state = "[red]missing[/]" if one.is_missing else "[red]wrong[/]"
        table.add_row(
            one.port,
            one.topic,
            one.type,
            one.qos,
            "" if one.rate_hz is None else f"{one.rate_hz:g} Hz",
            "" if one.measured_hz is None else f"{one.measured_hz:.1f} Hz",
            "" if one.behind_s is None else f"{one.behind_s * 1e3:.0f} ms",
            state,
        )
    return table
