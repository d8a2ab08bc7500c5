import pytest
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible

from reflexarc.control.nodes.qos import adapted_qos, marker_qos, offered_qos, requested_qos
from reflexarc.control.ports import Port, silence_s
from reflexarc.control.robot import DriverTopic

pytestmark = pytest.mark.ros

PORTS = [
    Port(type="sensor_msgs/Image", topic="image", rate_hz=50, stream="sensor"),
    Port(type="nav_msgs/Odometry", topic="odometry", rate_hz=100, stream="state"),
    Port(type="trajectory_msgs/JointTrajectory", topic="command", rate_hz=100, stream="command"),
    Port(type="std_msgs/Float64MultiArray", topic="sometimes", stream="command"),
    Port(type="sensor_msgs/CameraInfo", topic="info", stream="description"),
]


def is_compatible(offered, requested):
    # Equal, never identical: rclpy gives back its own kind of constant.
    return qos_check_compatible(offered, requested)[0] != QoSCompatibility.ERROR


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.topic)
@pytest.mark.parametrize("clock", ["lockstep", "realtime"])
def test_what_we_offer_is_what_we_request(port, clock):
    for is_from_driver in (False, True):
        requested = requested_qos(port, clock, is_from_driver=is_from_driver)
        assert is_compatible(offered_qos(port, clock), requested)


@pytest.mark.parametrize(
    "port", [port for port in PORTS if port.stream != "description"], ids=lambda p: p.topic
)
def test_any_driver_can_be_read_and_any_tool_can_listen(port):
    plain = QoSProfile(depth=10)
    assert is_compatible(plain, requested_qos(port, "realtime", is_from_driver=True))
    assert is_compatible(offered_qos(port, "realtime"), plain)


def test_images_may_get_lost_in_real_time_and_never_in_lock_step():
    image = PORTS[0]
    realtime = requested_qos(image, "realtime", is_from_driver=True)
    assert (realtime.reliability, realtime.depth) == (ReliabilityPolicy.BEST_EFFORT, 5)
    for profile in (
        offered_qos(image, "lockstep"),
        requested_qos(image, "lockstep", is_from_driver=True),
        marker_qos(),
    ):
        assert profile.reliability is ReliabilityPolicy.RELIABLE
        assert profile.depth >= 64


@pytest.mark.parametrize("port", PORTS, ids=lambda port: port.topic)
def test_in_slow_motion_what_is_due_in_flow_time_is_given_more_of_the_wall_clocks(port):
    full, half = offered_qos(port, "realtime"), offered_qos(port, "realtime", 0.5)
    is_due = port.rate_hz is not None
    assert half.deadline.nanoseconds == (2 if is_due else 1) * full.deadline.nanoseconds
    assert half.liveliness_lease_duration == full.liveliness_lease_duration, (
        "a process lives by the wall clock"
    )
    if port.stream == "command" and is_due:
        assert half.lifespan.nanoseconds == 2 * full.lifespan.nanoseconds
    for is_from_driver in (False, True):
        assert is_compatible(half, requested_qos(port, "realtime", 0.5, is_from_driver=is_from_driver))


def test_an_old_command_expires():
    assert offered_qos(PORTS[2], "realtime").lifespan.nanoseconds == 50_000_000
    assert offered_qos(PORTS[2], "realtime").depth == 1


def test_a_stream_is_silent_after_five_periods_but_not_before_50_ms():
    assert silence_s(PORTS[0]) == pytest.approx(0.1)
    assert silence_s(PORTS[0].model_copy(update={"rate_hz": 500})) == pytest.approx(0.05)
    assert silence_s(PORTS[1]) == pytest.approx(0.05)
    assert silence_s(PORTS[4]) is None


def test_a_robot_file_has_the_last_word_on_what_it_names():
    said = DriverTopic(reliability="reliable", durability="transient_local", depth=3)
    image = requested_qos(PORTS[0], "realtime", is_from_driver=True)
    adapted = adapted_qos(requested_qos(PORTS[0], "realtime", is_from_driver=True), said)
    assert adapted.reliability is ReliabilityPolicy.RELIABLE
    assert adapted.durability is DurabilityPolicy.TRANSIENT_LOCAL
    assert adapted.depth == 3
    for nothing in (None, DriverTopic(topic="other")):
        assert adapted_qos(requested_qos(PORTS[0], "realtime", is_from_driver=True), nothing) == image
