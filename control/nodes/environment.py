"""Environment: the corner of ROS 2 that one run has for itself: a domain, and UDP on loopback or among its hosts.

Fast DDS would use shared memory, whose files stay in /dev/shm when a process is killed, and sockets on
0.0.0.0. Neither buys anything at our image size. Two images of 41 kB there and an answer back between two
processes on two cores, p50 / p99 of 2000: shared memory 0.49 / 0.82 ms, loopback UDP 0.48 / 0.88 ms; at
300 kB 1.8 / 14 ms and 1.9 / 3.0 ms.
"""

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path

from reflexarc.control.deployment import Deployment
from reflexarc.control.errors import FlowError, RuntimeUnavailableError, SecurityError, did_you_mean

__all__ = [
    "PROFILE_VARIABLES",
    "SECURITY_VARIABLES",
    "TLS_PORT",
    "among_hosts",
    "at_robot",
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
  <transport_id>ours</transport_id><type>UDPv4</type>
  <sendBufferSize>4194304</sendBufferSize><receiveBufferSize>4194304</receiveBufferSize>
  <interfaceWhiteList>{interface}</interfaceWhiteList>
  <maxInitialPeersRange>32</maxInitialPeersRange>
 </transport_descriptor></transport_descriptors>
 <participant profile_name="reflexarc" is_default_profile="true"><rtps>
  <userTransports><transport_id>ours</transport_id></userTransports>
  <useBuiltinTransports>false</useBuiltinTransports>
  <builtin>
   <discovery_config>
    <initialAnnouncements><count>20</count><period><sec>0</sec><nanosec>50000000</nanosec></period></initialAnnouncements>
    <leaseAnnouncement><sec>1</sec><nanosec>0</nanosec></leaseAnnouncement>
   </discovery_config>
   <metatrafficUnicastLocatorList><locator/></metatrafficUnicastLocatorList>
   <initialPeersList>{peers}</initialPeersList>
  </builtin>
 </rtps></participant>
</profiles></dds>
"""
"""For Fast DDS 2 and 3. Discovery asks the 32 possible participants of the domain on each host, as
`ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST` does, which would bring shared memory back in. It asks by unicast, and
goes on once a second for ever, so that hosts find each other again after any cut. With the five first
announcements of the default, six of ten pairs of processes needed 3 s to find each other; with twenty, all
of ten 0.1 s."""

_LOOPBACK = "127.0.0.1"
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
    given = _given_domain()
    if given is not None:
        return given
    # Up to 101 the ports lie below those that Linux gives out by itself (docs.ros.org, The ROS_DOMAIN_ID).
    candidates = [1 + (os.getpid() + offset) % 101 for offset in range(101)]
    for candidate in candidates:
        if _is_free(candidate):
            return candidate
    raise RuntimeUnavailableError("all ROS domains from 1 to 101 are in use on this host. Set ROS_DOMAIN_ID.")


def _given_domain() -> int | None:
    given = os.environ.get("ROS_DOMAIN_ID", "")
    if not given:
        return None
    if not given.isdecimal() or not 0 <= int(given) <= 232:
        raise RuntimeUnavailableError(
            f"ROS_DOMAIN_ID is '{given}'. Give a number from 0 to 232, or unset it."
        )
    return int(given)


@contextmanager
def at_robot(directory: Path) -> Iterator[int]:
    """While open, ROS 2 in this process and its children is where the robot's drivers are; gives the domain.

    Drivers are other people's processes, so it is the user's own domain, 0 without ROS_DOMAIN_ID as everywhere in
    ROS 2. Without a word of the user it stays on this host, over loopback UDP as `isolated` has it, which a driver
    in its default configuration speaks as well; shared memory would leave files behind, and fails between users.
    ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET, or a transport profile of the user's, reaches drivers on other hosts.

    Args:
        directory: For logs and the transport profile.

    Raises:
        RuntimeUnavailableError: ROS_DOMAIN_ID is not a domain.
    """
    domain = _given_domain() or 0
    has_profile = any(os.environ.get(name) for name in _OWN_PROFILE)
    if has_profile or os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST") != "LOCALHOST":
        with _changed({"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(directory)}):
            yield domain
    else:
        with isolated(domain, directory):
            yield domain


@contextmanager
def among_hosts(flow: str, deployment: Deployment | None, host: str, directory: Path) -> Iterator[int]:
    """While open, ROS 2 in this process and its children is one host's of a deployment; gives the domain.

    That is the user's own, 0 without ROS_DOMAIN_ID as everywhere in ROS 2, the same on all hosts.

    Args:
        flow: Name of the flow.
        deployment: That of the flow.
        host: The host that this machine is.
        directory: For logs and the transport profile.

    Raises:
        FlowError: The deployment has no such host.
        RuntimeUnavailableError: This machine does not have that host's address, or ROS_DOMAIN_ID is not a domain.
    """
    hosts = {} if deployment is None else deployment.hosts
    if deployment is None or host not in hosts:
        raise FlowError(f"{flow}: its deployment has no host '{host}'. {did_you_mean(host, hosts)}")
    address = str(hosts[host].address)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            raise RuntimeUnavailableError(
                f"host {host}: {address} is no address of this machine. Run this on {host}, or correct "
                "the address in the flow file's deployment."
            ) from None
    domain = _given_domain() or 0
    with isolated(domain, directory, address, map(str, deployment.peers_of(host))):
        yield domain


def _is_free(domain: int) -> bool:
    """Whether no participant has the first unicast port of this domain (RTPS 2.5, 9.6.1.1)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", 7400 + 250 * domain + 10))
        except OSError:
            return False
    return True


@contextmanager
def isolated(
    domain: int,
    directory: Path,
    address: str = _LOOPBACK,
    peers: Iterable[str] = (),
    closed: Mapping[str, str | None] | None = None,
) -> Iterator[None]:
    """While open, ROS 2 in this process and its children stays in one domain, among these hosts, without files.

    Args:
        domain: ROS domain.
        directory: For logs and the transport profile.
        address: Of this host: the only one that sockets are bound to.
        peers: Addresses of the other hosts.
        closed: Variables of this process that close it to strangers, in place of the usual transport.
    """
    changes: dict[str, str | None] = {"ROS_DOMAIN_ID": str(domain), "ROS_LOG_DIR": str(directory)}
    is_fast_dds = os.environ.get("RMW_IMPLEMENTATION", "rmw_fastrtps_cpp").startswith("rmw_fastrtps")
    if closed is not None:
        changes |= closed
    elif is_fast_dds and not any(os.environ.get(name) for name in _OWN_PROFILE):
        profile = directory / "transport.xml"
        profile.write_text(_profile(address, peers))
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


def _profile(address: str, peers: Iterable[str]) -> str:
    asked = "".join(
        f"<locator><udpv4><address>{host}</address></udpv4></locator>" for host in (address, *peers)
    )
    return _PROFILE.format(interface=f"<address>{address}</address>", peers=asked)


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
