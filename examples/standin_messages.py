"""Messages of the stand-in, filled by itself: it shares no such code with the nodes that it is to test.

Each is made once and filled again for every sample; its arrays are written through their memory, since a list takes
milliseconds.
"""

from array import array
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sensor_msgs.msg import CameraInfo, Image, JointState

__all__ = ["CameraInfoMessage", "ImageMessage", "JointStateMessage", "as_depth"]

DEPTH_ENCODINGS = ("16UC1", "32FC1")
_PIXEL_BYTES = {"rgb8": 3, "16UC1": 2, "32FC1": 4}


def as_depth(depth_m: npt.NDArray[np.float32], encoding: str) -> npt.NDArray[Any]:
    """Depth as REP 118 has it: whole millimetres in 16UC1, metres in 32FC1; 0 where nothing came back."""
    if encoding == "32FC1":
        return depth_m.astype("<f4")
    return np.clip(np.rint(1000.0 * depth_m), 0, 65535).astype("<u2")


def _set_stamp(message: Any, stamp_ns: int) -> None:
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 1_000_000_000)


class JointStateMessage:
    """`sensor_msgs/JointState` as the joint_state_broadcaster of ros2_controllers fills it.

    Args:
        names: Of the joints, in the order of the message.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._message = JointState(name=list(names))
        self._message.header.frame_id = "base_link"  # default of the broadcaster
        self._views = []
        for field in ("position", "velocity", "effort"):
            setattr(self._message, field, array("d", [0.0] * len(names)))
            self._views.append(np.frombuffer(getattr(self._message, field)))

    def filled(self, stamp_ns: int, position: Any, velocity: Any, effort: Any) -> JointState:
        """The message with these values, in its own order; good until the next one."""
        _set_stamp(self._message, stamp_ns)
        for view, values in zip(self._views, (position, velocity, effort), strict=True):
            view[:] = values
        return self._message


class ImageMessage:
    """`sensor_msgs/Image` as the RealSense node fills it.

    Args:
        frame_id: The optical frame.
        encoding: `rgb8`, `16UC1` or `32FC1`.
        height: Rows.
        width: Columns.
    """

    def __init__(self, frame_id: str, encoding: str, height: int, width: int) -> None:
        self._message = Image(height=height, width=width, encoding=encoding, is_bigendian=0)
        self._message.data = array(
            "B", bytes(height * width * _PIXEL_BYTES[encoding])
        )  # the constructor copies
        self._view = np.frombuffer(self._message.data, np.uint8)
        self._message.header.frame_id = frame_id
        self._message.step = width * _PIXEL_BYTES[encoding]

    def filled(self, stamp_ns: int, pixels: npt.NDArray[Any]) -> Image:
        """The message with these pixels, little-endian; good until the next one."""
        _set_stamp(self._message, stamp_ns)
        self._view[:] = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
        return self._message


class CameraInfoMessage:
    """`sensor_msgs/CameraInfo` as the RealSense node fills it, of an image that needs no rectification.

    Args:
        frame_id: The optical frame.
        height: Rows.
        width: Columns.
        intrinsics: K, px. Shape (3, 3).
    """

    def __init__(self, frame_id: str, height: int, width: int, intrinsics: npt.NDArray[np.float64]) -> None:
        self._message = CameraInfo(height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5)
        self._message.header.frame_id = frame_id
        self._message.k = intrinsics.reshape(9)
        self._message.r = np.eye(3).reshape(9)
        self._message.p = np.hstack([intrinsics, np.zeros((3, 1))]).reshape(12)

    def filled(self, stamp_ns: int) -> CameraInfo:
        """The message of a frame; good until the next one."""
        _set_stamp(self._message, stamp_ns)
        return self._message
