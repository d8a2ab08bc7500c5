"""A flow with its twin on several hosts, each with its own launcher, and what an eye beside the plant sees of it.

    python examples/flow_on_hosts.py run FLOW HOST EPISODES
    python examples/flow_on_hosts.py watch FLOW HOST

`run` is what one host does. `watch` prints a line per command that reaches the plant, per command that reaches the
guard, and per health report. FLOW is a flow file, or a flow as JSON. Others import `flow_on_hosts`.
"""

import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from hosts import Hosts

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.bringup import run_on_host

_POLL_S = 0.02


@dataclass
class Seen:
    """What has been seen so far; times are of the monotonic clock, which all hosts here share.

    Args:
        commands: (time, greatest speed of a joint, flow time) of each command to the plant.
        wanted: Time of each command to the guard.
        reports: (time, node, its figures) of each health report.
    """

    commands: list[tuple[float, float, float]] = field(default_factory=list)
    wanted: list[float] = field(default_factory=list)
    reports: list[tuple[float, str, Mapping[str, str]]] = field(default_factory=list)

    def take(self, line: str) -> None:
        """A line of `watch`."""
        at, kind, *rest = json.loads(line)
        if kind == "command":
            self.commands.append((at, *rest))
        elif kind == "wanted":
            self.wanted.append(at)
        else:
            self.reports.append((at, *rest))

    def moves(self, since: float) -> bool:
        """Whether the plant was told to move after this time."""
        return any(speed > 0 for at, speed, _ in self.commands if at > since)

    def still_at(self, since: float) -> tuple[float, float] | None:
        """From when on all commands after this time were to stand still, and the flow time; None where they are not."""
        after = [command for command in self.commands if command[0] > since]
        if not after or after[-1][1] > 0:
            return None
        moved = [index for index, (_, speed, _) in enumerate(after) if speed > 0]
        at, _, flow_s = after[moved[-1] + 1 if moved else 0]
        return at, flow_s

    def slows_at(self, since: float) -> float | None:
        """When the commands began to fall on whose fall the arm came to stand; None where it did not."""
        still = self.still_at(since)
        if still is None:
            return None
        before = [(at, speed) for at, speed, _ in self.commands if at <= still[0]]
        falls = [at for (_, earlier), (at, speed) in pairwise(before) if speed >= earlier]
        first = max(falls, default=before[0][0])
        return next((at for at, _ in before if at > first), still[0])

    def flow_time(self, at: float) -> float:
        """Flow time of the last command before a time."""
        return max(flow_s for then, _, flow_s in self.commands if then <= at)


class FlowOnHosts:
    """What `flow_on_hosts` has started."""

    def __init__(self, launchers: Mapping[str, object], watcher: object) -> None:
        self._processes = {**launchers, "watch": watcher}
        self.seen = Seen()
        threading.Thread(target=self._read, args=(watcher,), daemon=True).start()

    def wait_for(self, what: str, is_so: Callable[[], bool], within_s: float = 60.0) -> float:
        """Wait until something is so, and return when that was.

        Raises:
            RuntimeError: It never was, or a host has ended.
        """
        until = time.monotonic() + within_s
        while not is_so():
            for name, process in self._processes.items():
                if process.poll() is not None:
                    raise RuntimeError(f"{name} ended: {process.stderr.read().strip()}")
            if time.monotonic() > until:
                raise RuntimeError(f"after {within_s:g} s it was not so: {what}")
            time.sleep(_POLL_S)
        return time.monotonic()

    def _read(self, watcher: object) -> None:
        for line in watcher.stdout:
            self.seen.take(line)


@contextmanager
def flow_on_hosts(
    hosts: Hosts, flow: Flow, episodes: int, environment: Mapping[str, str]
) -> Iterator[FlowOnHosts]:
    """While open, a flow runs on these hosts; when they go, it goes.

    Args:
        hosts: With the names and addresses of the flow's deployment.
        flow: The flow; its deployment says where the twin is.
        episodes: How many the twin has.
        environment: Variables for its processes.
    """
    assert flow.deployment is not None
    plant_host = flow.deployment.host_of("twin")
    assert plant_host is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "flow.json"
        path.write_text(flow.model_dump_json())
        launchers = {
            name: hosts.start(name, [__file__, "run", str(path), name, str(episodes)], environment)
            for name in hosts.addresses
        }
        watcher = hosts.start(plant_host, [__file__, "watch", str(path), plant_host], environment)
        yield FlowOnHosts(launchers, watcher)


def _watch(flow: Flow, host: str) -> None:
    from diagnostic_msgs.msg import DiagnosticArray  # noqa: PLC0415 the launcher starts without ROS 2
    from rclpy.qos import qos_profile_sensor_data  # noqa: PLC0415
    from rosgraph_msgs.msg import Clock  # noqa: PLC0415
    from std_msgs.msg import Float64MultiArray  # noqa: PLC0415
    from trajectory_msgs.msg import JointTrajectory  # noqa: PLC0415

    from reflexarc.control.nodes.environment import among_hosts  # noqa: PLC0415
    from reflexarc.control.nodes.module_client import guest  # noqa: PLC0415

    def tell(*what: object) -> None:
        print(json.dumps([time.monotonic(), *what]), flush=True)

    flow_s = [0.0]

    def take_clock(message: Clock) -> None:
        flow_s[0] = message.clock.sec + message.clock.nanosec * 1e-9

    def tell_health(message: DiagnosticArray) -> None:
        for status in message.status:
            tell("report", status.name, {pair.key: pair.value for pair in status.values})

    ((_, command),) = flow.plant.inputs.items()
    wanted = flow.modules[command.node].inputs["command"]
    with (
        tempfile.TemporaryDirectory() as folder,
        among_hosts(flow.name, flow.deployment, host, Path(folder)),
        guest("eye") as (node, executor),
    ):
        node.create_subscription(
            Float64MultiArray,
            flow.port(command).topic,
            lambda message: tell("command", max(map(abs, message.data)), flow_s[0]),
            10,
        )
        node.create_subscription(JointTrajectory, flow.port(wanted).topic, lambda message: tell("wanted"), 10)
        node.create_subscription(Clock, "/clock", take_clock, qos_profile_sensor_data)
        node.create_subscription(DiagnosticArray, "diagnostics", tell_health, 50)
        while True:
            executor.spin_once(timeout_sec=0.1)


def main() -> None:
    """Do what the command line says."""
    what, path, host, *rest = sys.argv[1:]
    flow = Flow.model_validate_json(Path(path).read_bytes()) if path.endswith(".json") else load_flow(path)
    try:
        if what == "watch":
            _watch(flow, host)
        else:
            run_on_host(flow, host, twin={"seeds": list(range(int(rest[0])))})
    except KeyboardInterrupt:
        pass
    except ReflexarcError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
