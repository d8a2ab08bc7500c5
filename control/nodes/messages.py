"""Messages: a port's value to its ROS 2 message and back, exact for float64.

The only place where the project's plain values and ROS 2 messages meet. Arrays travel through the buffer
protocol, never through a Python loop: filling `Image.data` from a list takes 44 ms for 640 x 480 x 3, from
an `array.array` 0.05 ms. What a stranger sends may be anything, so whatever does not fit together is
refused with a reason, which the receiving node counts.
"""

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseWithCovarianceStamped
from nav_msgs.msg import Odometry as OdometryMessage
from sensor_msgs.msg import CameraInfo as CameraInfoMessage
from sensor_msgs.msg import Image as ImageMessage
from sensor_msgs.msg import Imu as ImuMessage
from sensor_msgs.msg import JointState as JointStateMessage
from std_msgs.msg import Float64MultiArray, Header, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory as JointTrajectoryMessage
from trajectory_msgs.msg import JointTrajectoryPoint

from reflexarc.control.errors import ValueRefusedError, did_you_mean
from reflexarc.control.ports import MessageType
from reflexarc.control.values import (
    CameraInfo,
    Diagnostic,
    Diagnostics,
    Float64Array,
    FloatArray,
    Image,
    Imu,
    JointState,
    JointTrajectory,
    Odometry,
    PoseWithCovariance,
    Value,
)

__all__ = ["from_message", "message_class", "time_message", "to_message"]

_NS = 1_000_000_000
_BIG_ENDIAN_HERE = sys.byteorder == "big"


class _Pixel(NamedTuple):
    dtype: np.dtype[Any]
    channels: int


_PIXELS = {
    "rgb8": _Pixel(np.dtype(np.uint8), 3),
    "32FC1": _Pixel(np.dtype(np.float32), 1),
    "16UC1": _Pixel(np.dtype(np.uint16), 1),
}
"""Encodings of `sensor_msgs/image_encodings.hpp` that an `Image` value may have."""


def to_message(value: Value) -> Any:
    """The ROS 2 message that carries a value.

    Raises:
        ValueRefusedError: The parts of the value do not fit each other; no message could say it.
    """
    return _CODEC_OF_VALUE[type(value)].encode(value)


def from_message(message: Any) -> Value:
    """The value that a ROS 2 message carries. Its arrays may share the message's memory.

    Raises:
        ValueRefusedError: The parts of the message do not fit each other, or say what no value can.
    """
    return _CODEC_OF_MESSAGE[type(message)].decode(message)


def message_class(message_type: MessageType) -> type:
    """The generated class of a message type."""
    return _CODECS[message_type].message


def time_message(stamp_ns: int) -> Time:
    """A stamp as `builtin_interfaces/Time`."""
    seconds, nanoseconds = divmod(stamp_ns, _NS)
    return Time(sec=seconds, nanosec=nanoseconds)


def _header(value: Any) -> Header:
    return Header(stamp=time_message(value.stamp_ns), frame_id=value.frame_id)


def _stamp_ns(header: Header) -> int:
    return int(header.stamp.sec) * _NS + int(header.stamp.nanosec)


def _doubles(values: npt.ArrayLike) -> "array[float]":
    filled = array("d")
    filled.frombytes(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return filled


def _floats(field: Any) -> FloatArray:
    """A float64 field of any length; `array.array` and `numpy` fields are both read through their buffer."""
    return np.array(field, dtype=np.float64)


def _fixed(name: str, values: FloatArray, count: int) -> FloatArray:
    """A field of fixed length, which rclpy would only check by `assert`."""
    flat = np.ascontiguousarray(values, dtype=np.float64).reshape(-1)
    if flat.size != count:
        raise ValueRefusedError(f"{name} has {flat.size} numbers, expected {count}")
    return flat


# --- sensor_msgs


def _encode_image(value: Image) -> ImageMessage:
    pixel = _pixel(value.encoding)
    shape = value.data.shape
    fits = len(shape) == 3 and shape[2] == pixel.channels if pixel.channels > 1 else len(shape) == 2
    if not fits or value.data.dtype != pixel.dtype:
        raise ValueRefusedError(f"{value.encoding} image from {value.data.dtype} of shape {shape}")
    message = ImageMessage()
    message.header = _header(value)
    message.height, message.width = shape[:2]
    message.encoding = value.encoding
    message.is_bigendian = int(_BIG_ENDIAN_HERE)
    message.step = shape[1] * pixel.channels * pixel.dtype.itemsize
    data = array("B")
    data.frombytes(np.ascontiguousarray(value.data).reshape(-1).view(np.uint8).data)
    message.data = data
    return message


def _decode_image(message: ImageMessage) -> Image:
    pixel = _pixel(message.encoding)
    height, width, step = message.height, message.width, message.step
    row = width * pixel.channels * pixel.dtype.itemsize
    if step < row or step * height != len(message.data):
        raise ValueRefusedError(
            f"{len(message.data)} bytes for {height} rows of {step}, {width} pixels of {message.encoding}"
        )
    # A row may end in padding (`step`), so columns are cut before bytes are read as pixels.
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)[:, :row]
    data: npt.NDArray[Any] = np.ascontiguousarray(rows).reshape(-1).view(pixel.dtype)
    if pixel.dtype.itemsize > 1 and bool(message.is_bigendian) != _BIG_ENDIAN_HERE:
        data = data.byteswap()
    shape = (height, width, pixel.channels) if pixel.channels > 1 else (height, width)
    return Image(
        stamp_ns=_stamp_ns(message.header),
        frame_id=message.header.frame_id,
        encoding=message.encoding,
        data=data.reshape(shape),
    )


def _pixel(encoding: str) -> _Pixel:
    try:
        return _PIXELS[encoding]
    except KeyError:
        raise ValueRefusedError(f"encoding '{encoding}'. {did_you_mean(encoding, _PIXELS)}") from None


def _encode_camera_info(value: CameraInfo) -> CameraInfoMessage:
    intrinsics = _fixed("intrinsics", value.intrinsics, 9)
    message = CameraInfoMessage()
    message.header = _header(value)
    message.height, message.width = value.height, value.width
    message.distortion_model = "plumb_bob"
    message.d = array("d", bytes(5 * 8))
    message.k = intrinsics
    message.r = np.eye(3).reshape(-1)
    # P of a single camera is [K | 0] (sensor_msgs/CameraInfo).
    message.p = np.hstack([intrinsics.reshape(3, 3), np.zeros((3, 1))]).reshape(-1)
    return message


def _decode_camera_info(message: CameraInfoMessage) -> CameraInfo:
    if np.any(_floats(message.d)):
        raise ValueRefusedError("camera with distortion; send the rectified image and its camera_info")
    return CameraInfo(
        stamp_ns=_stamp_ns(message.header),
        frame_id=message.header.frame_id,
        width=message.width,
        height=message.height,
        intrinsics=_floats(message.k).reshape(3, 3),
    )


def _encode_joint_state(value: JointState) -> JointStateMessage:
    message = JointStateMessage()
    message.header = _header(value)
    message.name = list(value.names)
    message.position = _doubles(value.position)
    message.velocity = _doubles(value.velocity)
    message.effort = _doubles(value.effort)
    return message


def _decode_joint_state(message: JointStateMessage) -> JointState:
    return JointState(
        stamp_ns=_stamp_ns(message.header),
        frame_id=message.header.frame_id,
        names=tuple(message.name),
        position=_floats(message.position),
        velocity=_floats(message.velocity),
        effort=_floats(message.effort),
    )


def _encode_imu(value: Imu) -> ImuMessage:
    message = ImuMessage()
    message.header = _header(value)
    _fill_quaternion(message.orientation, value.orientation_xyzw)
    message.orientation_covariance = _fixed("orientation_covariance", value.orientation_covariance, 9)
    _fill_vector("angular_velocity", message.angular_velocity, value.angular_velocity)
    message.angular_velocity_covariance = _fixed(
        "angular_velocity_covariance", value.angular_velocity_covariance, 9
    )
    _fill_vector("linear_acceleration", message.linear_acceleration, value.linear_acceleration)
    message.linear_acceleration_covariance = _fixed(
        "linear_acceleration_covariance", value.linear_acceleration_covariance, 9
    )
    return message


def _decode_imu(message: ImuMessage) -> Imu:
    return Imu(
        stamp_ns=_stamp_ns(message.header),
        frame_id=message.header.frame_id,
        orientation_xyzw=_quaternion(message.orientation),
        orientation_covariance=_floats(message.orientation_covariance).reshape(3, 3),
        angular_velocity=_vector(message.angular_velocity),
        angular_velocity_covariance=_floats(message.angular_velocity_covariance).reshape(3, 3),
        linear_acceleration=_vector(message.linear_acceleration),
        linear_acceleration_covariance=_floats(message.linear_acceleration_covariance).reshape(3, 3),
    )


# --- geometry_msgs, nav_msgs


def _fill_vector(name: str, field: Any, values: FloatArray) -> None:
    field.x, field.y, field.z = _fixed(name, values, 3).tolist()


def _fill_quaternion(field: Any, values: FloatArray) -> None:
    field.x, field.y, field.z, field.w = _fixed("orientation_xyzw", values, 4).tolist()


def _vector(field: Any) -> FloatArray:
    return np.array((field.x, field.y, field.z), dtype=np.float64)


def _quaternion(field: Any) -> FloatArray:
    return np.array((field.x, field.y, field.z, field.w), dtype=np.float64)


def _encode_pose(value: PoseWithCovariance) -> PoseWithCovarianceStamped:
    message = PoseWithCovarianceStamped()
    message.header = _header(value)
    _fill_vector("position", message.pose.pose.position, value.position)
    _fill_quaternion(message.pose.pose.orientation, value.orientation_xyzw)
    message.pose.covariance = _fixed("covariance", value.covariance, 36)
    return message


def _decode_pose(message: PoseWithCovarianceStamped) -> PoseWithCovariance:
    return PoseWithCovariance(
        stamp_ns=_stamp_ns(message.header),
        frame_id=message.header.frame_id,
        position=_vector(message.pose.pose.position),
        orientation_xyzw=_quaternion(message.pose.pose.orientation),
        covariance=_floats(message.pose.covariance).reshape(6, 6),
    )


def _encode_odometry(value: Odometry) -> OdometryMessage:
    message = OdometryMessage()
    message.header = _header(value)
    message.child_frame_id = value.child_frame_id
    _fill_vector("position", message.pose.pose.position, value.position)
    _fill_quaternion(message.pose.pose.orientation, value.orientation_xyzw)
    message.pose.covariance = _fixed("pose_covariance", value.pose_covariance, 36)
    _fill_vector("linear_velocity", message.twist.twist.linear, value.linear_velocity)
    _fill_vector("angular_velocity", message.twist.twist.angular, value.angular_velocity)
    message.twist.covariance = _fixed("twist_covariance", value.twist_covariance, 36)
    return message


def _decode_odometry(message: OdometryMessage) -> Odometry:
    return Odometry(
        stamp_ns=_stamp_ns(message.header),
        frame_id=message.header.frame_id,
        child_frame_id=message.child_frame_id,
        position=_vector(message.pose.pose.position),
        orientation_xyzw=_quaternion(message.pose.pose.orientation),
        pose_covariance=_floats(message.pose.covariance).reshape(6, 6),
        linear_velocity=_vector(message.twist.twist.linear),
        angular_velocity=_vector(message.twist.twist.angular),
        twist_covariance=_floats(message.twist.covariance).reshape(6, 6),
    )


# --- trajectory_msgs, std_msgs, diagnostic_msgs


def _encode_trajectory(value: JointTrajectory) -> JointTrajectoryMessage:
    joints, points = len(value.names), len(value.time_from_start_ns)
    positions = _per_point("positions", value.positions, points, joints)
    velocities = _per_point("velocities", value.velocities, points, joints)
    message = JointTrajectoryMessage()
    message.header = _header(value)
    message.joint_names = list(value.names)
    message.points = [
        JointTrajectoryPoint(
            positions=_doubles(position),
            velocities=_doubles(velocity),
            time_from_start=Duration(sec=time_ns // _NS, nanosec=time_ns % _NS),
        )
        for position, velocity, time_ns in zip(
            positions, velocities, value.time_from_start_ns.tolist(), strict=True
        )
    ]
    return message


def _decode_trajectory(message: JointTrajectoryMessage) -> JointTrajectory:
    joints, points = len(message.joint_names), message.points
    times = [int(p.time_from_start.sec) * _NS + int(p.time_from_start.nanosec) for p in points]
    return JointTrajectory(
        stamp_ns=_stamp_ns(message.header),
        frame_id=message.header.frame_id,
        names=tuple(message.joint_names),
        positions=_stacked("positions", [p.positions for p in points], joints),
        velocities=_stacked("velocities", [p.velocities for p in points], joints),
        time_from_start_ns=np.array(times, dtype=np.int64),
    )


def _per_point(name: str, values: FloatArray, points: int, joints: int) -> FloatArray:
    if values.shape not in ((points, joints), (points, 0)):
        raise ValueRefusedError(f"{name} of shape {values.shape} for {points} points of {joints} joints")
    return values


def _stacked(name: str, rows: Sequence[Any], joints: int) -> FloatArray:
    """Rows of one length, N or 0, as an array of shape (P, N) or (P, 0); without any point, (0, 0)."""
    lengths = {len(row) for row in rows}
    if not lengths <= {joints} and lengths != {0}:
        raise ValueRefusedError(f"a point with {min(lengths - {joints})} {name} for {joints} joints")
    return np.array(rows, dtype=np.float64).reshape(len(rows), lengths.pop() if lengths else 0)


def _encode_array(value: Float64Array) -> Float64MultiArray:
    if value.data.ndim != 1:
        raise ValueRefusedError(f"data of shape {value.data.shape}, expected one axis")
    message = Float64MultiArray()
    count = value.data.size
    message.layout.dim = [MultiArrayDimension(label="", size=count, stride=count)]
    message.data = _doubles(value.data)
    return message


def _decode_array(message: Float64MultiArray) -> Float64Array:
    data = _floats(message.data)[message.layout.data_offset :]
    sizes = [dimension.size for dimension in message.layout.dim]
    # Many command publishers leave the layout empty; one that is there has to be true.
    if sizes and sizes != [data.size]:
        raise ValueRefusedError(f"layout of sizes {sizes} for {data.size} numbers")
    return Float64Array(data=data)


def _encode_diagnostics(value: Diagnostics) -> DiagnosticArray:
    message = DiagnosticArray()
    message.header = _header(value)
    message.status = [
        DiagnosticStatus(
            level=bytes([entry.level]),
            name=entry.name,
            message=entry.message,
            values=[KeyValue(key=key, value=figure) for key, figure in entry.figures],
        )
        for entry in value.entries
    ]
    return message


def _decode_diagnostics(message: DiagnosticArray) -> Diagnostics:
    return Diagnostics(
        stamp_ns=_stamp_ns(message.header),
        frame_id=message.header.frame_id,
        entries=tuple(
            Diagnostic(
                name=status.name,
                level=status.level[0],
                message=status.message,
                figures=tuple((pair.key, pair.value) for pair in status.values),
            )
            for status in message.status
        ),
    )


class _Codec(NamedTuple):
    value: type
    message: type
    encode: Callable[[Any], Any]
    decode: Callable[[Any], Value]


_CODECS: dict[MessageType, _Codec] = {
    MessageType.IMAGE: _Codec(Image, ImageMessage, _encode_image, _decode_image),
    MessageType.CAMERA_INFO: _Codec(CameraInfo, CameraInfoMessage, _encode_camera_info, _decode_camera_info),
    MessageType.JOINT_STATE: _Codec(JointState, JointStateMessage, _encode_joint_state, _decode_joint_state),
    MessageType.IMU: _Codec(Imu, ImuMessage, _encode_imu, _decode_imu),
    MessageType.POSE_WITH_COVARIANCE: _Codec(
        PoseWithCovariance, PoseWithCovarianceStamped, _encode_pose, _decode_pose
    ),
    MessageType.ODOMETRY: _Codec(Odometry, OdometryMessage, _encode_odometry, _decode_odometry),
    MessageType.JOINT_TRAJECTORY: _Codec(
        JointTrajectory, JointTrajectoryMessage, _encode_trajectory, _decode_trajectory
    ),
    MessageType.FLOAT64_ARRAY: _Codec(Float64Array, Float64MultiArray, _encode_array, _decode_array),
    MessageType.DIAGNOSTICS: _Codec(Diagnostics, DiagnosticArray, _encode_diagnostics, _decode_diagnostics),
}
_CODEC_OF_VALUE = {codec.value: codec for codec in _CODECS.values()}
_CODEC_OF_MESSAGE = {codec.message: codec for codec in _CODECS.values()}
