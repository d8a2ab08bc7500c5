"""`reflexarc artifacts`: what lies in a store: list it, show one, verify all, remove what nothing needs."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

from reflexarc.control.artifacts.artifact import Artifact, artifact_digest, load_artifact
from reflexarc.control.artifacts.history import read_history
from reflexarc.control.artifacts.store import SHIPPED_STORE, read_lock
from reflexarc.control.errors import ArtifactError

__all__ = ["run_gc", "run_list", "run_show", "run_verify"]


def run_list(store: Path | None) -> None:
    """Print every artifact of a store, and which flows pin it.

    Raises:
        ArtifactError: A lock cannot be read.
    """
    folder = _store(store)
    pins = _pins(folder)
    table = Table("artifact", "kind", "flow it was trained for", "size", "pinned by")
    for path in _folders(folder):
        digest = artifact_digest(path)
        try:
            manifest = load_artifact(path, digest).manifest
        except ArtifactError:
            table.add_row(path.name, "[red]altered[/]", "", "", ", ".join(pins.get(digest, ())))
            continue
        size = sum(file.stat().st_size for file in path.iterdir())
        pinned = ", ".join(pins.get(digest, ()))
        table.add_row(path.name, manifest.kind, manifest.flow, f"{size / 1024:.0f} kB", pinned)
    Console(highlight=False).print(table)


def run_show(name: str, store: Path | None) -> None:
    """Print the manifest and the metrics of one artifact as JSON.

    Raises:
        ArtifactError: There is none, several fit, or it is altered.
    """
    artifact = _find(name, _store(store))
    content = {
        "digest": artifact.digest,
        "folder": str(artifact.folder),
        **artifact.manifest.model_dump(mode="json"),
        "metrics": artifact.metrics,
    }
    typer.echo(json.dumps(content, indent=1))


def run_verify(store: Path | None) -> None:
    """Compare every file of every artifact with its digest, and every pin with an artifact.

    Raises:
        ArtifactError: Something is missing or altered; one line each.
    """
    folder = _store(store)
    wrong = []
    count = 0
    for path in _folders(folder):
        count += 1
        digest = artifact_digest(path)
        if not digest.startswith(path.name.rpartition("-")[2]):
            wrong.append(f"{path / 'manifest.json'}: altered (sha256 {digest[:12]}…). Restore the file.")
            continue
        try:
            load_artifact(path, digest)
        except ArtifactError as error:
            wrong.append(str(error))
    for digest, flows in _pins(folder).items():
        if not any(path.name.endswith(digest[:12]) for path in _folders(folder)):
            wrong.append(f"{', '.join(flows)}: pins {digest[:12]}, which is not in {folder}. Restore it.")
    if wrong:
        raise ArtifactError("\n".join(wrong))
    typer.echo(f"{count} artifacts verified")


def run_gc(store: Path | None, *, dry_run: bool) -> None:
    """Remove artifacts that no lock pins and no rollback leads to.

    Raises:
        ArtifactError: A lock or history cannot be read; nothing is removed.
    """
    folder = _store(store)
    needed = set(_pins(folder))
    for lock in folder.glob("*.lock.json"):
        for change in read_history(folder, lock.name.removesuffix(".lock.json")):
            needed |= {change.after} | ({change.before} if change.before else set())
    # By name, since one that is needed and altered may be restored, or is to be looked at.
    names = {digest[:12] for digest in needed}
    unused = [path for path in _folders(folder) if path.name.rpartition("-")[2] not in names]
    for path in unused:
        typer.echo(f"{'would remove' if dry_run else 'removed'} {path.name}")
        if not dry_run:
            shutil.rmtree(path)
    if not unused:
        typer.echo("nothing to remove")


def _store(store: Path | None) -> Path:
    folder = SHIPPED_STORE if store is None else store
    if not folder.is_dir():
        raise ArtifactError(f"{folder}: no such store. Name a folder of artifacts with --store.")
    return folder


def _folders(store: Path) -> Iterator[Path]:
    return (path.parent for path in sorted(store.glob("[!.]*/manifest.json")))


def _pins(store: Path) -> dict[str, list[str]]:
    """Digest to the flows that pin it."""
    pins: dict[str, list[str]] = {}
    for path in sorted(store.glob("*.lock.json")):
        flow = path.name.removesuffix(".lock.json")
        for digest in read_lock(store, flow).values():
            pins.setdefault(digest, []).append(flow)
    return pins


def _find(name: str, store: Path) -> Artifact:
    """By folder name, or by the beginning of its digest."""
    fitting = [
        path for path in _folders(store) if path.name == name or artifact_digest(path).startswith(name)
    ]
    if len(fitting) != 1:
        found = ", ".join(path.name for path in fitting or _folders(store))
        raise ArtifactError(f"'{name}': {len(fitting)} artifacts fit. In {store}: {found}.")
    digest = artifact_digest(fitting[0])
    return load_artifact(fitting[0], digest)
