"""`reflexarc usecases`: what approaches have to learn."""

from collections import defaultdict
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from reflexarc.control.redundancy.use_case_store import StoredCase, stored_cases

__all__ = ["run_usecases"]


def run_usecases(folder: Path) -> None:
    """Print a table, a line per approach.

    Raises:
        ReflexarcError: The folder cannot be read.
    """
    groups: dict[tuple[str, str], list[StoredCase]] = defaultdict(list)
    for case in stored_cases(folder):
        groups[case.job, case.approach].append(case)
    table = Table(title=f"use cases in {folder}", box=SIMPLE_HEAD)
    for column in ("job", "approach", "use cases", "situations", "MB"):
        table.add_column(column, justify="left" if column in ("job", "approach") else "right")
    for (job, approach), cases in sorted(groups.items()):
        situations = {case.situation for case in cases}
        size = sum(case.size for case in cases) / 1e6
        table.add_row(job, approach, str(len(cases)), str(len(situations)), f"{size:.1f}")
    Console().print(table if groups else f"no use cases in {folder}")
