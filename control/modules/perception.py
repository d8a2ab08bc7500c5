"""Perception: a colour and a depth image to the position of the ball, or the verdict 'not seen'.

The network marks the pixels that show the ball. Position is read sub-pixel around the peak of that map and
depth at the peak, where the background does not mix in. What the camera's pose is uncertain by goes into
the covariance.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.frames import matrix_from_quaternion
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.modules.network import Network, required_artifact
from reflexarc.control.ports import MessageType, Port, PortNeed
from reflexarc.control.values import CameraInfo, FloatArray, Image, PoseWithCovariance, unknown_covariance

__all__ = [
    "Blobs",
    "CameraPose",
    "Detector",
    "Perception",
    "camera_pose",
    "locate",
    "measurement_sigma",
    "position_covariances",
    "read_blobs",
    "sigma_features",
]

_WINDOW = 4
"""Half width of the window around the peak, px: a ball of 3.5 cm at 0.6 m has a radius of 3.7 px at f = 64 px."""


class CameraPose(BaseModel):
    """Where the camera is said to be, and how well that is known.

    Args:
        position: Origin of the optical frame in the base frame, m.
        orientation_xyzw: Optical frame in the base frame.
        position_tolerance_m: The true position is within this distance.
        rotation_tolerance_rad: The true rotation is within this angle.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    position: tuple[float, float, float]
    orientation_xyzw: tuple[float, float, float, float]
    position_tolerance_m: float = Field(ge=0)
    rotation_tolerance_rad: float = Field(ge=0)


def camera_pose(parameters: Mapping[str, Any]) -> CameraPose:
    """The `camera_pose` of a perception module's parameters.

    Raises:
        ValueRefusedError: It is missing or cannot be right.
    """
    try:
        return CameraPose.model_validate(parameters.get("camera_pose"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(["camera_pose", *map(str, first["loc"])])
        raise ValueRefusedError(f"perception: parameter {where}: {first['msg']}.") from None


class Blobs(NamedTuple):
    """What `read_blobs` finds in B heat maps.

    Attributes:
        score: Logit of the peak. Shape (B,).
        pixel: (column, row) of the centre, sub-pixel, px. Shape (B, 2).
        depth: Median depth of the ball's pixels in the window, m; NaN without any. Shape (B,).
        pixels: Number of those pixels. Shape (B,).
    """

    score: FloatArray
    pixel: FloatArray
    depth: FloatArray
    pixels: FloatArray


def read_blobs(heat: npt.NDArray[np.generic], depth: npt.NDArray[np.generic]) -> Blobs:
    """The strongest blob of each heat map.

    Args:
        heat: Logits of 'this pixel shows the ball'. Shape (B, H, W).
        depth: Depth along the optical axis, m; 0 or NaN where there is none. Shape (B, H, W).
    """
    batch, height, width = heat.shape
    flat = heat.reshape(batch, -1)
    peak = flat.argmax(axis=1)
    row, column = np.divmod(peak, width)
    offsets = np.arange(-_WINDOW, _WINDOW + 1)
    rows = row[:, None, None] + offsets[None, :, None]
    columns = column[:, None, None] + offsets[None, None, :]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    index = (np.arange(batch)[:, None, None], rows.clip(0, height - 1), columns.clip(0, width - 1))
    probability = np.where(inside, _sigmoid(heat[index].astype(np.float64)), 0.0)
    weight = np.where(probability > 0.2, probability, 0.0)
    total = np.maximum(weight.sum(axis=(1, 2)), 1e-9)
    pixel = np.stack(
        [(weight * columns).sum(axis=(1, 2)) / total, (weight * rows).sum(axis=(1, 2)) / total], axis=1
    )
    near = depth[index].astype(np.float64)
    is_ball = (probability > 0.5) & np.isfinite(near) & (near > 0)
    count = is_ball.sum(axis=(1, 2)).astype(np.float64)
    ordered = np.sort(np.where(is_ball, near, np.inf).reshape(batch, -1), axis=1)
    at = np.arange(batch), np.maximum(count.astype(np.int64) - 1, 0) // 2
    median = np.where(count > 0, ordered[at], np.nan)
    return Blobs(flat[np.arange(batch), peak].astype(np.float64), pixel, median, count)


def locate(blobs: Blobs, intrinsics: FloatArray, surface_to_center_m: float) -> FloatArray:
    """Ball centres in the optical frame, m. Shape (B, 3).

    Args:
        blobs: From `read_blobs`.
        intrinsics: K. Shape (3, 3).
        surface_to_center_m: How much farther the centre is than the median visible point of the surface;
            for a whole disc of a sphere of radius r it is r / sqrt(2).
    """
    along = blobs.depth + surface_to_center_m
    x = (blobs.pixel[:, 0] - intrinsics[0, 2]) / intrinsics[0, 0]
    y = (blobs.pixel[:, 1] - intrinsics[1, 2]) / intrinsics[1, 1]
    return np.stack([x * along, y * along, along], axis=1)


def measurement_sigma(blobs: Blobs, coefficients: FloatArray) -> FloatArray:
    """Standard deviations of B located balls across and along the optical axis, m. Shape (B, 2).

    Args:
        blobs: From `read_blobs`.
        coefficients: Of the log-linear variance model that was fitted to held-out errors (Harvey,
            Estimating regression models with multiplicative heteroscedasticity, Econometrica 44(3), 1976).
            Shape (2, 4), on (1, log depth, log count, score / 10).
    """
    return np.exp(sigma_features(blobs) @ coefficients.T)


def position_covariances(sigma: FloatArray, lever: FloatArray, camera: CameraPose) -> FloatArray:
    """Covariances of B positions: of the measurement, and of the camera's pose.

    A pose error that is uniform in a ball of radius r has the variance r^2 / 5 along each axis. A small
    rotation e moves a point by e x lever, whose covariance is s^2 (|lever|^2 I - lever lever^T).

    Args:
        sigma: Across and along the ray, m. Shape (B, 2).
        lever: From the camera to the ball, in the base frame, m. Shape (B, 3).
        camera: How well the pose is known.

    Returns:
        Shape (B, 3, 3), m^2.
    """
    square = (lever**2).sum(axis=1)[:, None, None]
    outer = lever[:, :, None] * lever[:, None, :]
    along = outer / square
    identity = np.eye(3)
    return (
        sigma[:, 0, None, None] ** 2 * (identity - along)
        + sigma[:, 1, None, None] ** 2 * along
        + camera.position_tolerance_m**2 / 5 * identity
        + camera.rotation_tolerance_rad**2 / 5 * (square * identity - outer)
    )


def sigma_features(blobs: Blobs) -> FloatArray:
    """What the variance model of `measurement_sigma` is linear in. Shape (B, 4)."""
    return np.stack(
        [
            np.ones_like(blobs.depth),
            np.log(np.maximum(blobs.depth, 0.1)),
            np.log(np.maximum(blobs.pixels, 1.0)),
            np.clip(blobs.score, -10.0, 10.0) / 10.0,
        ],
        axis=1,
    )


def _sigmoid(logit: FloatArray) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-np.clip(logit, -40.0, 40.0)))


class Detector:
    """A trained network and the reading of its map, over B pairs of images at once.

    Args:
        network: Colour and depth to the logits of 'this pixel shows the ball'.
        constants: Threshold, noise model and the rest, as the artifact's manifest has them.
        camera: Where the camera is said to be.
    """

    def __init__(self, network: Network, constants: Mapping[str, Any], camera: CameraPose) -> None:
        self._network = network
        self._threshold = float(constants["threshold_logit"])
        self._surface_to_center_m = float(constants["surface_to_center_m"])
        self._sigma = np.array(constants["sigma_coefficients"], dtype=np.float64)
        self._camera = camera
        self._position = np.array(camera.position)
        self._base_from_optical = matrix_from_quaternion(np.array(camera.orientation_xyzw))

    def __call__(
        self, color: npt.NDArray[np.generic], depth: npt.NDArray[np.generic], intrinsics: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Ball positions in the base frame, and their covariances.

        Args:
            color: Shape (B, H, W, 3), uint8.
            depth: Shape (B, H, W), float32, m.
            intrinsics: K. Shape (3, 3).

        Returns:
            Positions, m, shape (B, 3), a row of NaN for 'not seen'; covariances, m^2, shape (B, 3, 3).
        """
        heat = self._network(color=color, depth=depth)[0]
        blobs = read_blobs(heat, depth)
        is_seen = (blobs.score >= self._threshold) & (blobs.pixels > 0)
        in_camera = np.where(is_seen[:, None], locate(blobs, intrinsics, self._surface_to_center_m), 1.0)
        lever = in_camera @ self._base_from_optical.T
        position = np.where(is_seen[:, None], self._position + lever, np.nan)
        return position, position_covariances(measurement_sigma(blobs, self._sigma), lever, self._camera)


class Perception(Module):
    """The detector behind ports.

    Inputs: `color` (rgb8), `depth` (32FC1), `camera_info`. Output: `detection`, for every pair of images.
    """

    input_needs: ClassVar = {
        "color": PortNeed(type=MessageType.IMAGE, unit="rgb8", ndim=3),
        "depth": PortNeed(type=MessageType.IMAGE, unit="32FC1", ndim=2),
        "camera_info": PortNeed(type=MessageType.CAMERA_INFO),
    }
    output_needs: ClassVar = {"detection": PortNeed(type=MessageType.POSE_WITH_COVARIANCE, unit="m")}

    def __init__(
        self, parameters: Mapping[str, Any], outputs: Mapping[str, Port], artifact: Artifact | None
    ) -> None:
        artifact = required_artifact("perception", artifact)
        self._detector = Detector(Network.of(artifact), artifact.manifest.constants, camera_pose(parameters))
        self._frame = outputs["detection"].frame
        self._camera_info: CameraInfo | None = None

    def reset(self) -> None:
        """Nothing is remembered from image to image but the camera's intrinsics."""

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """One detection for one pair of images; none while the intrinsics are not known."""
        for info in inputs["camera_info"]:
            self._camera_info = info  # type: ignore[assignment]
        if not inputs["color"] or not inputs["depth"]:
            return {}
        if self._camera_info is None:
            self.rejections["color: no camera_info yet"] += 1
            return {}
        color, depth = inputs["color"][-1], inputs["depth"][-1]
        assert isinstance(color, Image)
        assert isinstance(depth, Image)
        position, spread = self._detector(color.data[None], depth.data[None], self._camera_info.intrinsics)
        covariance = unknown_covariance()
        if np.isfinite(position).all():
            covariance = np.zeros((6, 6))
            covariance[:3, :3] = spread[0]
        return {
            "detection": PoseWithCovariance(
                stamp_ns=color.stamp_ns, frame_id=self._frame, position=position[0], covariance=covariance
            )
        }
