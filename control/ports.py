"""Port: the vocabulary that flows, environments, artifacts and topics all read from.

A port says once what passes there: message type, topic, shape, unit, frame, rate and quality of service.
`refusal` is the one place that decides whether a value may pass.
"""

from enum import Enum
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from reflexarc.control.values import (
    CameraInfo,
    Float64Array,
    Image,
    JointState,
    JointTrajectory,
    Odometry,
    PoseWithCovariance,
    Value,
)

__all__ = ["MessageType", "Port", "PortNeed", "Stream", "refusal", "silence_s"]


class MessageType(str, Enum):
    """The standard ROS 2 message types that may travel along an edge."""

    IMAGE = "sensor_msgs/Image"
    CAMERA_INFO = "sensor_msgs/CameraInfo"
    JOINT_STATE = "sensor_msgs/JointState"
    IMU = "sensor_msgs/Imu"
    POSE_WITH_COVARIANCE = "geometry_msgs/PoseWithCovarianceStamped"
    ODOMETRY = "nav_msgs/Odometry"
    JOINT_TRAJECTORY = "trajectory_msgs/JointTrajectory"
    FLOAT64_ARRAY = "std_msgs/Float64MultiArray"
    DIAGNOSTICS = "diagnostic_msgs/DiagnosticArray"


Stream = Literal["sensor", "state", "command", "description"]
"""What kind of stream a port is; the quality of service follows from it (REP 2003)."""


_SHORTEST_DEADLINE_S = 0.05
"""At 60 Hz with four CPU hogs on two cores 25 ms gave five false alarms in 7 s, 50 ms none."""

_PERIODS_UNTIL_SILENT = 5.0
"""Camera frames get lost now and then (5 %) and come up to 25 ms earlier or later than the one before: at
50 Hz there are gaps of 65 ms, and of 85 ms where two in a row are lost."""


class Port(BaseModel):
    """A named output, as a flow file declares it.

    Args:
        type: ROS 2 message type.
        topic: Relative topic name, lower snake case.
        shape: Shape of the payload: (H, W, 3), (H, W), or (N,) for joints; () where it has none.
        unit: SI unit of the payload, or the encoding of an image.
        frame: `frame_id` of the values, empty where there is none.
        rate_hz: How often a value is due; None for a value that is published once.
        stream: Kind of stream, which decides the quality of service.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: MessageType
    topic: str = Field(pattern=r"^[a-z][a-z0-9_]*(/[a-z][a-z0-9_]*)*$")
    shape: tuple[int, ...] = ()
    unit: str = ""
    frame: str = ""
    rate_hz: float | None = Field(default=None, gt=0)
    stream: Stream = "state"


def silence_s(port: Port) -> float | None:
    """After how long without a value a stream counts as silent, or None where it may pause for ever."""
    return None if port.rate_hz is None else max(_SHORTEST_DEADLINE_S, _PERIODS_UNTIL_SILENT / port.rate_hz)


class PortNeed(BaseModel):
    """What a module's code expects of one of its inputs or makes of its outputs, whatever the flow.

    Args:
        type: ROS 2 message type.
        unit: SI unit or image encoding; None where any will do.
        ndim: Number of axes of the payload; None where any will do.
        optional: Whether the module can run without it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: MessageType
    unit: str | None = None
    ndim: int | None = None
    optional: bool = False


_VALUE_TYPES: dict[MessageType, type] = {
    MessageType.IMAGE: Image,
    MessageType.CAMERA_INFO: CameraInfo,
    MessageType.JOINT_STATE: JointState,
    MessageType.POSE_WITH_COVARIANCE: PoseWithCovariance,
    MessageType.ODOMETRY: Odometry,
    MessageType.JOINT_TRAJECTORY: JointTrajectory,
    MessageType.FLOAT64_ARRAY: Float64Array,
}


def refusal(port: Port, value: Value) -> str | None:
    """Why a value may not pass a port, or None if it may.

    A running flow never raises on a bad value: the receiving side counts the refusal under this reason
    and publishes the count with its health.

    Args:
        port: Where the value arrives.
        value: What arrived.

    Returns:
        None, or a short reason such as `shape (64, 64, 3), expected (96, 96, 3)`.
    """
    expected = _VALUE_TYPES.get(port.type)
    if expected is not None and not isinstance(value, expected):
        return f"type {type(value).__name__}, expected {expected.__name__}"
    frame = getattr(value, "frame_id", "")
    if port.frame and frame != port.frame:
        return f"frame '{frame}', expected '{port.frame}'"
    return _payload_refusal(port, value)


def _payload_refusal(port: Port, value: Value) -> str | None:  # noqa: PLR0911 one return per reason
    if isinstance(value, Image):
        if port.unit and value.encoding != port.unit:
            return f"encoding {value.encoding}, expected {port.unit}"
        if value.data.shape != port.shape:
            return f"shape {value.data.shape}, expected {port.shape}"
        # A depth camera marks 'no return' with NaN or 0 (REP 118); an image without one return is no image.
        if value.data.dtype.kind == "f" and not np.isfinite(value.data).any():
            return "no finite pixel"
        return None
    if isinstance(value, PoseWithCovariance | Odometry):
        return None if not value.is_known else _not_finite(value)
    if isinstance(value, JointState):
        return _wrong_length("position", value.position, port) or _wrong_length(
            "velocity", value.velocity, port
        )
    if isinstance(value, JointTrajectory):
        if value.velocities.shape[0] < 1:
            return "no point in the trajectory"
        return _wrong_length("velocity", value.velocities[0], port)
    if isinstance(value, Float64Array):
        return _wrong_length("data", value.data, port)
    return None


def _not_finite(value: PoseWithCovariance | Odometry) -> str | None:
    fields = (
        (value.position, value.covariance)
        if isinstance(value, PoseWithCovariance)
        else (value.position, value.linear_velocity, value.pose_covariance, value.twist_covariance)
    )
    return None if all(np.isfinite(f).all() for f in fields) else "not finite"


def _wrong_length(name: str, array: np.ndarray, port: Port) -> str | None:
    if port.shape and array.shape != port.shape:
        return f"{name} of shape {array.shape}, expected {port.shape}"
    return None if np.isfinite(array).all() else f"{name} not finite"
