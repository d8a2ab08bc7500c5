"""`reflexarc deploy`: a flow beside a robot's own drivers, live on the terminal until Ctrl-C."""

from pathlib import Path

from rich.console import Console
from rich.live import Live

from reflexarc.control.artifacts.store import SHIPPED_STORE, resolve_artifacts
from reflexarc.control.commands.secure import secured
from reflexarc.control.commands.sim import node_table
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.modules.stop import NOT_ACTIVATED
from reflexarc.control.nodes.bringup import Status
from reflexarc.control.nodes.deployment import deploy
from reflexarc.control.nodes.running import running_flows
from reflexarc.control.robot_file import on_robot

__all__ = ["Teller", "run_deploy"]


def run_deploy(
    flow: str,
    robot: str,
    store: Path | None,
    *,
    activate: bool,
    host: str | None = None,
    secure: Path | None = None,
) -> None:
    """Run it until Ctrl-C.

    Args:
        flow: Name or path of the flow.
        robot: Name or path of the robot file.
        store: Folder of the artifacts; None for those that ship.
        activate: Whether commands flow as soon as all is up.
        host: Which host of the flow's deployment this is; None where everything runs here.
        secure: Keystore that closes flow and drivers to strangers, or None for an open one.

    Raises:
        ReflexarcError: It cannot start, or a node has ended and cannot be brought back.
    """
    loaded = on_robot(load_flow(flow), robot)
    _require_host(loaded, host, activate=activate)
    folder = SHIPPED_STORE if store is None else store
    resolve_artifacts(loaded, folder)
    _require_alone(loaded)
    transport = None if secure is None else secured(secure, loaded)
    status = Console(stderr=True, soft_wrap=True, highlight=False)
    teller = Teller(loaded)
    if transport is not None:
        status.print(f"{loaded.name}: {transport}")
        status.print(f"drivers join it with {transport.for_drivers()}")
    with Live(console=status, refresh_per_second=4, transient=True) as live:

        def show(now: Status) -> None:
            for line in teller.news(now):
                live.console.print(line)
            if status.is_terminal:
                live.update(node_table(loaded.order, now, teller.caption))

        show(Status("starting", {}, ()))
        deploy(loaded, show, folder, host=host, is_activated=activate, transport=transport)


class Teller:
    """Says in a line each what whoever stands beside the robot has to know.

    Args:
        flow: The flow, with its robot.
    """

    def __init__(self, flow: Flow) -> None:
        assert flow.robot is not None
        self._flow = flow
        self._robot = flow.robot.robot
        self._phase = ""
        self._commands: dict[str, str] = {}
        self._respawns: dict[str, int] = {}

    @property
    def caption(self) -> str:
        """What the guards do now."""
        return ", ".join(f"{guard}: commands {said}" for guard, said in self._commands.items())

    def news(self, now: Status) -> list[str]:
        """What has changed since the last time."""
        lines = []
        if now.phase != self._phase:
            self._phase = now.phase
            lines.append(f"{self._flow.name} on {self._robot}: {now.phase}")
        for name, count in now.respawns.items():
            if count > self._respawns.get(name, 0):
                self._respawns[name] = count
                lines.append(f"{name} ended and was started again{self._what_then(name)}")
        for name in self._flow.commanders:
            said = dict(now.nodes[name].figures).get("commands") if name in now.nodes else None
            if said is not None and said != self._commands.get(name):
                self._commands[name] = said
                lines.append(f"{name}: commands {said}{self._what_to_do(said)}")
        return lines

    def _what_then(self, name: str) -> str:
        return "; the robot stands still" if name in self._flow.commanders else ""

    def _what_to_do(self, said: str) -> str:
        return "; `reflexarc activate` lets the robot move" if said == NOT_ACTIVATED else ""


def _require_host(flow: Flow, host: str | None, *, activate: bool) -> None:
    """A part of a flow is started where it belongs, and moves nothing by itself.

    Raises:
        ReflexarcError: It is not said which host this is, or the robot is to move before the others are there.
    """
    hosts = () if flow.deployment is None else tuple(flow.deployment.hosts)
    if hosts and host is None:
        raise ReflexarcError(f"flow {flow.name} runs on several hosts. Say which this is: --host {hosts[0]}.")
    if host is not None and activate:
        raise ReflexarcError(
            "--activate does not go with --host: each host comes up when it likes. "
            "Run `reflexarc activate` when all are there."
        )


def _require_alone(flow: Flow) -> None:
    """Two guards must not command one robot.

    Raises:
        ReflexarcError: There is a deployment to this robot already.
    """
    assert flow.robot is not None
    for other in running_flows():
        robot = other.load().robot
        there = None if robot is None else (robot.robot, other.namespace)
        if there == (flow.robot.robot, flow.robot.namespace):
            raise ReflexarcError(
                f"flow {other.flow} is deployed to {flow.robot.robot} already (pid {other.pid}). End it first."
            )
