"""History: what a flow's lock pinned before, so that a promotion can be taken back, and how long trainings took.

`<flow>.history.jsonl` beside the lock gets a line per change of a pin. `<flow>.times.json` holds, per module,
the seconds of its last training: what retraining it would cost on this machine.
"""

import json
import os
import time
from contextlib import suppress
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from reflexarc.control.artifacts.store import pin, read_lock
from reflexarc.control.errors import ArtifactError
from reflexarc.control.files import write_whole

__all__ = ["Change", "promote", "read_history", "read_times", "record_time", "rollback"]

_ROLLBACK = "rollback"
"""Reason of a change that takes another one back."""


class Change(BaseModel):
    """One change of what a lock pins.

    Args:
        at: When, seconds since 1970 (UTC).
        artifact: Name in the lock.
        before: Digest before; None for the first.
        after: Digest after.
        reason: Why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    at: float
    artifact: str
    before: str | None
    after: str
    reason: str


def promote(store: Path, flow: str, artifact: str, digest: str, reason: str) -> None:
    """Pin an artifact, and remember what was pinned before.

    Raises:
        ArtifactError: It cannot be written; the old pin stays.
    """
    before = read_lock(store, flow).get(artifact)
    if before == digest:
        return
    change = Change(at=time.time(), artifact=artifact, before=before, after=digest, reason=reason)
    path = _path(store, flow)
    size = None
    try:
        # The line first: a pin without a line could not be taken back.
        with path.open("ab") as file:
            size = file.tell()
            file.write(change.model_dump_json().encode() + b"\n")
    except OSError as error:
        if size is not None:
            with suppress(OSError):
                os.truncate(path, size)  # half a line would make the history unreadable
        raise ArtifactError(f"{path}: cannot be written ({error.strerror}). Nothing was changed.") from None
    pin(store, flow, artifact, digest)


def read_history(store: Path, flow: str) -> list[Change]:
    """All changes, oldest first.

    Raises:
        ArtifactError: The file is not a history.
    """
    path = _path(store, flow)
    try:
        return [Change.model_validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        return []
    except (OSError, ValidationError, UnicodeDecodeError):
        raise ArtifactError(f"{path}: not a history of pins. Restore it, or remove it.") from None


def rollback(store: Path, flow: str, artifact: str) -> Change:
    """Pin what was pinned before the last promotion that has not been taken back.

    Returns:
        The change that this is.

    Raises:
        ArtifactError: Nothing was pinned before.
    """
    earlier: list[str] = []
    for change in read_history(store, flow):
        if change.artifact != artifact:
            continue
        if change.reason == _ROLLBACK:
            del earlier[-1:]
        elif change.before is not None:
            earlier.append(change.before)
    now = read_lock(store, flow).get(artifact)
    while earlier and earlier[-1] == now:  # of a promotion that was interrupted before it was pinned
        earlier.pop()
    if not earlier or now is None:
        raise ArtifactError(f"{artifact}: nothing was pinned before in {_path(store, flow)}.")
    promote(store, flow, artifact, earlier[-1], _ROLLBACK)
    return Change(at=time.time(), artifact=artifact, before=now, after=earlier[-1], reason=_ROLLBACK)


def read_times(store: Path, flow: str) -> dict[str, float]:
    """Seconds of the last training per module, as far as they are known."""
    try:
        return {
            str(name): float(seconds) for name, seconds in json.loads(_times(store, flow).read_text()).items()
        }
    except (OSError, ValueError, AttributeError):
        return {}


def record_time(store: Path, flow: str, module: str, seconds: float) -> None:
    """Remember how long a training took; where that cannot be written, an estimate is lost and no more."""
    times = {**read_times(store, flow), module: round(seconds, 1)}
    with suppress(OSError):
        write_whole(_times(store, flow), json.dumps(dict(sorted(times.items())), indent=1) + "\n")


def _path(store: Path, flow: str) -> Path:
    return store / f"{flow}.history.jsonl"


def _times(store: Path, flow: str) -> Path:
    return store / f"{flow}.times.json"
