"""What `sim` and `eval` share: which flow, seeds and artifacts, and where the report goes."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.artifacts.store import SHIPPED_STORE, resolve_artifacts
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.modules.use_cases import with_recorders
from reflexarc.control.report import make_report, print_report, write_report
from reflexarc.control.run_result import RunResult
from reflexarc.control.seeds import evaluation_seeds

__all__ = ["Run", "UseCases", "require_writable"]


@dataclass(frozen=True)
class UseCases:
    """Where use cases go.

    Args:
        folder: Of the store.
        limit_mb: For all of them together.
    """

    folder: Path
    limit_mb: float


@dataclass(frozen=True)
class Run:
    """Everything that is known before the first process starts.

    Args:
        flow: The flow.
        clock: What drives it.
        seed: What the user gave.
        seeds: One per episode.
        store: Folder of the artifacts.
        artifacts: Verified artifact per trained module.
        json: Where the report goes as data, or None.
    """

    flow: Flow
    clock: str
    seed: int
    seeds: tuple[int, ...]
    store: Path
    artifacts: Mapping[str, Artifact]
    json: Path | None

    @classmethod
    def prepare(
        cls,
        flow: str,
        episodes: int,
        clock: str,
        seed: int,
        json: Path | None,
        store: Path | None,
        usecases: "UseCases | None" = None,
    ) -> "Run":
        """Check everything that can be checked before a run, so that none ends in vain.

        Raises:
            ReflexarcError: The flow, an artifact, the seed or the place of the report is not right.
        """
        seeds = evaluation_seeds(seed, episodes)
        if json is not None:
            require_writable(json)
        loaded = load_flow(flow)
        if usecases is not None:
            loaded = with_recorders(loaded, usecases.folder, usecases.limit_mb)
        folder = SHIPPED_STORE if store is None else store
        return cls(loaded, clock, seed, seeds, folder, resolve_artifacts(loaded, folder), json)

    def report(self, result: RunResult, console: Console) -> None:
        """Print the report, and write it if that was asked for."""
        digests = {name: artifact.digest for name, artifact in self.artifacts.items()}
        report = make_report(self.flow, self.clock, self.seed, result, digests)
        print_report(report, console)
        if self.json is not None:
            write_report(report, self.json)


def require_writable(file: Path) -> None:
    """Make sure that a report can go there.

    Raises:
        ReflexarcError: It cannot.
    """
    if file.is_dir() or not os.access(file.absolute().parent, os.W_OK | os.X_OK):
        raise ReflexarcError(f"{file}: nothing can be written there. Name a file in a folder that exists.")
