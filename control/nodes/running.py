"""Running: how another terminal finds a flow that runs on this host, without ROS 2.

The launcher leaves a note in its run directory once the flow is up, and the directory goes with the run. A
note whose launcher lives no more is what a killed one left behind.
"""

import os
import tempfile
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from reflexarc.control.errors import ReflexarcError, did_you_mean
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.nodes import Clock
from reflexarc.control.nodes.children import PID_SUFFIX
from reflexarc.control.nodes.environment import way_in

__all__ = ["FLOW_FILE", "RunningFlow", "announce", "find_running", "make_run_directory", "running_flows"]

FLOW_FILE = "flow.json"
"""The flow as the launcher read it, in the run directory."""

_NOTE = "run.json"
_PREFIX = "reflexarc-"


class RunningFlow(BaseModel):
    """A flow that is up.

    Args:
        flow: Its name.
        pid: Process id of its launcher.
        clock: What drives it.
        store: Folder of its artifacts.
        environment: The way into its corner of ROS 2: its domain and, if it has one, its transport profile.
        directory: Its run directory.
        namespace: ROS namespace of its nodes; empty for none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: str
    pid: int
    clock: Clock
    store: Path
    environment: dict[str, str]
    directory: Path
    namespace: str = ""

    def is_alive(self) -> bool:
        """Whether its launcher lives."""
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True

    def pid_of(self, node: str) -> int:
        """Process id of a node, as it is now: one that has died is started again.

        Raises:
            ReflexarcError: The run has just ended, or has no such node.
        """
        try:
            return int((self.directory / f"{node}{PID_SUFFIX}").read_text())
        except (OSError, ValueError):
            raise ReflexarcError(f"flow {self.flow}: no process of {node} is known.") from None

    def load(self) -> Flow:
        """The flow itself.

        Raises:
            ReflexarcError: The run has just ended, or another version of the project started it.
        """
        try:
            return Flow.model_validate_json((self.directory / FLOW_FILE).read_bytes())
        except OSError:
            raise ReflexarcError(f"flow {self.flow} has just ended.") from None
        except ValidationError:
            raise ReflexarcError(
                f"flow {self.flow} (pid {self.pid}) was started by another version of reflexarc. End it first."
            ) from None


def make_run_directory() -> Path:
    """A folder for one run, for this user alone; who runs it removes it."""
    return Path(tempfile.mkdtemp(prefix=_PREFIX))


def announce(
    directory: Path,
    flow: str,
    clock: Clock,
    store: Path,
    environment: dict[str, str] | None = None,
    namespace: str = "",
) -> None:
    """Leave the note of a flow that is up, whose launcher is this process.

    Args:
        directory: The run directory, in which the flow is already.
        flow: Name of the flow.
        clock: What drives it.
        store: Folder of its artifacts.
        environment: The way in, or None for that of this process.
        namespace: ROS namespace of its nodes.
    """
    note = RunningFlow(
        flow=flow,
        pid=os.getpid(),
        clock=clock,
        store=store.absolute(),
        environment=way_in() if environment is None else environment,
        directory=directory,
        namespace=namespace,
    )
    write_whole(directory / _NOTE, note.model_dump_json())


def running_flows() -> list[RunningFlow]:
    """The flows of this user that are up."""
    found = []
    for path in sorted(Path(tempfile.gettempdir()).glob(f"{_PREFIX}*/{_NOTE}")):
        try:
            if path.stat().st_uid != os.getuid():  # anybody may write to the temporary folder
                continue
            note = RunningFlow.model_validate_json(path.read_bytes())
        except (OSError, ValidationError):
            continue  # it has just ended, or is another version's
        if note.is_alive():
            found.append(note)
    return found


def find_running(name: str | None) -> RunningFlow:
    """The flow that is meant.

    Args:
        name: Name of a flow, or None for the only one.

    Raises:
        ReflexarcError: None is up, none of this name, or more than one.
    """
    flows = running_flows()
    if not flows:
        raise ReflexarcError("no flow is running. Start one with `reflexarc sim --clock realtime`.")
    meant = [flow for flow in flows if name in {None, flow.flow}]
    if not meant:
        raise ReflexarcError(
            f"no flow '{name}' is running. {did_you_mean(name or '', {f.flow for f in flows})}"
        )
    if len(meant) > 1:
        names = ", ".join(f"{flow.flow} (pid {flow.pid})" for flow in meant)
        advice = "Name one with --flow." if name is None else "End all but one."
        raise ReflexarcError(f"more than one flow is running: {names}. {advice}")
    return meant[0]
