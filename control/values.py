"""What travels along an edge of a flow: one plain value type per ROS 2 message type.

Modules, environments and both runtimes speak these; `nodes.messages` turns them into ROS 2 messages and
back without loss. Arrays are numpy, stamps are integer nanoseconds of ROS time, units are SI (REP 103).
A value's stamp is that of the sensor frame that caused it, so age can be measured at any hop.
"""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = [
    "CameraInfo",
    "Diagnostic",
    "Diagnostics",
    "Float64Array",
    "FloatArray",
    "Image",
    "Imu",
    "JointState",
    "JointTrajectory",
    "Odometry",
    "PoseWithCovariance",
    "Value",
    "unknown_covariance",
]

FloatArray = npt.NDArray[np.float64]


def unknown_covariance() -> FloatArray:
    """The 6x6 covariance that means 'there is no value here'.

    Source: sensor_msgs/Imu, "if you have no estimate for one of the data elements, please set element
    0 of the associated covariance matrix to -1". The value itself is then NaN, so that a reader who
    does not know the convention cannot take it for a measurement.
    """
    covariance = np.zeros((6, 6))
    covariance[0, 0] = -1.0
    return covariance


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """One camera image (`sensor_msgs/Image`).

    Args:
        stamp_ns: When the shutter was open, in ns.
        frame_id: The camera's optical frame: z forward, x right, y down.
        encoding: `rgb8` (uint8), `32FC1` (float32, metres) or `16UC1` (uint16, millimetres).
        data: Shape (H, W, 3) for colour, (H, W) for depth.
    """

    stamp_ns: int
    frame_id: str
    encoding: str
    data: npt.NDArray[np.generic]


@dataclass(frozen=True, kw_only=True, eq=False)
class CameraInfo:
    """A camera's intrinsics (`sensor_msgs/CameraInfo`), without distortion.

    Args:
        stamp_ns: Stamp of the image that it belongs to, or of its publication.
        frame_id: The camera's optical frame.
        width: Columns, in pixels.
        height: Rows, in pixels.
        intrinsics: K, shape (3, 3), in pixels.
    """

    stamp_ns: int
    frame_id: str
    width: int
    height: int
    intrinsics: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class JointState:
    """Measured joints (`sensor_msgs/JointState`): N names, positions in rad, velocities in rad/s, efforts in N m."""

    stamp_ns: int
    frame_id: str = ""
    names: tuple[str, ...]
    position: FloatArray
    velocity: FloatArray
    effort: FloatArray = field(default_factory=lambda: np.empty(0))


@dataclass(frozen=True, kw_only=True, eq=False)
class Imu:
    """An inertial measurement (`sensor_msgs/Imu`, REP 145).

    Args:
        stamp_ns: When it was measured.
        frame_id: The sensor's frame.
        orientation_xyzw: Shape (4,).
        orientation_covariance: Shape (3, 3), rad^2; element 0 is -1 where there is no orientation.
        angular_velocity: Shape (3,), rad/s.
        angular_velocity_covariance: Shape (3, 3).
        linear_acceleration: Shape (3,), m/s^2; at rest +g along the axis that points up.
        linear_acceleration_covariance: Shape (3, 3).
    """

    stamp_ns: int
    frame_id: str
    orientation_xyzw: FloatArray
    orientation_covariance: FloatArray
    angular_velocity: FloatArray
    angular_velocity_covariance: FloatArray
    linear_acceleration: FloatArray
    linear_acceleration_covariance: FloatArray


@dataclass(frozen=True, kw_only=True, eq=False)
class PoseWithCovariance:
    """A detection (`geometry_msgs/PoseWithCovarianceStamped`).

    Args:
        stamp_ns: Stamp of the image that it was seen in.
        frame_id: Frame of the position.
        position: Shape (3,), m; NaN for 'not seen'.
        orientation_xyzw: Shape (4,); identity where only a position is detected.
        covariance: Shape (6, 6), order x, y, z, about x, about y, about z; element (0, 0) is -1 for
            'not seen' (see `unknown_covariance`).
    """

    stamp_ns: int
    frame_id: str
    position: FloatArray
    covariance: FloatArray
    orientation_xyzw: FloatArray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))

    @property
    def is_known(self) -> bool:
        """Whether something was seen."""
        return bool(self.covariance[0, 0] >= 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Odometry:
    """An estimate (`nav_msgs/Odometry`).

    Args:
        stamp_ns: The time that the estimate is for.
        frame_id: Frame of the pose, and here of the twist as well (`child_frame_id` equals it).
        child_frame_id: Frame of the twist.
        position: Shape (3,), m; NaN while nothing is known.
        linear_velocity: Shape (3,), m/s.
        pose_covariance: Shape (6, 6); element (0, 0) is -1 while nothing is known.
        twist_covariance: Shape (6, 6).
        orientation_xyzw: Shape (4,).
        angular_velocity: Shape (3,), rad/s.
    """

    stamp_ns: int
    frame_id: str
    child_frame_id: str
    position: FloatArray
    linear_velocity: FloatArray
    pose_covariance: FloatArray
    twist_covariance: FloatArray
    orientation_xyzw: FloatArray = field(default_factory=lambda: np.array([0.0, 0.0, 0.0, 1.0]))
    angular_velocity: FloatArray = field(default_factory=lambda: np.zeros(3))

    @property
    def is_known(self) -> bool:
        """Whether there is an estimate yet."""
        return bool(self.pose_covariance[0, 0] >= 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class JointTrajectory:
    """A stamped joint command (`trajectory_msgs/JointTrajectory`) of P points for N joints.

    Args:
        stamp_ns: Stamp of the observation that the command answers.
        frame_id: Usually empty.
        names: The N joints, in order.
        positions: Shape (P, N), rad, or (P, 0) where the command is not a position.
        velocities: Shape (P, N), rad/s, or (P, 0).
        time_from_start_ns: Shape (P,), integer ns.
    """

    stamp_ns: int
    frame_id: str = ""
    names: tuple[str, ...]
    positions: FloatArray
    velocities: FloatArray
    time_from_start_ns: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Float64Array:
    """What a ros2_control forward command controller takes (`std_msgs/Float64MultiArray`): shape (N,), no stamp."""

    data: FloatArray


@dataclass(frozen=True, kw_only=True)
class Diagnostic:
    """One line of health: level 0 ok, 1 warning, 2 error, 3 stale, with named figures."""

    name: str
    level: int
    message: str
    figures: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Diagnostics:
    """The health of one node (`diagnostic_msgs/DiagnosticArray`)."""

    stamp_ns: int
    frame_id: str = ""
    entries: tuple[Diagnostic, ...] = ()


Value: TypeAlias = (
    Image
    | CameraInfo
    | JointState
    | Imu
    | PoseWithCovariance
    | Odometry
    | JointTrajectory
    | Float64Array
    | Diagnostics
)
