"""`reflexarc secure`: the key material of a flow, with the least that each of its processes needs."""

import datetime
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.environment import require_ros
from reflexarc.control.robot_file import on_robot

if TYPE_CHECKING:
    from reflexarc.control.nodes.secure_transport import SecureTransport

__all__ = ["run_secure", "secured"]

_NAMESPACE = r"(/[A-Za-z_][A-Za-z0-9_]*)*"


def run_secure(flow: str, out: Path, namespace: str = "", robot: str | None = None) -> None:
    """Make it, and say what there is now.

    Args:
        flow: Name or path of the flow file.
        out: Folder to make.
        namespace: ROS namespace of the nodes; empty for none.
        robot: Name or path of the file of the robot that it is deployed to; None for the twin.

    Raises:
        ReflexarcError: The flow is wrong, or the folder cannot be made.
    """
    from reflexarc.control.nodes.secure_transport import principals_of_flow
    from reflexarc.control.security.keystore import make_keystore

    loaded = load_flow(flow) if robot is None else on_robot(load_flow(flow), robot)
    if robot is not None and namespace:
        raise ValueRefusedError("--namespace does not go with --robot, whose file says the namespace.")
    if not re.fullmatch(_NAMESPACE, namespace):
        raise ValueRefusedError(f"namespace '{namespace}': expected one as /left, or none.")
    principals = principals_of_flow(loaded, namespace)
    domain = _domain()
    make_keystore(out, loaded, domain, principals, _now())
    for principal in principals:
        where = "connects only" if principal.port is None else f"port {principal.port}"
        typer.echo(
            f"{principal.enclave}: may write {len(principal.writes)} and read {len(principal.reads)} topics, {where}"
        )
    verb = "sim" if robot is None else f"deploy --robot {robot}"
    typer.echo(
        f"{out}: key material of {loaded.name} for ROS domain {domain}. "
        f"Run: reflexarc {verb} --flow {flow} --secure {out}"
    )
    typer.echo(f"Keep {out / 'private'} elsewhere: whoever has it can let anyone in, and no run needs it.")


def secured(directory: Path, flow: Flow) -> "SecureTransport":
    """What closes a flow to strangers, after everything was checked.

    Args:
        directory: Its keystore.
        flow: The flow, as its file says it.

    Raises:
        ReflexarcError: Something is not as it should be; nothing may start.
    """
    from reflexarc.control.nodes.secure_transport import choose_transport
    from reflexarc.control.security.keystore import Keystore

    keystore = Keystore.open(directory, flow, _now())
    require_ros()
    return choose_transport(keystore)


def _domain() -> int:
    given = os.environ.get("ROS_DOMAIN_ID") or "0"  # as ROS 2 itself
    if not given.isdecimal() or int(given) > 232:
        raise ValueRefusedError(f"ROS_DOMAIN_ID is '{given}'. Give a number from 0 to 232, or unset it.")
    return int(given)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
