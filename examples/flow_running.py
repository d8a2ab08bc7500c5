"""A flow in a process of its own, for examples that look at it from outside."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from reflexarc.control.nodes.running import RunningFlow, running_flows

EPISODES = 5000
"""More than there is time for: at the end the flow is interrupted."""


@contextmanager
def flow_running(
    flow: str, store: Path, log_path: Path, up_within_s: float, more: Sequence[str] = ()
) -> Iterator[RunningFlow]:
    """Run it in real time, and end it in the end.

    Args:
        flow: Name or path of the flow.
        store: Folder of the artifacts.
        log_path: Where it writes what it says.
        up_within_s: How long it may take to come up.
        more: More options of `reflexarc sim`.
    """
    command = [sys.executable, "-m", "reflexarc.control.cli", "sim", "--flow", flow, "--clock", "realtime"]
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [*command, "--episodes", str(EPISODES), "--store", str(store), *more], stdout=log, stderr=log
        )
        try:
            until = time.monotonic() + up_within_s
            while not (found := [running for running in running_flows() if running.pid == process.pid]):
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the flow did not come up: {log_path.read_text()}")
                time.sleep(0.1)
            yield found[0]
        finally:
            process.terminate()
            process.wait(timeout=30)
