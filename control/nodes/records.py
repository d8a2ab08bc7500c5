"""Records: what a node leaves in the run directory when it stops, for the launcher's report."""

import json
import os
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from reflexarc.control.trace import StepRecord

__all__ = ["StepLog", "read_steps", "write_json"]

_COLUMNS = 4  # now, output stamp, received, published; then one newest stamp per input port
_NOTHING_NEW = -1


class StepLog:
    """All steps of one node, as rows of integers: an hour at 100 Hz is 20 MB, written in some 10 ms.

    Args:
        ports: The node's input ports.
    """

    def __init__(self, ports: Sequence[str]) -> None:
        self._ports = tuple(ports)
        self._rows = array("q")

    def append(self, record: StepRecord) -> None:
        """Keep one step."""
        stamps = record.input_stamps_ns
        self._rows.extend((record.now_ns, record.output_stamp_ns, record.received_ns, record.published_ns))
        self._rows.extend([stamps.get(port, _NOTHING_NEW) for port in self._ports])

    def write(self, path: Path, faults: Mapping[str, int]) -> None:
        """Write the steps and the node's faults, whole or not at all."""
        rows = np.frombuffer(self._rows, dtype=np.int64).reshape(-1, _COLUMNS + len(self._ports))
        temporary = path.with_suffix(".partial")
        with temporary.open("wb") as file:
            np.savez(file, rows=rows, ports=np.array(self._ports, dtype=str), faults=json.dumps(dict(faults)))
        os.replace(temporary, path)


def read_steps(path: Path) -> tuple[list[StepRecord], dict[str, int]]:
    """The steps and the faults that a `StepLog` wrote."""
    with np.load(path, allow_pickle=False) as file:
        rows: npt.NDArray[np.int64] = file["rows"]
        ports = [str(port) for port in file["ports"]]
        faults: dict[str, int] = json.loads(str(file["faults"]))
    records = [
        StepRecord(
            now_ns=now,
            output_stamp_ns=output,
            received_ns=received,
            published_ns=published,
            input_stamps_ns={p: s for p, s in zip(ports, stamps, strict=True) if s != _NOTHING_NEW},
        )
        for now, output, received, published, *stamps in rows.tolist()
    ]
    return records, faults


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a file whole or not at all, so that who waits for it never reads half of it."""
    temporary = path.with_suffix(".partial")
    temporary.write_text(json.dumps(content))
    os.replace(temporary, path)
