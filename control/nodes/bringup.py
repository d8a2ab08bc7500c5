"""Bringup: the processes of a flow, up from the actuators back to the sensors, down in reverse.

`run_ros` is the whole of RosRuntime as the command line sees it. The launcher starts the processes, asks them
for their transitions, and waits for the twin's result; no value of the flow passes through it. Whatever ends
the run, the nodes that command the robot halt it first, and nothing stays behind: no process, no file.
"""

import json
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.errors import RuntimeUnavailableError
from reflexarc.control.flow import Flow
from reflexarc.control.nodes import Clock
from reflexarc.control.nodes.access import LAUNCHER
from reflexarc.control.nodes.children import Children
from reflexarc.control.nodes.description import (
    TWIN,
    NodeDescription,
    by_process,
    command_line,
    describe_flow,
    on_host,
)
from reflexarc.control.nodes.environment import (
    among_hosts,
    domain_id,
    isolated,
    require_ros,
    shared_memory_cleaned,
)
from reflexarc.control.nodes.running import FLOW_FILE, announce, make_run_directory
from reflexarc.control.run_result import Episode, RunResult
from reflexarc.control.values import Diagnostic

if TYPE_CHECKING:
    from reflexarc.control.nodes.lifecycle import LifecycleClient
    from reflexarc.control.nodes.secure_transport import SecureTransport

__all__ = ["Bringup", "Status", "run_directory", "run_on_host", "run_ros", "signals_deferred"]

_START_WITHIN_S = 60.0
"""Five processes import onnxruntime, MuJoCo and rclpy on two cores in some 4 s."""
_TRANSITION_WITHIN_S = 30.0
_POLL_S = 0.05
_SETTLED_S = 5.0
_RESPAWNS = 3
"""A module that ends so often, each time within five seconds of its start, cannot be brought back."""
_COME_UP = ("-p", "autostart:=true")
"""Has nodes come up by themselves."""
_HALT_WITHIN_S = 0.5
_SOON_S = 1.0
_END_WITHIN_S = 0.7
"""After a Ctrl-C the commanders have half a second to halt, all nodes one to stop, and then their processes
0.7 s to end, or they are killed: 2 s were promised. After the last episode there is no hurry to stop."""


@dataclass(frozen=True)
class Status:
    """How a run stands.

    Args:
        phase: `starting` or `running`.
        nodes: Last health report of each node that has sent one.
        episodes: Those that are over.
        respawns: How often each node has ended and was started again.
    """

    phase: str
    nodes: Mapping[str, Diagnostic]
    episodes: Sequence[Episode]
    respawns: Mapping[str, int] = field(default_factory=dict)


def run_ros(
    flow: Flow,
    seeds: Sequence[int],
    clock: Clock = "lockstep",
    on_status: Callable[[Status], None] = lambda status: None,
    store: Path = SHIPPED_STORE,
    real_time_factor: float = 1.0,
    transport: "SecureTransport | None" = None,
) -> RunResult:
    """Run one episode per seed over ROS 2, with a process per module and one for the twin.

    SIGINT and SIGTERM take everything down and then have their usual effect.

    Args:
        flow: The flow.
        seeds: Each decides its whole episode.
        clock: What drives it.
        on_status: Called when something has changed.
        store: Folder of the artifacts.
        real_time_factor: In real time, how fast the twin's clock goes: for flows that need more cores than there are.
        transport: What closes the flow to strangers, or None for nothing.

    Raises:
        FlowError: A module has the name of the plant's node.
        RuntimeUnavailableError: There is no ROS 2, or a node cannot start or has ended; the message gives
            that node's own reason.
    """
    with run_directory() as (directory, children, signals):
        twin = {"seeds": list(seeds), "real_time_factor": real_time_factor}
        nodes = describe_flow(flow, str(directory / FLOW_FILE), clock, store, directory, twin)
        domain = domain_id() if transport is None else transport.keystore.domain
        closed = None if transport is None else transport.environment(LAUNCHER)
        with isolated(domain, directory, closed=closed):
            run = _Run(flow, clock, directory, children, nodes, signals, on_status, transport)
            run.to_the_end(store, domain)
            return run.result()


def run_on_host(
    flow: Flow,
    host: str,
    on_status: Callable[[Status], None] = lambda status: None,
    store: Path = SHIPPED_STORE,
    twin: Mapping[str, Any] | None = None,
) -> None:
    """Run what one of a flow's hosts has of it, in real time, until SIGINT, SIGTERM or the last episode of a twin here.

    Nobody oversees the hosts: each node configures itself, waits for its neighbours wherever they are, and begins.
    All hosts are in one ROS domain, 0 without ROS_DOMAIN_ID as everywhere in ROS 2.

    Args:
        flow: The flow, with a deployment.
        host: Name of this host there.
        on_status: Called when something has changed.
        store: Folder of the artifacts.
        twin: Parameters of the twin, where the plant is simulated; it runs on the host that the deployment gives it.

    Raises:
        FlowError: The flow's deployment has no such host.
        RuntimeUnavailableError: There is no ROS 2, this machine does not have the host's address, or a node
            cannot start or ends again and again.
    """
    with (
        run_directory() as (directory, children, signals),
        among_hosts(flow.name, flow.deployment, host, directory) as domain,
    ):
        # Only the twin leaves records: nobody would read those of a part.
        own = None if twin is None else {**twin, "run_directory": str(directory)}
        nodes = describe_flow(flow, str(directory / FLOW_FILE), "realtime", store, twin=own)
        run = _Run(flow, "realtime", directory, children, on_host(nodes, host), signals, on_status)
        run.comes_up_alone = True
        run.to_the_end(store, domain)


@contextmanager
def run_directory() -> Iterator[tuple[Path, Children, list[int]]]:
    """While open, a folder for a run, the run's processes, and the signals that have come meanwhile.

    The folder goes with the run, unless a process has ended by itself: then its log is worth reading.

    Raises:
        RuntimeUnavailableError: There is no ROS 2.
    """
    require_ros()
    with signals_deferred() as signals, shared_memory_cleaned():
        directory = make_run_directory()
        children = Children(directory)
        try:
            yield directory, children, signals
        finally:
            if not children.has_crashed:
                shutil.rmtree(directory, ignore_errors=True)


class _InterruptedError(Exception):
    """SIGINT or SIGTERM came."""


class Bringup:
    """The processes of one flow, from the first to the last.

    Args:
        flow: The flow.
        clock: What drives it.
        directory: Its run directory.
        children: Its processes.
        nodes: What to start, from the actuators back to the sensors.
        signals: SIGINT and SIGTERM are noted here, and end it.
        on_status: Called when something has changed.
    """

    comes_up_alone = False
    """Whether these are one host's nodes of several, which come up by themselves, since nobody oversees the hosts."""

    def __init__(
        self,
        flow: Flow,
        clock: Clock,
        directory: Path,
        children: Children,
        nodes: Sequence[NodeDescription],
        signals: list[int],
        on_status: Callable[[Status], None],
        transport: "SecureTransport | None" = None,
    ) -> None:
        self._transport = transport
        self._flow = flow
        self._clock = clock
        self._directory = directory
        self._signals = signals
        self._on_status = on_status
        self._children = children
        self._health: dict[str, Diagnostic] = {}
        self._episodes: list[Episode] = []
        self._respawns: Counter[str] = Counter()
        self._early_ends: Counter[str] = Counter()
        self._started_at: dict[str, float] = {}
        """When a process was last started again."""
        self._phase = "starting"
        self._nodes = {node.name: node for node in nodes}
        self._namespace = nodes[0].namespace
        self._names = tuple(self._nodes)
        """All nodes, from the actuators back to the sensors."""
        self._processes = by_process(nodes)

    # --- what a kind of run decides

    def is_over(self) -> bool:
        """Whether it has come to its end; called again and again."""
        raise NotImplementedError

    def is_to_act(self, name: str) -> bool:
        """Whether a node is activated with the others."""
        return True

    # --- all of it

    def to_the_end(self, store: Path, domain: int) -> None:
        """Start everything, wait for the end, take everything down.

        Args:
            store: Folder of the artifacts.
            domain: ROS domain.
        """
        try:
            self._start()
            client = _lifecycle_client(self._names, domain, self._take_health, self._namespace)
            patience_s = _SOON_S
            try:
                self._up(client)
                way_in = None if self._transport is None else self._transport.way_in()
                announce(self._directory, self._flow.name, self._clock, store, way_in, self._namespace)
                self._watch(client)
                patience_s = _TRANSITION_WITHIN_S
            finally:
                begin = time.monotonic()
                try:
                    self._halt(client, patience_s)
                finally:
                    # While the others are still there. Who leaves DDS while others do may hang in it for ever
                    # (github.com/eProsima/Fast-DDS/issues/6502): a node has an alarm for that, but what the run
                    # came to is told by this process.
                    client.close()
                    self._end_processes(begin)
        except _InterruptedError:
            raise KeyboardInterrupt from None
        finally:
            self._children.kill()

    # --- up

    def _start(self) -> None:
        (self._directory / FLOW_FILE).write_text(self._flow.model_dump_json())
        for node in self._nodes.values():
            # A file for each: parsing a long list of seeds takes long where it belongs to another node.
            full_name = f"{node.namespace}/{node.name}"
            parameters = json.dumps({full_name: {"ros__parameters": node.parameters}})  # JSON is YAML
            (self._directory / f"{node.name}.yaml").write_text(parameters)
        for process in self._processes:
            self._start_process(process)

    def _start_process(self, process: str, *more: str) -> None:
        nodes = self._processes[process]
        names = [node.name for node in nodes]
        arguments = command_line(nodes, [str(self._directory / f"{name}.yaml") for name in names])
        if self.comes_up_alone and not more:
            more = _COME_UP
        if self._namespace:
            arguments += ["-r", f"__ns:={self._namespace}"]
        # A secured flow has a process per node, see `principals_of_flow`.
        environment = {} if self._transport is None else self._transport.environment(nodes[0].name)
        self._children.start(process, nodes[0].python_module, [*arguments, *more], names, environment)

    def _up(self, client: "LifecycleClient") -> None:
        if not self.comes_up_alone:
            self._bring_up(client)
        self._phase = "running"

    def _bring_up(self, client: "LifecycleClient") -> None:
        until = time.monotonic() + _START_WITHIN_S
        while absent := [name for name in self._names if not client.is_up(name)]:
            self._check()
            if time.monotonic() > until:
                reason = self._reason(absent[0])
                raise RuntimeUnavailableError(
                    f"{', '.join(absent)} did not come up in {_START_WITHIN_S:.0f} s: {reason}"
                )
            client.spin(_POLL_S)
        for transition in ("configure", "activate"):
            for name in self._names:
                if transition == "activate" and not self.is_to_act(name):
                    continue
                if not client.change(name, transition, _TRANSITION_WITHIN_S, self._check):
                    raise RuntimeUnavailableError(f"{name} cannot {transition}: {self._reason(name)}")

    # --- running

    def _watch(self, client: "LifecycleClient") -> None:
        while not self.is_over():
            if self._clock == "realtime":
                self._respawn_dead()
            self._check()
            client.spin(_POLL_S)

    def _respawn_dead(self) -> None:
        """Start modules again that have ended; they come up by themselves, since all others are there already.

        But for one that commands a robot, which then waits for somebody to activate it, as after every start.
        In lock step nobody can go on without one of them, and nobody at all without the twin.
        """
        for process in self._children.dead():
            now = time.monotonic()
            has_settled = now - self._started_at.get(process, -_SETTLED_S) >= _SETTLED_S
            self._early_ends[process] = 0 if has_settled else self._early_ends[process] + 1
            names = [node.name for node in self._processes[process]]
            if TWIN not in names and self._early_ends[process] < _RESPAWNS:
                self._respawns.update(names)
                self._started_at[process] = now
                self._start_process(process, *_COME_UP)

    def _check(self) -> None:
        if self._signals:
            raise _InterruptedError
        self._children.check()

    def _take_health(self, report: Diagnostic) -> None:
        if report.name in self._names:
            self._health[report.name] = report
            self._tell()

    def _tell(self) -> None:
        self._on_status(Status(self._phase, dict(self._health), tuple(self._episodes), dict(self._respawns)))

    # --- down

    def _halt(self, client: "LifecycleClient", patience_s: float) -> None:
        """Halt the robot, then stop the nodes from the sensors to the actuators."""
        begin = time.monotonic()
        commanders = self._commanders()
        others = [name for name in reversed(self._names) if name not in commanders]
        for name in (*commanders, *others):
            within_s = min(_HALT_WITHIN_S, patience_s) if name in commanders else patience_s
            left_s = max(0.0, begin + within_s - time.monotonic())
            if not client.is_up(name):
                continue
            if self._flow.robot is not None and name in commanders and client.state(name, left_s) != "active":
                continue
            with suppress(RuntimeUnavailableError):  # it has ended, so there is nothing left to stop
                process = self._nodes[name].process
                client.change(name, "deactivate", left_s, partial(self._children.check, process))

    def _end_processes(self, begin: float) -> None:
        """End those that have been stopped, or should have been, since `begin`."""
        last = [self._nodes[name].process for name in self._commanders()]
        self._children.terminate(
            [*(process for process in reversed(self._processes) if process not in last), *last]
        )
        self._children.wait(max(time.monotonic(), begin + _SOON_S) + _END_WITHIN_S)

    def _commanders(self) -> list[str]:
        return [name for name in self._names if name in self._flow.commanders]

    def _reason(self, name: str) -> str:
        return self._children.reason(self._nodes[name].process)


class _Run(Bringup):
    """A run with the twin, which says when it is over."""

    def is_over(self) -> bool:
        """Whether the twin has left its result."""
        is_over = (self._directory / "result.json").exists()
        self._read_episodes()
        return is_over

    def result(self) -> RunResult:
        """What came of it, once it is over.

        Raises:
            RuntimeUnavailableError: A node has left no records.
        """
        from reflexarc.control.nodes.records import read_steps  # noqa: PLC0415

        self._read_episodes()
        result: dict[str, Any] = json.loads((self._directory / "result.json").read_text())
        records, rejections = {}, {}
        for name in self._flow.modules:
            path = self._directory / f"{name}.npz"
            if not path.exists():
                raise RuntimeUnavailableError(f"{name} ended without its records: {self._reason(name)}")
            records[name], rejections[name] = read_steps(path)
            if self._respawns[name]:
                rejections[name] = {**rejections[name], "ended and was started again": self._respawns[name]}
        if result["faults"]:
            rejections[TWIN] = result["faults"]
        return RunResult(
            episodes=tuple(self._episodes),
            trajectory_sha256=result["trajectory_sha256"],
            missed_deadlines=result["missed_deadlines"],
            records=records,
            rejections=rejections,
            clock_at=dict(result["clock_at"]) if self._clock == "realtime" else None,
            artifacts={
                name: digest
                for name, report in self._health.items()
                if (digest := dict(report.figures).get("artifact")) is not None
            },
        )

    def _read_episodes(self) -> None:
        path = self._directory / "episodes.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        lines = [line for line in lines if line.endswith("\n")]  # the twin may be in the middle of one
        if len(lines) > len(self._episodes):
            self._episodes = [Episode(**json.loads(line)) for line in lines]
            self._tell()


def _lifecycle_client(
    names: Sequence[str], domain: int, on_health: Callable[[Diagnostic], None], namespace: str
) -> "LifecycleClient":
    try:
        from reflexarc.control.nodes.lifecycle import LifecycleClient  # noqa: PLC0415 the CLI starts without ROS 2
    except ImportError as error:
        raise RuntimeUnavailableError(
            f"ROS 2 cannot be loaded ({error}). Run: pip install 'reflexarc[ros]', or source your ROS 2."
        ) from error
    return LifecycleClient(names, domain, on_health, namespace)


@contextmanager
def signals_deferred() -> Iterator[list[int]]:
    """While open, SIGINT and SIGTERM are only noted; on leaving they have the effect that they had before."""
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)

    if threading.current_thread() is not threading.main_thread():
        yield came  # Python lets only the main thread handle signals, so there the caller does
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
