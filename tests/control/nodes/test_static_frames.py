import importlib.util

import pytest
import rclpy

from reflexarc.control.nodes.static_frames import publish_frames, transforms
from reflexarc.control.robot import Robot

pytestmark = pytest.mark.ros

HAS_TF2 = importlib.util.find_spec("tf2_msgs") is not None
FRAME = {"parent": "base", "child": "eye", "position": (1, 2, 3), "orientation_xyzw": (0, 0, 1, 0)}
ROBOT = Robot.model_validate({"robot": "r", "joints": ["a"], "frames": [FRAME]})


def test_frames_are_said_as_ros_says_them():
    (message,) = transforms(ROBOT)
    assert (message.header.frame_id, message.child_frame_id) == ("base", "eye")
    offset, turn = message.transform.translation, message.transform.rotation
    assert (offset.x, offset.y, offset.z) == (1.0, 2.0, 3.0)
    assert (turn.x, turn.y, turn.z, turn.w) == (0.0, 0.0, 1.0, 0.0)


@pytest.mark.skipif(HAS_TF2, reason="tf2_msgs is installed here: the other test speaks")
def test_without_tf2_msgs_it_is_said_and_nothing_is_published(nodes, capfd):
    nodes.start([])
    node = nodes.add(rclpy.create_node("guard"))
    assert publish_frames(node, ROBOT) is None
    assert "tf2_msgs is not installed" in capfd.readouterr().err
    assert "/tf_static" not in dict(node.get_topic_names_and_types())


@pytest.mark.skipif(not HAS_TF2, reason="needs tf2_msgs, of which there is no wheel: source a ROS 2")
def test_who_comes_later_gets_them_too(nodes):
    from tf2_msgs.msg import TFMessage

    nodes.start([])
    node = nodes.add(rclpy.create_node("guard"))
    publisher = publish_frames(node, ROBOT)
    came = []
    listener = nodes.add(rclpy.create_node("listener"))
    listener.create_subscription(TFMessage, "/tf_static", came.append, publisher.qos_profile)
    nodes.spin_until(lambda: came)
    assert came[0].transforms == transforms(ROBOT)


def test_a_robot_without_frames_publishes_none(nodes):
    nodes.start([])
    node = nodes.add(rclpy.create_node("guard"))
    assert publish_frames(node, ROBOT.model_copy(update={"frames": ()})) is None
