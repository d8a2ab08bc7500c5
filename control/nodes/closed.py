"""Closed: whether a process that has to be closed by mutual TLS really is.

Fast DDS only logs what goes wrong with TLS, and goes on in the open: so each process looks at its own sockets after
it has started, and tries its own door.
"""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from reflexarc.control.errors import SecurityError
from reflexarc.control.nodes.environment import TLS_PORT, profile_variable
from reflexarc.control.security.layout import authority_beside

__all__ = ["require_closed"]

_ANSWER_WITHIN_S = 5.0
_LISTENS = "0A"
"""State of a listening socket in /proc/net/tcp (linux/tcp_states.h)."""


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
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False  # what counts is who has issued the certificate
    try:
        context.load_verify_locations(authority_beside(Path(os.environ[profile_variable()])))
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
