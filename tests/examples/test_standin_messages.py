import numpy as np
import pytest

pytestmark = pytest.mark.ros

STAMP_NS = 1_795_631_559_409_623_669


@pytest.fixture
def messages(import_example, monkeypatch):
    monkeypatch.setenv("ROS_PYTHON_CHECK_FIELDS", "1")
    return import_example("standin_messages")


def stamp_ns(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_joint_states_are_filled_again_and_again(messages):
    made = messages.JointStateMessage(["b", "a"])
    first = made.filled(STAMP_NS, np.array([0.1, 0.2]), [1.0, 2.0], [3.0, 4.0])
    assert (list(first.position), list(first.velocity), list(first.effort)) == (
        [0.1, 0.2],
        [1.0, 2.0],
        [3.0, 4.0],
    )
    assert (list(first.name), first.header.frame_id, stamp_ns(first)) == (
        ["b", "a"],
        "base_link",
        STAMP_NS,
    )
    second = made.filled(STAMP_NS + 1, np.array([0.3, 0.4]), [1.0, 2.0], [3.0, 4.0])
    assert list(second.position) == [0.3, 0.4]
    assert stamp_ns(second) == STAMP_NS + 1


@pytest.mark.parametrize(
    ("encoding", "dtype", "channels"), [("rgb8", "<u1", 3), ("16UC1", "<u2", 1), ("32FC1", "<f4", 1)]
)
def test_images_are_row_by_row(messages, encoding, dtype, channels):
    pixels = np.arange(4 * 5 * channels).reshape(4, 5, channels).astype(dtype)
    image = messages.ImageMessage("optical", encoding, 4, 5).filled(STAMP_NS, pixels)
    assert (image.height, image.width, image.encoding, image.header.frame_id) == (4, 5, encoding, "optical")
    assert (image.is_bigendian, image.step) == (0, 5 * channels * np.dtype(dtype).itemsize)
    assert np.array_equal(np.frombuffer(image.data, dtype).reshape(pixels.shape), pixels)
    assert stamp_ns(image) == STAMP_NS


def test_depth_is_in_millimetres_or_metres_and_zero_is_no_return(messages):
    depth = np.array([[0.0, 1.2344, 1.2346, 70.0]], dtype=np.float32)
    assert messages.as_depth(depth, "16UC1").tolist() == [[0, 1234, 1235, 65535]]
    assert messages.as_depth(depth, "16UC1").dtype == "<u2"
    assert np.array_equal(messages.as_depth(depth, "32FC1"), depth)


def test_camera_info_is_that_of_a_pinhole(messages):
    intrinsics = np.array([[64.0, 0.0, 39.5], [0.0, 65.0, 63.5], [0.0, 0.0, 1.0]])
    info = messages.CameraInfoMessage("optical", 128, 80, intrinsics).filled(STAMP_NS)
    assert (info.height, info.width, info.distortion_model) == (128, 80, "plumb_bob")
    assert list(info.d) == [0.0] * 5
    assert info.k.tolist() == [64.0, 0.0, 39.5, 0.0, 65.0, 63.5, 0.0, 0.0, 1.0]
    assert info.p.tolist() == [64.0, 0.0, 39.5, 0.0, 0.0, 65.0, 63.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert info.r.reshape(3, 3).tolist() == np.eye(3).tolist()
    assert stamp_ns(info) == STAMP_NS
