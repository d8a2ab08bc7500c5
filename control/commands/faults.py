"""`reflexarc faults`: what the nodes of a running flow have counted, and who departs from whom."""

import time

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reflexarc.control.nodes.environment import joined, require_ros, shared_memory_cleaned
from reflexarc.control.nodes.running import find_running
from reflexarc.control.values import Diagnostic

__all__ = ["run_faults"]

_LISTEN_S = 2.5
"""Each node reports once per second; discovery and a busy machine take the rest."""


def run_faults(flow: str | None) -> None:
    """Listen to all health reports for a moment, and print a table.

    Args:
        flow: Name of the running flow; None for the only one.

    Raises:
        ReflexarcError: No flow runs, or not this one.
    """
    running = find_running(flow)
    require_ros()
    counts: dict[tuple[str, str], str] = {}
    findings: dict[str, str] = {}
    heard: set[str] = set()
    newest: dict[str, Diagnostic] = {}
    with shared_memory_cleaned(), joined(running.environment, running.directory):
        from reflexarc.control.nodes.module_client import ModuleClient, guest

        def take(line: Diagnostic) -> None:
            newest[line.name] = line

        with guest("faults", running.namespace) as (node, executor):
            client = ModuleClient(node, executor, on_line=take)
            until = time.monotonic() + _LISTEN_S
            while time.monotonic() < until:
                client.spin()
    for entry in newest.values():
        who, _, member = entry.name.partition("/")
        if member:
            findings[f"{who}: {member}"] = entry.message
            continue
        heard.add(who)
        counts |= {(who, reason): count for reason, count in entry.figures if ": " in reason}
    table = Table(title=f"{running.flow}: {len(heard)} nodes heard", box=SIMPLE_HEAD)
    for column in ("node", "what", "times", "now"):
        table.add_column(column, justify="right" if column == "times" else "left")
    for (who, reason), count in sorted(counts.items()):
        member = reason.partition(": ")[0]
        table.add_row(who, escape(reason), count, findings.pop(f"{who}: {member}", ""))
    Console().print(table if counts else f"{running.flow}: {len(heard)} nodes heard, nothing to report")
