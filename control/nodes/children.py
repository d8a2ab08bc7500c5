"""Children: the processes of a run, started, watched, and ended whatever state they are in."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from reflexarc.control.errors import RuntimeUnavailableError
from reflexarc.control.files import write_whole

__all__ = ["LAUNCHER_PID", "PID_SUFFIX", "Children"]

PID_SUFFIX = ".pid"
"""The directory has a file `NAME.pid` for each node."""

LAUNCHER_PID = "REFLEXARC_LAUNCHER_PID"
"""Environment variable of a child: it ends when the process of this id does."""

_LOGGED = re.compile(r"^\[(?:ERROR|FATAL)\] \[[^\]]*\] \[[^\]]*\]: (.*)$")
_POLL_S = 0.01


class Children:
    """Processes by name.

    Each is in a session of its own, so that a Ctrl-C in the terminal reaches the launcher alone, which then
    ends them in order; and each ends by itself when the launcher is gone.

    Args:
        directory: Where their output goes, a log file each.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.has_crashed = False
        """Whether one has ended that should not have."""

    def start(
        self,
        name: str,
        module: str,
        arguments: Sequence[str],
        nodes: Sequence[str] = (),
        environment: Mapping[str, str | None] = MappingProxyType({}),
    ) -> None:
        """Start `python -m module arguments`.

        Args:
            name: Of the process.
            module: Python module.
            arguments: Its command line.
            nodes: Names of the nodes in it; without any, one that is named as the process.
            environment: Variables that differ from those here; None is 'not set'.
        """
        own = {LAUNCHER_PID: str(os.getpid()), "SPT_NOENV": "1"}
        variables = {**os.environ, **environment, **own}
        with self._log_path(name).open("ab") as log:
            started = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # SPT_NOENV: setproctitle is not to write the title over the environment that /proc shows.
                env={name: value for name, value in variables.items() if value is not None},
            )
        self._processes[name] = started
        for node in nodes or [name]:
            write_whole(self._directory / f"{node}{PID_SUFFIX}", str(started.pid))

    def dead(self) -> list[str]:
        """Those that have ended."""
        return [name for name, process in self._processes.items() if process.poll() is not None]

    def check(self, *names: str) -> None:
        """Make sure that these are alive, or all.

        Raises:
            RuntimeUnavailableError: One has ended; the message says which, how and why.
        """
        for name in names or self._processes:
            code = self._processes[name].poll()
            if code is not None:
                self.has_crashed = True
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                raise RuntimeUnavailableError(
                    f"{name} ended ({how}): {self.reason(name)} (log: {self._log_path(name)})"
                )

    def reason(self, name: str) -> str:
        """The last thing that a process complained of, in one line."""
        lines = [
            line for line in self._log_path(name).read_text(errors="replace").splitlines() if line.strip()
        ]
        logged = [index for index, line in enumerate(lines) if _LOGGED.match(line)]
        if not logged:
            return lines[-1].strip() if lines else "it said nothing"
        said = _LOGGED.sub(r"\1", lines[logged[-1]])
        if said.startswith("Traceback"):
            # What comes after the indented frames is the exception.
            rest = (line for line in lines[logged[-1] + 1 :] if not line.startswith((" ", "[")))
            return next(rest, said).strip()
        return said

    def terminate(self, names: Iterable[str]) -> None:
        """Ask processes to end, in this order."""
        for name in names:
            if name in self._processes:
                self._signal(self._processes[name], signal.SIGTERM)

    def wait(self, until: float) -> bool:
        """Wait for all to end until this time on the monotonic clock; whether they did."""
        while any(process.poll() is None for process in self._processes.values()):
            if time.monotonic() > until:
                return False
            time.sleep(_POLL_S)
        return True

    def kill(self) -> None:
        """End whatever still runs, and leave no zombie."""
        for process in self._processes.values():
            self._signal(process, signal.SIGKILL)
        for process in self._processes.values():
            process.wait()

    def _signal(self, process: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
        if process.poll() is None:
            with suppress(ProcessLookupError):
                process.send_signal(number)

    def _log_path(self, name: str) -> Path:
        return self._directory / f"{name}.log"
