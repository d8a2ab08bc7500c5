from array import array
from dataclasses import fields

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CameraInfo as CameraInfoMessage
from std_msgs.msg import Float64MultiArray, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage
from trajectory_msgs.msg import JointTrajectoryPoint

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.nodes.messages import from_message, message_class, to_message
from reflexarc.control.ports import MessageType
from reflexarc.control.values import (
    CameraInfo,
    Diagnostic,
    Diagnostics,
    Float64Array,
    Image,
    Imu,
    JointState,
    JointTrajectory,
    Odometry,
    PoseWithCovariance,
)

pytestmark = pytest.mark.ros

any_float64 = st.floats(width=64, allow_nan=True, allow_infinity=True)
stamps = st.integers(0, (2**31 - 1) * 10**9 + 999_999_999)
# A C string ends at its first NUL, and surrogates have no UTF-8.
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=12)


def floats(*shape: int):
    return hnp.arrays(np.float64, shape, elements=any_float64)


@st.composite
def images(draw):
    encoding, dtype, channels = draw(
        st.sampled_from([("rgb8", np.uint8, 3), ("32FC1", np.float32, 1), ("16UC1", np.uint16, 1)])
    )
    height, width = draw(st.integers(0, 7)), draw(st.integers(0, 7))
    shape = (height, width, channels) if channels > 1 else (height, width)
    data = draw(hnp.arrays(dtype, shape))
    return Image(stamp_ns=draw(stamps), frame_id=draw(texts), encoding=encoding, data=data)


@st.composite
def joint_states(draw):
    count = draw(st.integers(0, 8))
    return JointState(
        stamp_ns=draw(stamps),
        frame_id=draw(texts),
        names=tuple(draw(st.lists(texts, min_size=count, max_size=count))),
        position=draw(floats(count)),
        velocity=draw(floats(draw(st.sampled_from([0, count])))),
        effort=draw(floats(draw(st.sampled_from([0, count])))),
    )


@st.composite
def trajectories(draw):
    joints, points = draw(st.integers(0, 7)), draw(st.integers(1, 4))
    nanoseconds = st.integers(0, 2**31 * 10**9 - 1)
    return JointTrajectory(
        stamp_ns=draw(stamps),
        frame_id=draw(texts),
        names=tuple(draw(st.lists(texts, min_size=joints, max_size=joints))),
        positions=draw(floats(points, draw(st.sampled_from([0, joints])))),
        velocities=draw(floats(points, draw(st.sampled_from([0, joints])))),
        time_from_start_ns=draw(hnp.arrays(np.int64, points, elements=nanoseconds)),
    )


camera_infos = st.builds(
    CameraInfo,
    stamp_ns=stamps,
    frame_id=texts,
    width=st.integers(0, 2**32 - 1),
    height=st.integers(0, 2**32 - 1),
    intrinsics=floats(3, 3),
)
imus = st.builds(
    Imu,
    stamp_ns=stamps,
    frame_id=texts,
    orientation_xyzw=floats(4),
    orientation_covariance=floats(3, 3),
    angular_velocity=floats(3),
    angular_velocity_covariance=floats(3, 3),
    linear_acceleration=floats(3),
    linear_acceleration_covariance=floats(3, 3),
)
poses = st.builds(
    PoseWithCovariance,
    stamp_ns=stamps,
    frame_id=texts,
    position=floats(3),
    covariance=floats(6, 6),
    orientation_xyzw=floats(4),
)
odometries = st.builds(
    Odometry,
    stamp_ns=stamps,
    frame_id=texts,
    child_frame_id=texts,
    position=floats(3),
    linear_velocity=floats(3),
    pose_covariance=floats(6, 6),
    twist_covariance=floats(6, 6),
    orientation_xyzw=floats(4),
    angular_velocity=floats(3),
)
arrays = st.builds(Float64Array, data=st.integers(0, 9).flatmap(floats))
diagnostics = st.builds(
    Diagnostics,
    stamp_ns=stamps,
    frame_id=texts,
    entries=st.lists(
        st.builds(
            Diagnostic,
            name=texts,
            level=st.integers(0, 3),
            message=texts,
            figures=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
        ),
        max_size=3,
    ).map(tuple),
)
values = st.one_of(
    images(), joint_states(), trajectories(), camera_infos, imus, poses, odometries, arrays, diagnostics
)


def assert_same(found, expected):
    assert type(found) is type(expected)
    for field in fields(expected):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(b, np.ndarray):
            assert (a.dtype, a.shape) == (b.dtype, b.shape), field.name
            assert a.tobytes() == b.tobytes(), field.name  # bit for bit, NaN payloads and -0.0 too
        else:
            assert a == b, field.name


@settings(deadline=None)  # the first example imports type support
@given(value=values)
def test_there_and_back_is_the_same(value):
    message = to_message(value)
    assert_same(from_message(message), value)
    assert_same(from_message(deserialize_message(serialize_message(message), type(message))), value)


def test_every_message_type_has_a_class_and_carries_its_name():
    for message_type in MessageType:
        package, name = message_type.value.split("/")
        assert message_class(message_type).__name__ == name
        assert message_class(message_type).__module__.startswith(f"{package}.msg.")


@given(value=images(), padding=st.integers(0, 5), swap=st.booleans())
def test_padded_and_foreign_endian_images_are_read(value, padding, swap):
    message = to_message(value)
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    if swap and rows.size:
        size = value.data.dtype.itemsize
        rows = rows.reshape(message.height, -1, size)[:, :, ::-1].reshape(rows.shape)
        message.is_bigendian = 1 - message.is_bigendian
    padded = np.hstack([rows, np.full((message.height, padding), 170, np.uint8)])
    message.step += padding
    message.data = array("B", padded.tobytes())
    assert_same(from_message(message), value)


def image_message(**changes):
    message = to_message(
        Image(stamp_ns=1, frame_id="camera", encoding="rgb8", data=np.zeros((4, 5, 3), np.uint8))
    )
    for name, value in changes.items():
        setattr(message, name, value)
    return message


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (image_message(encoding="bgr8"), "encoding 'bgr8'. Known: 16UC1, 32FC1, rgb8."),
        (image_message(encoding="rgba8"), "encoding 'rgba8'. Did you mean 'rgb8'?"),
        (image_message(height=5), "60 bytes for 5 rows of 15, 5 pixels of rgb8"),
        (image_message(step=12, height=5), "60 bytes for 5 rows of 12, 5 pixels of rgb8"),
        (image_message(width=2**32 - 1), "60 bytes for 4 rows of 15, 4294967295 pixels of rgb8"),
        (image_message(encoding="32FC1"), "60 bytes for 4 rows of 15, 5 pixels of 32FC1"),
        (
            JointTrajectoryMessage(
                joint_names=["a", "b"],
                points=[JointTrajectoryPoint(velocities=[1.0, 2.0]), JointTrajectoryPoint(velocities=[1.0])],
            ),
            "a point with 1 velocities for 2 joints",
        ),
        (
            JointTrajectoryMessage(joint_names=["a", "b"], points=[JointTrajectoryPoint(velocities=[1.0])]),
            "a point with 1 velocities for 2 joints",
        ),
        (
            JointTrajectoryMessage(
                joint_names=["a"],
                points=[JointTrajectoryPoint(positions=[1.0]), JointTrajectoryPoint(velocities=[1.0])],
            ),
            "a point with 0 positions for 1 joints",
        ),
        (
            CameraInfoMessage(d=[0.1, 0.0]),
            "camera with distortion; send the rectified image and its camera_info",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused_with_a_reason(message, reason):
    with pytest.raises(ValueRefusedError) as refused:
        from_message(message)
    assert str(refused.value) == reason


def test_layout_of_an_array_is_optional_but_has_to_be_true():
    message = Float64MultiArray(data=[1.0, 2.0, 3.0])
    assert from_message(message).data.tolist() == [1.0, 2.0, 3.0]
    message.layout.data_offset = 1
    assert from_message(message).data.tolist() == [2.0, 3.0]
    message.layout.dim = [MultiArrayDimension(label="joints", size=3, stride=3)]
    with pytest.raises(ValueRefusedError, match=r"layout of sizes \[3\] for 2 numbers"):
        from_message(message)


def test_values_that_no_message_can_say_are_refused():
    with pytest.raises(ValueRefusedError, match=r"rgb8 image from float64 of shape \(2, 2, 3\)"):
        to_message(Image(stamp_ns=0, frame_id="c", encoding="rgb8", data=np.zeros((2, 2, 3))))
    with pytest.raises(ValueRefusedError, match=r"32FC1 image from float32 of shape \(2, 2, 1\)"):
        to_message(Image(stamp_ns=0, frame_id="c", encoding="32FC1", data=np.zeros((2, 2, 1), np.float32)))
    with pytest.raises(ValueRefusedError, match=r"velocities of shape \(1, 5\) for 1 points of 6 joints"):
        to_message(
            JointTrajectory(
                stamp_ns=0,
                names=tuple("abcdef"),
                positions=np.empty((1, 0)),
                velocities=np.zeros((1, 5)),
                time_from_start_ns=np.zeros(1, np.int64),
            )
        )
    with pytest.raises(ValueRefusedError, match="position has 2 numbers, expected 3"):
        to_message(
            PoseWithCovariance(stamp_ns=0, frame_id="b", position=np.zeros(2), covariance=np.zeros((6, 6)))
        )


def test_a_level_is_one_byte_on_the_wire():
    message = to_message(Diagnostics(stamp_ns=0, entries=(Diagnostic(name="n", level=2, message="m"),)))
    assert isinstance(message, DiagnosticArray)
    assert message.status[0].level == DiagnosticStatus.ERROR
