"""The stops of a real guard's node, over ROS 2: whatever the pusher wants, people come first."""

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from drivers import PERIOD_S, Drivers
from guarded_flow import ACCELERATION, RATE_HZ, SPEED, guarded_flow, wanted
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.qos import qos_profile_sensor_data
from std_msgs.msg import Bool
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory

from reflexarc.control.nodes.messages import from_message, to_message
from reflexarc.control.nodes.module_node import ModuleNode
from reflexarc.control.nodes.qos import offered_qos

pytestmark = pytest.mark.ros


@pytest.fixture
def deployed(nodes, tmp_path):
    """An active guard in this process, its robot's drivers, and somebody who wants full speed."""

    def start(**robot):
        flow = guarded_flow(**robot)
        path = tmp_path / "flow.json"
        path.write_text(flow.model_dump_json())
        nodes.start(["-r", "module:__node:=guard", "-p", f"flow:={path}"])
        drivers = Drivers(nodes)
        port = flow.modules["pusher"].outputs["command"]
        pusher = drivers.node.create_publisher(
            JointTrajectory, "pusher/command", offered_qos(port, "realtime")
        )
        clock = drivers.node.get_clock()
        drivers.node.create_timer(
            PERIOD_S, lambda: pusher.publish(to_message(wanted(clock.now().nanoseconds)))
        )
        guard = nodes.add(ModuleNode())
        guard.trigger_configure()
        guard.trigger_activate()
        return guard, drivers

    return start


def assert_ramp(commands):
    """From full speed to rest, no step larger than the limit allows."""
    steps = np.abs(np.diff(commands, axis=0))
    assert steps.max() <= ACCELERATION / RATE_HZ + 1e-9
    assert not commands[-1].any()


def test_an_emergency_stop_by_topic_latches_until_the_service_releases_it(nodes, deployed):
    guard, drivers = deployed()
    health = []
    drivers.node.create_subscription(
        DiagnosticArray, "/diagnostics", lambda m: health.append(dict(from_message(m).entries[0].figures)), 10
    )
    # A best-effort publisher, as a button on a bad network may be.
    button = drivers.node.create_publisher(
        Bool,
        "emergency_stop",
        qos_profile_sensor_data,
        event_callbacks=PublisherEventCallbacks(incompatible_qos=lambda info: None),
    )
    service = drivers.node.create_client(SetBool, "guard/emergency_stop")
    nodes.spin_until(lambda: drivers.speed == SPEED and button.get_subscription_count() > 0)
    before = len(drivers.commands) - 1
    button.publish(Bool(data=True))
    nodes.spin_until(lambda: drivers.speed == 0.0)
    assert_ramp(drivers.commands[before:])
    button.publish(Bool(data=False))
    here = len(drivers.commands)
    nodes.spin_until(lambda: len(drivers.commands) > here + 20)
    assert not np.any(drivers.commands[here:]), "a topic does not release it"
    nodes.spin_until(lambda: any(h.get("commands") == "hold still: emergency stop" for h in health))
    assert guard.faults()["held still: emergency stop"] > 20

    guard.trigger_deactivate()
    guard.trigger_activate()
    here = len(drivers.commands)
    nodes.spin_until(lambda: len(drivers.commands) > here + 5)
    assert not np.any(drivers.commands[here:]), "nor does a new activation"

    future = service.call_async(SetBool.Request(data=False))
    nodes.spin_until(future.done)
    assert (future.result().success, future.result().message) == (True, "released")
    nodes.spin_until(lambda: drivers.speed == SPEED)
    future = service.call_async(SetBool.Request(data=True))
    nodes.spin_until(lambda: future.done() and drivers.speed == 0.0)
    assert future.result().message == "emergency stop"


def test_a_dead_mans_switch_has_to_be_held(nodes, deployed):
    guard, drivers = deployed(dead_man={"topic": "switch", "timeout_s": 0.3})
    switch = drivers.node.create_publisher(Bool, "switch", 10)
    held = Bool(data=True)
    timer = drivers.node.create_timer(0.05, lambda: switch.publish(held))
    nodes.spin_until(lambda: drivers.speed == SPEED)
    timer.cancel()
    before = len(drivers.commands) - 1
    nodes.spin_until(lambda: drivers.speed == 0.0)
    assert_ramp(drivers.commands[before:])
    assert guard.faults()["held still: dead-man's switch not held"] > 0
    timer.reset()
    nodes.spin_until(lambda: drivers.speed == SPEED)
    held.data = False
    nodes.spin_until(lambda: drivers.speed == 0.0)


def test_a_deactivated_guard_leaves_the_robot_at_rest_by_a_ramp(nodes, deployed):
    guard, drivers = deployed()
    nodes.spin_until(lambda: drivers.speed == SPEED)
    before = len(drivers.commands) - 1
    guard.trigger_deactivate()
    nodes.spin_until(lambda: drivers.speed == 0.0)
    assert_ramp(drivers.commands[before:])


def test_a_driver_that_falls_silent_stops_the_robot_until_it_speaks_again(nodes, deployed):
    guard, drivers = deployed()
    nodes.spin_until(lambda: drivers.speed == SPEED)
    before = len(drivers.commands) - 1
    drivers.is_silent = True
    nodes.spin_until(lambda: drivers.speed == 0.0)
    assert_ramp(drivers.commands[before:])
    assert guard.faults()["held still: stale joint state"] > 0
    drivers.is_silent = False
    nodes.spin_until(lambda: drivers.speed == SPEED)


@pytest.mark.parametrize("jump_ns", [10**10, -(10**10)])
def test_a_drivers_clock_that_jumps_stops_the_robot_until_it_is_right_again(nodes, deployed, jump_ns):
    guard, drivers = deployed()
    nodes.spin_until(lambda: drivers.speed == SPEED)
    before = len(drivers.commands) - 1
    drivers.shift_ns = jump_ns
    nodes.spin_until(lambda: drivers.speed == 0.0)
    assert_ramp(drivers.commands[before:])
    reason = "ahead of" if jump_ns > 0 else "too far behind"
    assert guard.faults()[f"joint_states: stamp {reason} this host's clock"] > 0
    drivers.shift_ns = 0
    nodes.spin_until(lambda: drivers.speed == SPEED)
