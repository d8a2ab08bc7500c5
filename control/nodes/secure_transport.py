"""Secure transport: what makes a process's corner of ROS 2 a closed one, and whether it really is.

Where the middleware has DDS security, the environment names the keystore and ROS 2 does the rest (SROS2): it
refuses to start without. Where it has none, as in the ROS 2 wheels, all processes speak mutual TLS. Fast DDS only
logs what goes wrong with that, and goes on in the open: so each process looks at itself after it has
started, and ends if it is not as it should be (`nodes.closed`).
"""

import os
import socket
import subprocess
import sys
from dataclasses import dataclass
from typing import Literal

from reflexarc.control.errors import RuntimeUnavailableError, SecurityError
from reflexarc.control.flow import Flow
from reflexarc.control.nodes.access import DRIVERS, LAUNCHER, OPERATOR, access_of_flow
from reflexarc.control.nodes.environment import (
    PROFILE_VARIABLES,
    SECURITY_VARIABLES,
    TLS_PORT,
    profile_variable,
)
from reflexarc.control.security.keystore import Keystore, Principal

__all__ = ["SecureTransport", "choose_transport", "principals_of_flow"]

_UNSET: dict[str, str | None] = dict.fromkeys(
    (*PROFILE_VARIABLES, "ROS_DISCOVERY_SERVER", "FASTDDS_BUILTIN_TRANSPORTS", *SECURITY_VARIABLES)
)
"""All that could choose another transport."""

_PROBE = """
import rclpy
from reflexarc.control.nodes.process import make_client_node
context = rclpy.Context()
rclpy.init(context=context)
make_client_node("probe", context).destroy_node()
"""
"""No more than an operator may do, or its permissions would forbid it."""
_PROBE_WITHIN_S = 30.0
_HAS_NONE = "doesn't have the security libraries"
"""What rmw_fastrtps says where Fast DDS was built without DDS security."""

_FIRST_PORT, _LAST_PORT = 20000, 32000
"""Below the ports that Linux gives out by itself."""


@dataclass(frozen=True)
class SecureTransport:
    """How the processes of one run are closed.

    Args:
        kind: `sros2` or `tls`.
        keystore: Their key material.
    """

    kind: Literal["sros2", "tls"]
    keystore: Keystore

    def __str__(self) -> str:
        if self.kind == "sros2":
            return f"secured by SROS2 with the keystore {self.keystore.directory}"
        return (
            f"secured by mutual TLS with the keystore {self.keystore.directory} "
            "(this ROS 2 has no DDS security, so no permissions per topic)"
        )

    def environment(self, process: str) -> dict[str, str | None]:
        """What a process has in its environment; None is 'not set'."""
        if self.kind == "sros2":
            return {
                **_UNSET,
                "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
                "ROS_SECURITY_ENABLE": "true",
                "ROS_SECURITY_STRATEGY": "Enforce",
                "ROS_SECURITY_KEYSTORE": str(self.keystore.directory),
                "ROS_SECURITY_ENCLAVE_OVERRIDE": self.keystore.enclaves[process],
            }
        return {
            **_UNSET,
            profile_variable(): str(self.keystore.profile(process)),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",  # LOCALHOST would bring UDP back in
            "OPENSSL_CONF": str(self.keystore.openssl_conf),
            TLS_PORT: str(self.keystore.ports.get(process, 0)),
        }

    def for_drivers(self) -> str:
        """The variables that bring a robot's own drivers in, as a shell takes them."""
        return " ".join(f"{name}={value}" for name, value in self._variables(DRIVERS).items())

    def way_in(self) -> dict[str, str]:
        """What brings an operator from another terminal in; who cannot read the keystore stays outside."""
        rmw = os.environ.get("RMW_IMPLEMENTATION")
        return self._variables(OPERATOR) | ({"RMW_IMPLEMENTATION": rmw} if rmw else {})

    def _variables(self, process: str) -> dict[str, str]:
        """What a process has set that this one does not start."""
        given = {"ROS_DOMAIN_ID": str(self.keystore.domain), **self.environment(process)}
        return {name: value for name, value in given.items() if value is not None}


def principals_of_flow(flow: Flow, namespace: str = "") -> list[Principal]:
    """All processes of a flow with what they may do, and a port for each that others connect to.

    Args:
        flow: The flow.
        namespace: ROS namespace of its nodes, as `/left`; empty for none, or for that of the robot.

    Raises:
        SecurityError: Modules share a process, which has one identity; or there are not enough free ports.
    """
    if flow.deployment is not None:
        raise SecurityError(
            f"{flow.name}: a secured flow has a process per node, each with keys of its own, on one host. "
            "Leave the flow file's deployment out."
        )
    namespace = namespace or flow.namespace
    accesses = access_of_flow(flow, namespace)
    listening = [name for name in accesses if name not in {LAUNCHER, OPERATOR}]
    ports = dict(zip(listening, _free_ports(len(listening)), strict=True))
    return [
        Principal(
            name=name,
            enclave=f"{namespace}/{name}",
            writes=access.writes,
            reads=access.reads,
            port=ports.get(name),
        )
        for name, access in accesses.items()
    ]


def choose_transport(keystore: Keystore) -> SecureTransport:
    """The best that the ROS 2 at hand can do: SROS2, or else mutual TLS.

    Raises:
        SecurityError: It can do neither, or a port is taken.
    """
    given = os.environ.get("ROS_DOMAIN_ID") or str(keystore.domain)
    if given != str(keystore.domain):
        raise SecurityError(
            f"{keystore.directory}: it was made for ROS domain {keystore.domain}, and ROS_DOMAIN_ID is {given}. "
            "Unset it, or make the key material anew. Nothing was started."
        )
    sros2 = SecureTransport("sros2", keystore)
    problem = _problem_with(sros2)
    if not problem:
        return sros2
    if _HAS_NONE not in problem:
        raise SecurityError(f"DDS security does not come up: {problem.splitlines()[-1]} Nothing was started.")
    for process, port in keystore.ports.items():
        if process != DRIVERS and not _is_free(port):  # the drivers may be there already
            raise SecurityError(
                f"{process}: its port {port} is taken. Does this flow run already with {keystore.directory}? "
                "Nothing was started."
            )
    return SecureTransport("tls", keystore)


def _problem_with(transport: SecureTransport) -> str:
    """Why a node does not come up, asked in a process of its own; empty if it does."""
    changes = {"ROS_DOMAIN_ID": str(transport.keystore.domain), **transport.environment(OPERATOR)}
    variables = {n: v for n, v in {**os.environ, **changes}.items() if v is not None}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env=variables,
            capture_output=True,
            text=True,
            timeout=_PROBE_WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise RuntimeUnavailableError(f"ROS 2 did not come up in {_PROBE_WITHIN_S:.0f} s.") from None
    return "" if done.returncode == 0 else done.stderr.strip() or f"exit code {done.returncode}."


def _free_ports(count: int) -> list[int]:
    """TCP ports of this host that follow each other and that nobody uses."""
    span = _LAST_PORT - _FIRST_PORT
    for attempt in range(100):
        first = _FIRST_PORT + (os.getpid() * 37 + attempt * count) % (span - count)
        ports = list(range(first, first + count))
        if all(map(_is_free, ports)):
            return ports
    raise SecurityError(f"no {count} free TCP ports in a row from {_FIRST_PORT} to {_LAST_PORT}.")


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection may linger on it
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
