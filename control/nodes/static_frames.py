"""StaticFrames: the frames of a robot file on `/tf_static`, from one node, the guard's whose it is alone (REP 105)."""

from typing import Any

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile

from reflexarc.control.robot import Robot

__all__ = ["publish_frames", "transforms"]

_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
"""As tf2_ros publishes them."""


def transforms(robot: Robot) -> list[TransformStamped]:
    """The frames as messages, which hold at all times."""
    found = []
    for frame in robot.frames:
        message = TransformStamped()
        message.header.frame_id, message.child_frame_id = frame.parent, frame.child
        offset, turn = message.transform.translation, message.transform.rotation
        offset.x, offset.y, offset.z = frame.position
        turn.x, turn.y, turn.z, turn.w = frame.orientation_xyzw
        found.append(message)
    return found


def publish_frames(node: Node, robot: Robot) -> Any:
    """Publish them for everybody who comes, as long as the publisher lives that is given back.

    None where there is no frame, or no tf2_msgs, of which there is no wheel: a robot's own ROS 2 has it.
    """
    if not robot.frames:
        return None
    try:
        from tf2_msgs.msg import TFMessage  # noqa: PLC0415 not in every ROS 2
    except ImportError:
        node.get_logger().info(
            "tf2_msgs is not installed: the robot file's frames are not on /tf_static. No node of the flow needs that."
        )
        return None
    publisher = node.create_publisher(TFMessage, "/tf_static", _QOS)
    publisher.publish(TFMessage(transforms=transforms(robot)))
    return publisher
