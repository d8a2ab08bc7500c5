"""`reflexarc status`: for each trained module of a flow, up to date or stale and why, and its contract."""

import json
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.flow_file import load_flow

__all__ = ["run_status"]

_COLORS = {
    "up to date": "green",
    "kept": "green",
    "stale": "yellow",
    "not trained": "yellow",
    "unknown": "yellow",
    "altered": "red",
    "broken": "red",
}


def run_status(flow: str, store: Path | None, *, as_json: bool) -> None:
    """Print it, as a table or as data.

    Raises:
        ReflexarcError: The flow or the lock is not right.
    """
    loaded = load_flow(flow)

    from reflexarc.control.training.status import flow_status

    found = flow_status(loaded, SHIPPED_STORE if store is None else store)
    if as_json:
        typer.echo(json.dumps([status.model_dump() for status in found], indent=1))
        return
    console = Console(highlight=False)
    table = Table("module", "artifact", "state", "because of", "contract", title=loaded.name)
    for status in found:
        state, contract = (f"[{_COLORS[w]}]{w}[/]" for w in (status.state, status.contract))
        because = escape(", ".join(status.causes))
        table.add_row(status.module, (status.digest or "")[:12], state, because, contract)
    console.print(table)
    for status in found:
        for violation in status.violations:
            console.print(f"broken: {violation}", soft_wrap=True)
