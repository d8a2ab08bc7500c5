import numpy as np
import pytest
from pydantic import ValidationError

from reflexarc.control.ports import MessageType, Port, refusal
from reflexarc.control.values import (
    Float64Array,
    Image,
    JointState,
    JointTrajectory,
    PoseWithCovariance,
    unknown_covariance,
)

COLOR = Port(type=MessageType.IMAGE, topic="color", shape=(4, 3, 3), unit="rgb8", frame="camera")
DEPTH = Port(type=MessageType.IMAGE, topic="depth", shape=(4, 3), unit="32FC1", frame="camera")
POSE = Port(type=MessageType.POSE_WITH_COVARIANCE, topic="pose", shape=(3,), unit="m", frame="base_link")
JOINTS = Port(type=MessageType.JOINT_STATE, topic="joint_states", shape=(2,), unit="rad")
COMMAND = Port(type=MessageType.FLOAT64_ARRAY, topic="command", shape=(2,), unit="rad/s")
TRAJECTORY = Port(type=MessageType.JOINT_TRAJECTORY, topic="policy", shape=(2,), unit="rad/s")


def image(data, encoding="rgb8", frame="camera"):
    return Image(stamp_ns=0, frame_id=frame, encoding=encoding, data=data)


def pose(position, covariance):
    return PoseWithCovariance(stamp_ns=0, frame_id="base_link", position=position, covariance=covariance)


def trajectory(velocities):
    points = len(velocities)
    return JointTrajectory(
        stamp_ns=0,
        names=("a", "b"),
        positions=np.empty((points, 0)),
        velocities=velocities,
        time_from_start_ns=np.zeros(points, dtype=np.int64),
    )


GOOD = np.zeros((4, 3, 3), dtype=np.uint8)
NO_DEPTH = np.full((4, 3), np.nan, dtype=np.float32)


@pytest.mark.parametrize(
    ("port", "value", "reason"),
    [
        (COLOR, image(GOOD), None),
        (COLOR, image(GOOD[:, :2]), "shape (4, 2, 3), expected (4, 3, 3)"),
        (COLOR, image(GOOD, encoding="bgr8"), "encoding bgr8, expected rgb8"),
        (COLOR, image(GOOD, frame="odom"), "frame 'odom', expected 'camera'"),
        (COLOR, Float64Array(data=np.zeros(2)), "type Float64Array, expected Image"),
        (DEPTH, image(NO_DEPTH, encoding="32FC1"), "no finite pixel"),
        (POSE, pose(np.zeros(3), np.eye(6)), None),
        (POSE, pose(np.full(3, np.nan), unknown_covariance()), None),
        (POSE, pose(np.full(3, np.nan), np.eye(6)), "not finite"),
        (COMMAND, Float64Array(data=np.zeros(2)), None),
        (COMMAND, Float64Array(data=np.zeros(1)), "data of shape (1,), expected (2,)"),
        (COMMAND, Float64Array(data=np.array([0.0, np.inf])), "data not finite"),
        (TRAJECTORY, trajectory(np.zeros((1, 2))), None),
        (TRAJECTORY, trajectory(np.zeros((0, 2))), "no point in the trajectory"),
        (TRAJECTORY, trajectory(np.zeros((1, 1))), "velocity of shape (1,), expected (2,)"),
    ],
)
def test_refusals_name_what_came_and_what_fits(port, value, reason):
    assert refusal(port, value) == reason


def test_joint_states_without_velocity_are_refused():
    value = JointState(stamp_ns=0, names=("a", "b"), position=np.zeros(2), velocity=np.zeros(0))
    assert refusal(JOINTS, value) == "velocity of shape (0,), expected (2,)"


@pytest.mark.parametrize("topic", ["/absolute", "Upper", "", "with space", "trailing/"])
def test_topics_are_relative_lower_snake_case(topic):
    with pytest.raises(ValidationError):
        Port(type=MessageType.IMAGE, topic=topic)
