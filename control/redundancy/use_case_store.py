"""Use-case store: recorded situations in which one approach departed from the others, bounded on disk.

A folder of `.npz` files, one per use case. A file's name says what it is of, so that looking through a store opens
none of them: `perception.depth.12_-3_8.1f0c9a7be4d2.npz` is the job, the approach, where in space (in tenths of a
metre) the others saw what it did not, and a digest of the content.
"""

import hashlib
import io
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.files import write_whole
from reflexarc.control.values import FloatArray, Value

__all__ = ["StoredCase", "UseCaseStore", "read_case", "stored_cases"]

_CELL_M = 0.1
"""Situations closer together than this are the same."""

_PER_SITUATION = 8
"""Of one situation so many are kept: the ninth teaches little."""

_UNSEEN = "unseen"

Columns = dict[str, npt.NDArray[np.generic]]


class StoredCase(NamedTuple):
    """One file of a store.

    Attributes:
        path: The file.
        job: Name of the job.
        approach: Name of the approach that departed.
        situation: Cell of space, or `unseen` where the others saw nothing.
        size: Bytes.
    """

    path: Path
    job: str
    approach: str
    situation: str
    size: int


def stored_cases(folder: Path) -> list[StoredCase]:
    """All use cases of a folder, in the order of their names; other files are left alone.

    Raises:
        ReflexarcError: It cannot be read.
    """
    found = []
    try:
        for path in sorted(folder.iterdir()):
            parts = path.name.split(".")
            if len(parts) == 5 and parts[-1] == "npz" and all(parts):
                found.append(StoredCase(path, parts[0], parts[1], parts[2], path.stat().st_size))
    except OSError as error:
        raise ReflexarcError(f"{folder}: no use cases can be read there ({error.strerror}).") from None
    return found


class UseCaseStore:
    """Keeps use cases in a folder.

    What is already known is not kept again, and there are at most eight of one situation. When there is no room
    left, new ones are not kept, and that is said: those that were the first of their kind stay.

    Args:
        folder: Is made if it is not there.
        limit_bytes: For all files together.

    Raises:
        ReflexarcError: Nothing can be written there, or there is no room from the beginning.
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReflexarcError(f"{folder}: no use cases can be kept there ({error.strerror}).") from None
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ReflexarcError(f"{folder}: no use cases can be kept there (nothing can be written).")
        self._left = limit_bytes
        self._known: Counter[tuple[str, str, str]] = Counter()
        for case in stored_cases(folder):
            self._left -= case.size
            self._known[case.job, case.approach, case.situation] += 1
        if self._left <= 0:
            raise ReflexarcError(
                f"{folder}: holds {(limit_bytes - self._left) / 1e6:.1f} MB of use cases, and may hold "
                f"{limit_bytes / 1e6:g} MB. Give it more with --usecases-mb, or learn from them and remove them."
            )

    def wants(self, job: str, approach: str, position: FloatArray | None) -> str:
        """Whether a use case would be kept: the reason why not, or nothing.

        Args:
            job: Name of the job.
            approach: Who departs.
            position: What the others say, m; None where they see nothing.
        """
        if self._left <= 0:
            return "no room left"
        if self._known[job, approach, _situation(position)] >= _PER_SITUATION:
            return "known already"
        return ""

    def keep(
        self, job: str, approach: str, position: FloatArray | None, ports: Mapping[str, Sequence[Value]]
    ) -> str:
        """Write one.

        Args:
            job: Name of the job.
            approach: Who departs.
            position: What the others say, m; None where they see nothing.
            ports: What was recorded at each port.

        Returns:
            Why it was not kept, or nothing.
        """
        if reason := self.wants(job, approach, position):
            return reason
        columns = {name: array for port, values in ports.items() for name, array in _columns(port, values)}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **columns)  # type: ignore[arg-type]
        content = buffer.getvalue()
        if len(content) > self._left:
            self._left = 0
            return "no room left"
        digest = hashlib.sha256(content).hexdigest()[:12]
        situation = _situation(position)
        path = self._folder / f"{job}.{approach}.{situation}.{digest}.npz"
        if path.exists():
            return "known already"
        try:
            write_whole(path, content)
        except OSError as error:
            return str(error.strerror)
        self._left -= len(content)
        self._known[job, approach, situation] += 1
        return ""


def read_case(path: Path) -> Columns:
    """The columns of a use case: `port/field`, each with one row per value.

    Raises:
        ReflexarcError: It cannot be read.
    """
    try:
        with path.open("rb") as opened, np.lib.npyio.NpzFile(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:  # a damaged archive makes zipfile, zlib and numpy raise nearly anything
        raise ReflexarcError(f"{path}: not a use case ({error}). Remove it.") from None


def _situation(position: FloatArray | None) -> str:
    if position is None:
        return _UNSEEN
    return "_".join(str(int(cell)) for cell in np.floor(np.clip(position, -1e3, 1e3) / _CELL_M))


def _columns(port: str, values: Sequence[Value]) -> list[tuple[str, npt.NDArray[Any]]]:
    """The arrays and the stamp of some values of one port, stacked."""
    if not values:
        return []
    first = values[0]
    found = [(f"{port}/stamp_ns", np.array([getattr(value, "stamp_ns", 0) for value in values]))]
    for entry in fields(first):
        arrays = [getattr(value, entry.name) for value in values]
        if isinstance(arrays[0], np.ndarray) and len({array.shape for array in arrays}) == 1:
            found.append((f"{port}/{entry.name}", np.stack(arrays)))
    return found
