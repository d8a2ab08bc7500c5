"""Hosts made of nothing: network namespaces, each with a cable to one switch, that can be unplugged or made slow.

A namespace has its own interfaces, addresses and routes; what runs in it takes no other way out. The cables are veth
pairs, and the switch is a bridge in a namespace of its own, so nothing of this machine's network is touched. Each
has a machine id of its own, too: by that Fast DDS tells hosts apart, and two with the same find nobody (as machines
do whose disks are copies of each other).
"""

import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["Hosts", "hosts", "why_not"]

_SWITCH = "switch"

_OWN_FILES = Path("/etc/netns")
"""What is in its folder NAME, `ip netns exec NAME` puts over the files in /etc."""


def why_not() -> str | None:
    """Why this machine makes no such hosts, or None if it does."""
    if shutil.which("ip") is None:
        return "needs iproute2: apt-get install iproute2"
    name = f"rx{os.getpid()}-probe"
    made = _ip("netns", "add", name, check=False)
    if made.returncode:
        return f"needs the right to make network namespaces, as root has it ({made.stderr.strip()})"
    _ip("netns", "delete", name)
    return None


class Hosts:
    """What `hosts` has made.

    Args:
        addresses: Address of each host, by name.
        prefix: Of the names of the namespaces.
    """

    def __init__(self, addresses: Mapping[str, str], prefix: str) -> None:
        self.addresses = addresses
        self._prefix = prefix
        self._processes: list[subprocess.Popen[str]] = []

    def start(
        self, host: str, python: Sequence[str], environment: Mapping[str, str]
    ) -> "subprocess.Popen[str]":
        """Start Python on a host; it ends at the latest with the hosts."""
        command = ["ip", "netns", "exec", self._namespace(host), sys.executable, *python]
        process = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._processes.append(process)
        return process

    def unplug(self, host: str) -> None:
        """Pull a host's cable out of the switch: its interface has no carrier any more, and keeps its address."""
        self._on(_SWITCH, "ip", "link", "set", "dev", host, "down")

    def plug(self, host: str) -> None:
        """Put it back in."""
        self._on(_SWITCH, "ip", "link", "set", "dev", host, "up")

    def slow(self, host: str, kbit_per_s: int) -> None:
        """Let no more than this through a host's cable, either way; up to a second of it waits in line."""
        shape = ("root", "tbf", "rate", f"{kbit_per_s}kbit", "burst", "4kb", "latency", "1s")
        self._on(_SWITCH, "tc", "qdisc", "replace", "dev", host, *shape)
        self._on(host, "tc", "qdisc", "replace", "dev", "eth0", *shape)

    def fast(self, host: str) -> None:
        """Let all through again."""
        self._on(_SWITCH, "tc", "qdisc", "delete", "dev", host, "root")
        self._on(host, "tc", "qdisc", "delete", "dev", "eth0", "root")

    def _make(self) -> None:
        for name in (_SWITCH, *self.addresses):
            _ip("netns", "add", self._namespace(name))
            files = _OWN_FILES / self._namespace(name)
            files.mkdir(parents=True)
            (files / "machine-id").write_text(f"{uuid.uuid4().hex}\n")
            self._on(name, "ip", "link", "set", "lo", "up")
        self._on(_SWITCH, "ip", "link", "add", "bridge", "type", "bridge")
        self._on(_SWITCH, "ip", "link", "set", "bridge", "up")
        for name, address in self.addresses.items():
            peer = ("peer", "name", name, "netns", self._namespace(_SWITCH))
            _ip("link", "add", "eth0", "netns", self._namespace(name), "type", "veth", *peer)
            self._on(_SWITCH, "ip", "link", "set", "dev", name, "master", "bridge", "up")
            self._on(name, "ip", "address", "add", f"{address}/24", "dev", "eth0")
            self._on(name, "ip", "link", "set", "eth0", "up")

    def _remove(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGINT)
        for process in self._processes:
            with suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=10)
            process.kill()
            process.communicate()
        for name in (_SWITCH, *self.addresses):
            _ip("netns", "delete", self._namespace(name), check=False)
            shutil.rmtree(_OWN_FILES / self._namespace(name), ignore_errors=True)
        with suppress(OSError):  # somebody else's are in it
            _OWN_FILES.rmdir()

    def _on(self, name: str, *command: str) -> None:
        _ip("netns", "exec", self._namespace(name), *command)

    def _namespace(self, name: str) -> str:
        return f"{self._prefix}-{name}"


@contextmanager
def hosts(addresses: Mapping[str, str]) -> Iterator[Hosts]:
    """While open, there are these hosts; then they go, and what was started on them.

    Args:
        addresses: Address of each, by name; all in the same /24.
    """
    made = Hosts(addresses, f"rx{os.getpid()}")
    try:
        made._make()
        yield made
    finally:
        made._remove()


def _ip(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done
