"""Secure transport: what makes a process's corner of ROS 2 a closed one, and whether it really is.

Where the middleware has DDS security, the environment names the keystore and ROS 2 does the rest (SROS2): it
refuses to start without. Where it has none, as in the ROS 2 wheels, all processes speak mutual TLS. Fast DDS only
logs what goes wrong with that, and goes on in the open: so each process looks at its own sockets after it has
started, tries its own door, and ends if either is not as it should be.
"""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from reflexarc.control.errors import RuntimeUnavailableError, SecurityError
from reflexarc.control.flow import Flow
from reflexarc.control.nodes.access import LAUNCHER, OPERATOR, access_of_flow
from reflexarc.control.nodes.environment import (
    PROFILE_VARIABLES,
    SECURITY_VARIABLES,
    TLS_PORT,
    profile_variable,
)
from reflexarc.control.security.keystore import AUTHORITY, Keystore, Principal

__all__ = ["SecureTransport", "choose_transport", "principals_of_flow", "require_closed"]

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

_ANSWER_WITHIN_S = 5.0
_LISTENS = "0A"
"""State of a listening socket in /proc/net/tcp (linux/tcp_states.h)."""

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

    def way_in(self) -> dict[str, str]:
        """What brings an operator from another terminal in; who cannot read the keystore stays outside."""
        variables = {"ROS_DOMAIN_ID": str(self.keystore.domain), **self.environment(OPERATOR)}
        if rmw := os.environ.get("RMW_IMPLEMENTATION"):
            variables["RMW_IMPLEMENTATION"] = rmw
        return {name: value for name, value in variables.items() if value is not None}


def principals_of_flow(flow: Flow, namespace: str = "") -> list[Principal]:
    """All processes of a flow with what they may do, and a port for each that others connect to.

    Args:
        flow: The flow.
        namespace: ROS namespace of its nodes, as `/left`; empty for none.

    Raises:
        SecurityError: Modules share a process, which has one identity; or there are not enough free ports.
    """
    if flow.deployment is not None:
        raise SecurityError(
            f"{flow.name}: a secured flow has a process per node, each with keys of its own, on one host. "
            "Leave the flow file's deployment out."
        )
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
        if not _is_free(port):
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


def require_closed(name: str) -> None:
    """Make sure that this process, if it has to be closed by mutual TLS, is: call it after its node was made.

    Args:
        name: Name of the node, for the message.

    Raises:
        SecurityError: It is not.
    """
    port = os.environ.get(TLS_PORT)
    if port is None:
        return
    reason = _what_is_open(int(port))
    if reason:
        raise SecurityError(f"{name}: the transport came up open ({reason}), so it ends.")


def _what_is_open(port: int) -> str:
    sockets = list(_own_sockets())
    if any(kind == "udp" for kind, _ in sockets):
        return "UDP"
    if "/dev/shm/fast" in Path("/proc/self/maps").read_text():
        return "shared memory"
    allowed = {("tcp", f"0100007F:{port:04X}")} if port else set()
    if strangers := set(sockets) - allowed:
        return f"a socket at {', '.join(sorted(address for _, address in strangers))}"
    if allowed - set(sockets):
        return f"nothing listens at port {port}"
    return _what_is_wrong_with_the_door(port) if port else ""


def _own_sockets() -> Iterator[tuple[str, str]]:
    """(`udp` or `tcp`, local address as /proc writes it) of every socket here where others could come in."""
    inodes = set()
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            target = os.readlink(entry)
            if target.startswith("socket:["):
                inodes.add(target[len("socket:[") : -1])
    for table in ("udp", "udp6", "tcp", "tcp6"):
        path = Path("/proc/self/net") / table
        if not path.exists():  # a kernel without IPv6
            continue
        for line in path.read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes and (table.startswith("udp") or fields[3] == _LISTENS):
                yield table.removesuffix("6"), fields[1]


def _what_is_wrong_with_the_door(port: int) -> str:
    """Come to one's own port without a certificate: TLS has to answer, and to refuse for want of one."""
    profile = Path(os.environ[profile_variable()])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # what counts is who has issued the certificate
    try:
        context.load_verify_locations(profile.parents[2] / AUTHORITY)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_WITHIN_S) as plain,
            context.wrap_socket(plain) as door,
        ):
            return _refusal_at(door)
    except OSError as error:
        return f"no TLS at port {port}: {error}"


def _refusal_at(door: ssl.SSLSocket) -> str:
    """In TLS 1.3 the refusal comes after the handshake."""
    with suppress(TimeoutError):
        try:
            door.recv(1)
        except ssl.SSLError as error:
            if error.reason is not None and "CERTIFICATE_REQUIRED" in error.reason:
                return ""
            return f"TLS: {error.reason}"
    return "it lets in who shows no certificate"
