import numpy as np
import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from sensor_msgs.msg import JointState as JointStateMessage
from small_flow import NAMES, Brake, arguments, small_flow
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import Trigger

from reflexarc.control.nodes.messages import from_message, to_message
from reflexarc.control.nodes.module_node import ModuleNode
from reflexarc.control.nodes.records import read_steps
from reflexarc.control.values import JointState

pytestmark = pytest.mark.ros


class Neighbour:
    """Stands where the plant would: sends joint states and hears commands and health."""

    def __init__(self, nodes) -> None:
        self.node = nodes.add(rclpy.create_node("neighbour"))
        self.sender = self.node.create_publisher(JointStateMessage, "joint_states", 10)
        self.commands = []
        self.health = []
        self.node.create_subscription(
            Float64MultiArray, "brake/command", lambda m: self.commands.append(from_message(m).data), 10
        )
        self.node.create_subscription(
            DiagnosticArray, "/diagnostics", lambda m: self.health.append(from_message(m).entries[0]), 10
        )
        self.reset = self.node.create_client(Trigger, "brake/reset")


@pytest.fixture
def running(nodes, tmp_path):
    """An active node of a flow in real time, and its neighbour."""

    def start(clock="realtime", flow=None, **brake):
        nodes.start(arguments(flow or small_flow(**brake), clock, tmp_path, use_sim_time=flow is not None))
        node = nodes.add(ModuleNode())
        neighbour = Neighbour(nodes)
        node.trigger_configure()
        node.trigger_activate()
        nodes.spin_until(
            lambda: neighbour.sender.get_subscription_count() and node.count_subscribers("brake/command")
        )
        return node, neighbour

    return start


def log_of(count):
    random = np.random.default_rng(0)
    return [
        JointState(stamp_ns=k, names=NAMES, position=random.normal(size=2), velocity=np.zeros(2))
        for k in range(count)
    ]


def test_a_log_gives_the_same_commands_through_the_node_as_through_the_module(nodes, running, tmp_path):
    node, neighbour = running()
    module = Brake({}, {}, None)
    for count, value in enumerate(log_of(10), start=1):
        neighbour.sender.publish(to_message(value))
        nodes.spin_until(lambda count=count: len(neighbour.commands) == count)
        (expected,) = module.step({"joint_states": (value,)}, 0).values()
        assert neighbour.commands[-1].tobytes() == expected.data.tobytes()
    node.trigger_deactivate()
    records, faults = read_steps(tmp_path / "brake.npz")
    assert [record.input_stamps_ns for record in records] == [{"joint_states": k} for k in range(10)]
    assert all(record.received_ns <= record.published_ns for record in records)
    assert faults == {}


def test_the_last_command_of_a_guard_holds_still(nodes, running):
    node, neighbour = running()
    neighbour.sender.publish(to_message(log_of(1)[0]))
    nodes.spin_until(lambda: neighbour.commands)
    assert neighbour.commands[-1].any()
    node.end()
    nodes.spin_until(lambda: len(neighbour.commands) == 2)
    assert not neighbour.commands[-1].any()
    neighbour.sender.publish(to_message(log_of(1)[0]))
    for _ in range(20):
        nodes.executor.spin_once(timeout_sec=0.01)
    assert len(neighbour.commands) == 2, "an inactive node commands nothing"


def test_what_is_refused_is_in_the_health_report(nodes, running):
    _, neighbour = running()
    good = log_of(1)[0]
    reason = "joint_states: position not finite"
    bad = to_message(good)
    bad.position = [1.0, float("nan")]
    neighbour.sender.publish(bad)
    neighbour.sender.publish(to_message(good))
    nodes.spin_until(lambda: neighbour.commands)
    nodes.spin_until(lambda: any(dict(entry.figures).get(reason) == "1" for entry in neighbour.health))
    assert {entry.name for entry in neighbour.health} == {"brake"}
    assert len(neighbour.commands) == 1


def test_reset_forgets(nodes, running):
    node, neighbour = running()
    first, second = log_of(2)
    for value in (first, second):
        neighbour.sender.publish(to_message(value))
    nodes.spin_until(lambda: len(neighbour.commands) == 2)
    future = neighbour.reset.call_async(Trigger.Request())
    nodes.spin_until(future.done)
    assert future.result().success
    neighbour.sender.publish(to_message(first))
    nodes.spin_until(lambda: len(neighbour.commands) == 3)
    assert neighbour.commands[2].tolist() == neighbour.commands[0].tolist()
    node.trigger_deactivate()
    future = neighbour.reset.call_async(Trigger.Request())
    nodes.spin_until(future.done)
    assert (future.result().success, future.result().message) == (False, "brake is not active")


def test_a_deadline_makes_it_step_without_input(nodes, running):
    node, neighbour = running(deadline_s=0.05)
    nodes.spin_until(lambda: len(neighbour.commands) >= 3)
    assert not np.any(neighbour.commands)
    assert node.faults()["stepped by deadline"] >= 3


def test_who_is_missing_is_waited_for_by_the_wall_clock_and_not_by_ticks(nodes, running):
    (source,) = small_flow().plant.outputs.values()
    sides = ["joint_states", "others"]
    flow = small_flow(
        trigger=sides, patience_s=0.002, inputs={side: {"node": "plant", "port": side} for side in sides}
    )
    outputs = {side: source.model_copy(update={"topic": side}) for side in sides}
    flow = flow.model_copy(update={"plant": flow.plant.model_copy(update={"outputs": outputs})})
    _, neighbour = running(flow=flow)
    neighbour.sender.publish(to_message(log_of(1)[0]))
    nodes.spin_until(lambda: neighbour.commands)  # the twin's clock stands still meanwhile
