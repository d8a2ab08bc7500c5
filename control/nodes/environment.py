"""Environment: the corner of ROS 2 that one run has for itself: a domain, and loopback UDP alone.

Fast DDS would use shared memory, whose files stay in /dev/shm when a process is killed, and sockets on
0.0.0.0. Neither buys anything at our image size. Two images of 41 kB there and an answer back between two
processes on two cores, p50 / p99 of 2000: shared memory 0.49 / 0.82 ms, loopback UDP 0.48 / 0.88 ms; at
300 kB 1.8 / 14 ms and 1.9 / 3.0 ms.
"""

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from reflexarc.control.errors import RuntimeUnavailableError, SecurityError

__all__ = [
    "PROFILE_VARIABLES",
    "SECURITY_VARIABLES",
    "TLS_PORT",
    "domain_id",
    "isolated",
    "joined",
    "profile_variable",
    "require_ros",
    "shared_memory_cleaned",
    "way_in",
]

PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
"""Where Fast DDS 3 and 2 look for their transport."""

_OWN_PROFILE = (*PROFILE_VARIABLES, "ROS_DISCOVERY_SERVER")
"""With any of these the user has chosen a transport; ours stays out of the way."""

TLS_PORT = "REFLEXARC_TLS_PORT"
"""Of a process that has to be closed by mutual TLS: its port, or 0 if it only connects to others."""

SECURITY_VARIABLES = (
    TLS_PORT,
    "OPENSSL_CONF",
    "ROS_SECURITY_ENABLE",
    "ROS_SECURITY_STRATEGY",
    "ROS_SECURITY_KEYSTORE",
    "ROS_SECURITY_ENCLAVE_OVERRIDE",
)
"""What closes a process's corner of ROS 2 to strangers."""

_PROFILE = """<?xml version="1.0" encoding="UTF-8"?>
<dds xmlns="http://www.eprosima.com"><profiles>
 <transport_descriptors><transport_descriptor>
  <transport_id>loopback</transport_id><type>UDPv4</type>
  <sendBufferSize>4194304</sendBufferSize><receiveBufferSize>4194304</receiveBufferSize>
  <interfaceWhiteList><address>127.0.0.1</address></interfaceWhiteList>
  <maxInitialPeersRange>32</maxInitialPeersRange>
 </transport_descriptor></transport_descriptors>
 <participant profile_name="reflexarc" is_default_profile="true"><rtps>
  <userTransports><transport_id>loopback</transport_id></userTransports>
  <useBuiltinTransports>false</useBuiltinTransports>
  <builtin>
   <discovery_config>
    <initialAnnouncements><count>20</count><period><sec>0</sec><nanosec>50000000</nanosec></period></initialAnnouncements>
    <leaseAnnouncement><sec>1</sec><nanosec>0</nanosec></leaseAnnouncement>
   </discovery_config>
   <metatrafficUnicastLocatorList><locator/></metatrafficUnicastLocatorList>
   <initialPeersList><locator><udpv4><address>127.0.0.1</address></udpv4></locator></initialPeersList>
  </builtin>
 </rtps></participant>
</profiles></dds>
"""
"""For Fast DDS 2 and 3. Discovery asks the 32 possible participants of the domain on this host, as
`ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST` does, which would bring shared memory back in. With the five first
announcements of the default, six of ten pairs of processes needed 3 s to find each other; with twenty, all
of ten 0.1 s."""

_SHARED_MEMORY = Path("/dev/shm")


_WAY_IN = (
    "ROS_DOMAIN_ID",
    "ROS_AUTOMATIC_DISCOVERY_RANGE",
    "RMW_IMPLEMENTATION",
    *_OWN_PROFILE,
    *SECURITY_VARIABLES,
)
"""What decides which nodes a process can find."""


def require_ros() -> None:
    """Make sure that there is ROS 2.

    Raises:
        RuntimeUnavailableError: There is none.
    """
    if find_spec("rclpy") is None:
        raise RuntimeUnavailableError(
            "ROS 2 is not installed. Run: pip install 'reflexarc[ros]', or source your ROS 2."
        )


def domain_id() -> int:
    """The user's ROS domain, or one that nobody on this host uses.

    Raises:
        RuntimeUnavailableError: ROS_DOMAIN_ID is not a domain, or none is free.
    """
    given = os.environ.get("ROS_DOMAIN_ID", "")
    if given:
        if not given.isdecimal() or not 0 <= int(given) <= 232:
            raise RuntimeUnavailableError(
                f"ROS_DOMAIN_ID is '{given}'. Give a number from 0 to 232, or unset it."
            )
        return int(given)
    # Up to 101 the ports lie below those that Linux gives out by itself (docs.ros.org, The ROS_DOMAIN_ID).
    candidates = [1 + (os.getpid() + offset) % 101 for offset in range(101)]
    for candidate in candidates:
        if _is_free(candidate):
            return candidate
    raise RuntimeUnavailableError("all ROS domains from 1 to 101 are in use on this host. Set ROS_DOMAIN_ID.")


def _is_free(domain: int) -> bool:
    """Whether no participant has the first unicast port of this domain (RTPS 2.5, 9.6.1.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 7400 + 250 * domain + 10))
        except OSError:
            return False
    return True


@contextmanager
def isolated(domain: int, directory: Path, closed: Mapping[str, str | None] | None = None) -> Iterator[None]:
    """While open, ROS 2 in this process and its children stays in one domain, on this host, without files.

    Args:
        domain: ROS domain.
        directory: For logs and the transport profile.
        closed: Variables of this process that close it to strangers, in place of the usual transport.
    """
    changes: dict[str, str | None] = {"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(directory)}
    is_fast_dds = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp").startswith("rmw_fastrtps")
    if closed is not None:
        changes |= closed
    elif is_fast_dds and not any(os.environ.get(name) for name in _OWN_PROFILE):
        profile = directory / "transport.xml"
        profile.write_text(_PROFILE)
        changes |= {
            profile_variable(): str(profile),
            "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT",
        }
    else:
        changes |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    with _changed(changes):
        yield


def way_in() -> dict[str, str]:
    """The variables that bring another process into this one's corner of ROS 2, for `joined`."""
    return {name: os.environ[name] for name in _WAY_IN if os.environ.get(name)}


@contextmanager
def joined(variables: Mapping[str, str], directory: Path) -> Iterator[None]:
    """While open, ROS 2 in this process is where another process is.

    Args:
        variables: What `way_in` gave there.
        directory: For logs.

    Raises:
        SecurityError: The other process is closed, and its key material is not for this user.
    """
    if TLS_PORT in variables and not os.access(variables[profile_variable()], os.R_OK):
        raise SecurityError(
            f"{variables[profile_variable()]} cannot be read. "
            "The flow runs with --secure, and only those who can read its keystore may join it."
        )
    with _changed({name: variables.get(name) for name in _WAY_IN} | {"ROS_LOG_DIR": str(directory)}):
        yield


@contextmanager
def _changed(changes: Mapping[str, str | None]) -> Iterator[None]:
    """While open, environment variables are as told; None is 'not set'."""
    before = {name: os.environ.get(name) for name in changes}
    _set(changes)
    try:
        yield
    finally:
        _set(before)


def _set(variables: Mapping[str, str | None]) -> None:
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def profile_variable() -> str:
    """Where Fast DDS looks for its transport: 3 (Kilted) elsewhere than 2 (Jazzy), and complains of the older."""
    folders = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    has_three = any(any(Path(folder).glob("libfastdds.so*")) for folder in folders if folder)
    return "FASTDDS_DEFAULT_PROFILES_FILE" if has_three else "FASTRTPS_DEFAULT_PROFILES_FILE"


@contextmanager
def shared_memory_cleaned() -> Iterator[None]:
    """Take away what the tracing library of the ROS 2 wheels leaves in /dev/shm, if it was not there before.

    `lttng-ust` makes two files of a fixed name as soon as rclpy is imported, and has no switch against it.
    """
    before = _tracing_files()
    try:
        yield
    finally:
        for path in _tracing_files() - before:
            with suppress(OSError):
                path.unlink()


def _tracing_files() -> set[Path]:
    return set(_SHARED_MEMORY.glob("lttng-ust-wait-*"))
