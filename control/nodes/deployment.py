"""Deployment: the nodes of a flow beside a robot's own drivers, without a twin, in real time.

Everything comes up but the guard, which is configured and silent until somebody activates it; a guard that
ended and was started again is silent, too. Ctrl-C brings the robot to rest first. When everything is killed at
once no command goes out any more, and it is the driver's own watchdog that stops the robot.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.flow import Flow
from reflexarc.control.nodes.access import LAUNCHER
from reflexarc.control.nodes.bringup import Bringup, Status, run_directory
from reflexarc.control.nodes.description import describe_flow, on_host
from reflexarc.control.nodes.environment import among_hosts, at_robot, isolated
from reflexarc.control.nodes.running import FLOW_FILE

if TYPE_CHECKING:
    from reflexarc.control.nodes.secure_transport import SecureTransport

__all__ = ["deploy", "network_of"]


def deploy(
    flow: Flow,
    on_status: Callable[[Status], None] = lambda status: None,
    store: Path = SHIPPED_STORE,
    *,
    host: str | None = None,
    is_activated: bool = False,
    transport: "SecureTransport | None" = None,
) -> None:
    """Run a flow on its robot until SIGINT or SIGTERM, which then have their usual effect.

    On one of several hosts, only that host's processes, whose nodes come up by themselves; the guard is activated
    where it is.

    Args:
        flow: A flow with a robot.
        on_status: Called when something has changed.
        store: Folder of the artifacts.
        host: Which host of the flow's deployment this is; None where everything runs here.
        is_activated: Whether the guard is activated as soon as all nodes are up.
        transport: What closes flow and drivers to strangers, or None for nothing.

    Raises:
        FlowError: The flow's deployment has no such host.
        RuntimeUnavailableError: There is no ROS 2, or a node cannot start or ends again and again; the message gives
            that node's own reason.
    """
    with (
        run_directory() as (directory, children, signals),
        network_of(flow, host, directory, transport, LAUNCHER) as domain,
    ):
        everywhere = describe_flow(flow, str(directory / FLOW_FILE), "realtime", store)
        nodes = everywhere if host is None else on_host(everywhere, host)
        run = _Deployment(flow, "realtime", directory, children, nodes, signals, on_status, transport)
        run.is_activated = is_activated
        run.comes_up_alone = host is not None
        run.to_the_end(store, domain)


@contextmanager
def network_of(
    flow: Flow, host: str | None, directory: Path, transport: "SecureTransport | None", process: str
) -> Iterator[int]:
    """While open, ROS 2 is where the robot's drivers and the flow's other hosts are; gives the domain.

    Args:
        flow: A flow with a robot.
        host: Which host of the flow's deployment this is; None where everything runs here.
        directory: For logs and the transport profile.
        transport: What closes flow and drivers to strangers, or None for nothing.
        process: Which of a closed flow's processes this is.

    Raises:
        FlowError: The flow's deployment has no such host.
        RuntimeUnavailableError: This machine does not have that host's address, or ROS_DOMAIN_ID is not a domain.
    """
    if transport is not None:
        domain = transport.keystore.domain
        with isolated(domain, directory, closed=transport.environment(process)):
            yield domain
    elif host is None:
        with at_robot(directory) as domain:
            yield domain
    else:
        with among_hosts(flow.name, flow.deployment, host, directory) as domain:
            yield domain


class _Deployment(Bringup):
    """A run that only its user ends."""

    is_activated = False

    def is_over(self) -> bool:
        """It has no end of its own."""
        return False

    def is_to_act(self, name: str) -> bool:
        """A robot moves only when that was asked for."""
        return self.is_activated or name not in self._flow.commanders
