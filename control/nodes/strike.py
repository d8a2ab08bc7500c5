"""Strike: a fault that is done to a process, by a signal."""

import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence

from reflexarc.control.redundancy.fault_kind import FaultKind
from reflexarc.control.redundancy.faults import Fault

__all__ = ["SIGNALS", "strike"]

SIGNALS: Mapping[FaultKind, signal.Signals] = {
    FaultKind.KILL: signal.SIGKILL,
    FaultKind.FREEZE: signal.SIGSTOP,
}
"""What is done by a signal; all else is done to a module's outputs."""


def strike(pids: Sequence[int], fault: Fault, wait: Callable[[float], None] = time.sleep) -> None:
    """Kill processes, or freeze them for as long as the fault lasts; its `at_s` is the caller's.

    Args:
        pids: The processes.
        fault: `kill` or `freeze`.
        wait: Waits for some seconds.
    """
    _signal(pids, SIGNALS[fault.kind])
    if fault.kind is FaultKind.KILL:
        return
    try:
        wait(fault.for_s)
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue  # it ended by itself meanwhile
