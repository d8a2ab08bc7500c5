"""The check of a robot's topics, against publishers made by hand."""

import pytest
import rclpy
from drivers import Drivers
from guarded_flow import guarded_flow
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.parameter import Parameter
from rclpy.qos import qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image, JointState
from std_msgs.msg import Bool, Float64MultiArray

from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.robot_check import check_robot_topics
from reflexarc.control.robot import Robot
from reflexarc.control.robot_adapter import flow_joints

pytestmark = pytest.mark.ros


def test_a_robot_that_is_as_its_file_says_is_ready(nodes):
    nodes.start([])
    drivers = Drivers(nodes, namespace="/cell")
    switch = drivers.node.create_publisher(Bool, "switch", 10)
    drivers.node.create_timer(0.05, lambda: switch.publish(Bool(data=False)))
    flow = guarded_flow(namespace="/cell", dead_man={"topic": "switch"})
    found = check_robot_topics(flow, nodes.add(rclpy.create_node("check")), nodes.executor)
    assert [problem for one in found for problem in one.problems] == []
    assert [(one.port, one.topic, one.qos) for one in found] == [
        ("outputs.joint_states", "/cell/arm/joint_states", "best_effort volatile"),
        ("dead_man", "/cell/switch", "best_effort volatile"),
        ("inputs.command", "/cell/arm/commands", "reliable volatile"),
    ]
    assert found[0].measured_hz > 80
    assert abs(found[0].behind_s) < 0.05


def test_a_simulated_robot_is_measured_by_its_own_clock(nodes):
    nodes.start([])
    drivers = Drivers(nodes)
    drivers.node.set_parameters([Parameter("use_sim_time", value=True)])
    simulation, now_ns = nodes.add(rclpy.create_node("simulation")), [10**9]
    sender = simulation.create_publisher(Clock, "/clock", 10)

    def pass_time() -> None:
        now_ns[0] += 2_500_000
        message = Clock()
        message.clock.sec, message.clock.nanosec = divmod(now_ns[0], 10**9)
        sender.publish(message)

    simulation.create_timer(0.005, pass_time)
    flow = guarded_flow(use_sim_time=True)
    found = check_robot_topics(flow, nodes.add(rclpy.create_node("check")), nodes.executor)
    assert [problem for one in found for problem in one.problems] == []
    by_port = {one.port: one for one in found}
    assert by_port["outputs.joint_states"].measured_hz > 80  # at half speed, 50 of the wall clock's seconds
    assert by_port["use_sim_time"].topic == "/clock"


def test_a_simulated_robot_without_a_clock_is_not_ready(nodes):
    nodes.start([])
    Drivers(nodes)
    flow = guarded_flow(use_sim_time=True)
    found = check_robot_topics(flow, nodes.add(rclpy.create_node("check")), nodes.executor)
    problems = {one.port: one.problems for one in found}
    assert problems["use_sim_time"] == [
        "nobody publishes /clock. Start the simulation, or take use_sim_time out of the robot file."
    ]


def test_what_does_not_fit_is_one_line_each(nodes):
    nodes.start([])
    flow = load_flow("arm_catch")
    robot = Robot.model_validate(
        {
            "robot": "r",
            "joints": flow_joints(flow),
            "outputs": {"depth": {"reliability": "reliable"}},
        }
    )
    node = nodes.add(rclpy.create_node("odd"))
    node.create_publisher(Float64MultiArray, "camera/color/image_raw", 10)
    node.create_publisher(
        Image,
        "camera/depth/image_raw",
        qos_profile_sensor_data,
        event_callbacks=PublisherEventCallbacks(incompatible_qos=lambda info: None),
    )
    node.create_publisher(Float64MultiArray, "forward_velocity_controller/commands", 10)
    sender = node.create_publisher(JointState, "joint_states", 10)

    def send() -> None:
        message = JointState(name=["elbow_joint"], position=[0.0], velocity=[0.0])
        message.header.stamp.sec = int(node.get_clock().now().nanoseconds // 10**9) - 60
        sender.publish(message)

    node.create_timer(0.1, send)
    there = flow.model_copy(update={"robot": robot})
    found = check_robot_topics(there, nodes.add(rclpy.create_node("check")), nodes.executor)
    said = {one.port: one.problems for one in found}
    assert said["outputs.color"] == [
        "/odd has type std_msgs/msg/Float64MultiArray, expected sensor_msgs/msg/Image. "
        "Correct outputs.color.topic in the robot file."
    ]
    (depth,) = said["outputs.depth"]
    assert depth.startswith("the quality of service of /odd does not fit ours (reliable volatile): ")
    assert depth.endswith("Set reliability or durability of outputs.depth in the robot file to what it has.")
    assert said["outputs.camera_info"] == [
        "nobody publishes /camera/color/camera_info. Start its driver, "
        "or correct outputs.camera_info.topic in the robot file."
    ]
    rate, joints, stamps = said["outputs.joint_states"]
    assert rate.endswith("Hz came, and 100 are needed. Let the driver publish faster.")
    assert joints == (
        "joint 'shoulder_pan_joint' is missing. Correct the robot file, or the driver's settings."
    )
    assert stamps.startswith("stamps are 60.") or stamps.startswith("stamps are 59.")
    missing, other = said["inputs.command"]
    assert missing.startswith("nobody listens to /forward_velocity_controller/commands.")
    assert other == "/odd publishes there, too; only the guard may command the robot. End it."
    assert {one.port for one in found if one.is_missing} == {"outputs.camera_info", "inputs.command"}
