"""Quality of service: how each kind of stream travels, in real time and in lock step.

By REP 2003, drivers publish sensor data with the system default and consumers read it best effort. Our
own streams offer a deadline and a liveliness lease, so that a consumer notices a silent or dead producer
by itself. In lock step nothing may be lost and wall time means nothing, so everything is reliable and
nothing expires.
"""

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

from reflexarc.control.nodes import Clock
from reflexarc.control.ports import Port, silence_s
from reflexarc.control.robot import DriverTopic

__all__ = ["Clock", "adapted_qos", "marker_qos", "offered_qos", "requested_qos"]

_LOCKSTEP_DEPTH = 64
"""Messages that wait at one reader. In lock step nobody is more than 8 ticks behind the plant."""

_LEASE = Duration(nanoseconds=200_000_000)
"""A process killed by -9 is noticed after exactly the lease. DDS threads assert it at two thirds of it, so
it says nothing of a node that hangs; the deadline does."""


def offered_qos(port: Port, clock: Clock, real_time_factor: float = 1.0) -> QoSProfile:
    """What a publisher of this port offers.

    Args:
        port: Its port.
        clock: What drives the flow.
        real_time_factor: How fast flow time passes. DDS counts in wall time, so in slow motion all takes longer.
    """
    if clock == "lockstep":
        return _lossless()
    profile = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
    if port.stream == "description":
        profile.depth = 1
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    if port.stream == "command":
        # An old command is worse than none, so only the newest waits, and not for long.
        profile.depth = 1
        if (lifespan := _silence(port, real_time_factor)) is not None:
            profile.lifespan = lifespan
    _add_deadline(profile, port, real_time_factor)
    return profile


def requested_qos(
    port: Port, clock: Clock, real_time_factor: float = 1.0, *, is_from_driver: bool
) -> QoSProfile:
    """What a subscriber of this port asks for.

    Args:
        port: The producer's port.
        clock: What drives the flow.
        real_time_factor: As for `offered_qos`.
        is_from_driver: Whether the plant publishes it. A robot's drivers offer no deadline and no lease, and
            a reader that asks for either would get nothing from them (request against offer); there the
            node itself watches for silence.
    """
    if clock == "lockstep":
        return _lossless()
    profile = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.RELIABLE)
    if port.stream == "sensor":
        profile.depth = 5
        profile.reliability = ReliabilityPolicy.BEST_EFFORT
    if port.stream == "command":
        profile.depth = 1
    if port.stream == "description":
        profile.depth = 1
        profile.durability = DurabilityPolicy.TRANSIENT_LOCAL
    if not is_from_driver:
        _add_deadline(profile, port, real_time_factor)
    return profile


def adapted_qos(profile: QoSProfile, topic: DriverTopic | None) -> QoSProfile:
    """A profile of ours, with what a robot file says of it, if it is about a topic of a robot."""
    if topic is None:
        return profile
    if topic.reliability is not None:
        profile.reliability = ReliabilityPolicy[topic.reliability.upper()]
    if topic.durability is not None:
        profile.durability = DurabilityPolicy[topic.durability.upper()]
    if topic.depth is not None:
        profile.depth = topic.depth
    return profile


def marker_qos() -> QoSProfile:
    """For the markers of lock step."""
    return _lossless()


def _lossless() -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=_LOCKSTEP_DEPTH, reliability=ReliabilityPolicy.RELIABLE
    )


def _add_deadline(profile: QoSProfile, port: Port, real_time_factor: float) -> None:
    if (deadline := _silence(port, real_time_factor)) is not None:
        profile.deadline = deadline
        profile.liveliness = LivelinessPolicy.AUTOMATIC
        profile.liveliness_lease_duration = _LEASE


def _silence(port: Port, real_time_factor: float) -> Duration | None:
    seconds = silence_s(port)
    return None if seconds is None else Duration(nanoseconds=round(seconds * 1e9 / real_time_factor))
