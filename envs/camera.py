"""Camera: what a fixed colour and depth camera sees, by one of two backends behind one interface.

`raycast` casts a ray per pixel with the simulation's own geometry: depth, segmentation and shaded colour
without OpenGL, the same bits on every machine. `gl` draws with MuJoCo's renderer. Both give clean images;
`Appearance` holds what an episode looks like and `add_noise` what a sensor adds.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Protocol

import mujoco
import mujoco.batch
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reflexarc.control.errors import FlowError, RuntimeUnavailableError
from reflexarc.control.frames import matrix_from_rotation_vector
from reflexarc.control.values import FloatArray
from reflexarc.envs.randomization import Channel, SeedArray, bits, in_ball, uniform

__all__ = [
    "UNCHANGED",
    "Backend",
    "Camera",
    "CameraChange",
    "CameraMount",
    "Frames",
    "GlCamera",
    "RaycastCamera",
    "add_noise",
    "camera_change",
    "looking_at",
]

Backend = Literal["raycast", "gl"]
IdArray = npt.NDArray[np.int64]

HEIGHT, WIDTH = 128, 80
"""Pixels. Upright, since a throw goes up and down more than sideways."""

FOCAL_PX = 64.0
"""90 degrees from top to bottom."""

_FOVY_DEG = float(np.rad2deg(2.0 * np.arctan(HEIGHT / (2.0 * FOCAL_PX))))

POSITION_TOLERANCE_M = 0.01
ROTATION_TOLERANCE_RAD = float(np.deg2rad(1.0))
"""How well a camera's pose is known, as a hand-eye calibration gives it: within 1 cm and 1 degree."""

DEPTH_NOISE_PER_M = 0.004
"""1/m: the noise of stereo depth is z^2 * (subpixel error) / (focal length * baseline).

With 0.08 px, 0.05 m and 400 px, as for an Intel RealSense D435 at 848 x 480 (Intel, Best-known methods for
tuning D400 depth cameras, 2019), that is 0.004 z^2.
"""

DEPTH_RANGE_M = 8.0
"""Farther away there is no return: depth 0 (REP 118 allows 0 or NaN)."""

COLOR_NOISE = 4.0
"""Standard deviation of a pixel's brightness, of 255."""


class Frames(NamedTuple):
    """What n cameras see.

    Attributes:
        color: Shape (n, H, W, 3), uint8.
        depth: Along the optical axis, m; 0 where nothing is. Shape (n, H, W), float32.
        geom: Geom id per pixel, -1 where nothing is. Shape (n, H, W), int32.
    """

    color: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    geom: npt.NDArray[np.int32]


_Finite = Annotated[float, Field(allow_inf_nan=False)]


class CameraChange(BaseModel):
    """How a flow's camera departs from that of its task.

    Args:
        shift_m: By how much it was moved, base_link.
        turn_rad: By how much it was turned about its own center, as a rotation vector in base_link.
        depth_noise: Factor on the noise of its depth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shift_m: tuple[_Finite, _Finite, _Finite] = (0.0, 0.0, 0.0)
    turn_rad: tuple[_Finite, _Finite, _Finite] = (0.0, 0.0, 0.0)
    depth_noise: float = Field(default=1.0, ge=0.0, allow_inf_nan=False)


UNCHANGED = CameraChange()
"""The camera as the task has it."""


class _PlantParameters(BaseModel):
    """What a flow file may say of a twin."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    camera: CameraChange = UNCHANGED


def camera_change(parameters: Mapping[str, Any]) -> CameraChange:
    """What the `parameters` of a flow's plant say of its camera.

    Raises:
        FlowError: One of them is unknown, or cannot be right.
    """
    try:
        return _PlantParameters.model_validate(parameters).camera
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise FlowError(f"plant: parameter {where}: {first['msg']}.") from None


@dataclass(frozen=True)
class CameraMount:
    """Where a camera is said to be: its optical frame in base_link.

    Args:
        position: m. Shape (3,).
        rotation: base_from_optical. Shape (3, 3).
    """

    position: FloatArray
    rotation: FloatArray

    @property
    def intrinsics(self) -> FloatArray:
        """K, px. Shape (3, 3)."""
        return np.array(
            [[FOCAL_PX, 0.0, (WIDTH - 1) / 2], [0.0, FOCAL_PX, (HEIGHT - 1) / 2], [0.0, 0.0, 1.0]]
        )

    def changed(self, change: CameraChange) -> "CameraMount":
        """Where it is said to be after a change."""
        turned = matrix_from_rotation_vector(np.array(change.turn_rad)) @ self.rotation
        return CameraMount(self.position + np.array(change.shift_m), turned)

    @property
    def half_view(self) -> tuple[float, float]:
        """Tangents of half the field of view: sideways and up."""
        return WIDTH / (2 * FOCAL_PX), HEIGHT / (2 * FOCAL_PX)


def looking_at(position: tuple[float, float, float], target: tuple[float, float, float]) -> CameraMount:
    """A camera that looks at a point, its image upright."""
    eye = np.array(position)
    forward = np.array(target) - eye
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right = right / np.linalg.norm(right)
    return CameraMount(eye, np.stack([right, np.cross(forward, right), forward], axis=1))


class Appearance:
    """What B episodes look like: true camera poses, light, and the colour of every geom.

    Args:
        model: The scene.
        mount: Where the camera is said to be.
        num_envs: B.
    """

    def __init__(self, model: mujoco.MjModel, mount: CameraMount, num_envs: int) -> None:
        self.mount = mount
        self.position = np.tile(mount.position, (num_envs, 1))
        self.rotation = np.tile(mount.rotation, (num_envs, 1, 1))
        self.color = np.zeros((num_envs, model.ngeom, 3))
        self.light = np.tile(np.array([0.0, 0.0, 1.0]), (num_envs, 1))
        self.ambient = np.full(num_envs, 0.5)
        self._base_color = model.geom_rgba[:, :3].astype(np.float64)
        names = [model.geom(index).name for index in range(model.ngeom)]
        self._ball_like = [names.index(name) for name in ("ball", "lookalike_large", "lookalike_cube")]
        self._free = [i for i, n in enumerate(names) if n.startswith(("clutter", "wall", "floor", "screen"))]
        self._other_hue = names.index("lookalike_hue")

    def reset(self, ids: IdArray, seeds: SeedArray) -> None:
        """Draw the appearance of new episodes."""
        self.reset_pose(ids, seeds)
        draw = uniform(seeds, 0, Channel.LIGHT, 4)
        tilt, turn_z = 0.9 * draw[:, 0], 2 * np.pi * draw[:, 1]
        self.light[ids] = np.stack(
            [np.sin(tilt) * np.cos(turn_z), np.sin(tilt) * np.sin(turn_z), np.cos(tilt)], axis=1
        )
        self.ambient[ids] = 0.35 + 0.3 * draw[:, 2]
        self._paint(ids, seeds)

    def reset_pose(self, ids: IdArray, seeds: SeedArray) -> None:
        """Draw the true camera poses alone: error models need them, colours and light are for images."""
        shift = in_ball(seeds, 0, Channel.CAMERA_POSITION) * POSITION_TOLERANCE_M
        turn = in_ball(seeds, 0, Channel.CAMERA_ROTATION) * ROTATION_TOLERANCE_RAD
        self.position[ids] = self.mount.position + shift
        self.rotation[ids] = matrix_from_rotation_vector(turn) @ self.mount.rotation

    def _paint(self, ids: IdArray, seeds: SeedArray) -> None:
        geoms = len(self._base_color)
        draw = uniform(seeds, 0, Channel.COLOR, geoms * 3 + 4)
        jitter = draw[:, : geoms * 3].reshape(-1, geoms, 3)
        color = self._base_color * (0.85 + 0.3 * jitter)
        color[:, self._free] = 0.1 + 0.75 * jitter[:, self._free]
        # The ball and its look-alikes share a hue between red-orange and yellow-orange (20 +- 10 degrees).
        orange = _rgb_from_hue(10.0 + 20.0 * draw[:, -1], 0.75 + 0.2 * draw[:, -2])
        color[:, self._ball_like] = orange[:, None, :] * (0.92 + 0.16 * jitter[:, self._ball_like, :1])
        color[:, self._other_hue] = _rgb_from_hue(90.0 + 210.0 * draw[:, -3], 0.6 + 0.3 * draw[:, -4])
        self.color[ids] = np.clip(color, 0.0, 1.0)


def _rgb_from_hue(hue_deg: FloatArray, value: FloatArray) -> FloatArray:
    """RGB of a hue, saturation 0.85, by the formula of Smith, Color gamut transform pairs, 1978."""
    k = (np.array([5.0, 3.0, 1.0])[None, :] + hue_deg[:, None] / 60.0) % 6.0
    return value[:, None] * (1.0 - 0.85 * np.clip(np.minimum(k, 4.0 - k), 0.0, 1.0))


class Camera(Protocol):
    """A backend."""

    def render(self, batch: mujoco.batch.Batch, look: Appearance, ids: IdArray) -> Frames:
        """Clean images of some simulations, in their present state."""


class RaycastCamera:
    """One ray per pixel: Lambert's law under one distant lamp and ambient light.

    Args:
        height: Rows, px.
        width: Columns, px.
        focal_px: Focal length, px.
    """

    def __init__(self, height: int = HEIGHT, width: int = WIDTH, focal_px: float = FOCAL_PX) -> None:
        self._size = height, width
        column, row = np.meshgrid(np.arange(width), np.arange(height))
        x, y = (column - (width - 1) / 2) / focal_px, (row - (height - 1) / 2) / focal_px
        # With 1 along the optical axis, the length of a ray to its hit is the depth.
        self._rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)

    def render(self, batch: mujoco.batch.Batch, look: Appearance, ids: IdArray) -> Frames:
        """Images by ray casting."""
        direction = self._rays @ look.rotation[ids].transpose(0, 2, 1)
        distance, geom, normal = batch.ray(look.position[ids][:, None, :], direction, ids=ids, normal=True)
        hit = (geom >= 0) & (distance < DEPTH_RANGE_M)
        lambert = np.maximum((normal @ look.light[ids][:, :, None])[..., 0], 0.0)
        shade = look.ambient[ids][:, None] + (1.0 - look.ambient[ids][:, None]) * lambert
        color = look.color[ids][np.arange(len(ids))[:, None], np.maximum(geom, 0)] * shade[..., None]
        color[~hit] = 0.8
        size = (len(ids), *self._size)
        return Frames(
            (255.0 * color).astype(np.uint8).reshape(*size, 3),
            np.where(hit, distance, 0.0).astype(np.float32).reshape(size),
            np.where(hit, geom, -1).astype(np.int32).reshape(size),
        )


class GlCamera:
    """MuJoCo's OpenGL renderer, without shadows and multisampling.

    Raises:
        RuntimeUnavailableError: There is no OpenGL on this machine.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        try:
            _use_egl_by_default()
            self._renderer = mujoco.Renderer(model, height=HEIGHT, width=WIDTH)
        except Exception as error:  # the context raises whatever its platform's library does
            raise RuntimeUnavailableError(
                f"camera backend 'gl': no OpenGL on this machine ({error}). Install EGL (Debian: apt-get "
                "install libegl1 libgl1), set MUJOCO_GL=egl, or use the backend 'raycast'."
            ) from error

    def render(self, batch: mujoco.batch.Batch, look: Appearance, ids: IdArray) -> Frames:
        """Images by OpenGL, one simulation at a time."""
        parts = [self._render_one(batch, look, int(index)) for index in ids]
        return Frames(*(np.stack(column) for column in zip(*parts, strict=True)))

    def _render_one(self, batch: mujoco.batch.Batch, look: Appearance, index: int) -> tuple[np.ndarray, ...]:
        model, data = batch.get_model(index), batch.get_data(index)
        model.geom_rgba[:, :3] = look.color[index]
        model.light_dir[:] = -look.light[index]
        model.light_diffuse[:] = 1.0 - look.ambient[index]
        model.light_specular[:] = 0.0
        model.vis.global_.fovy = _FOVY_DEG
        model.vis.headlight.ambient[:] = look.ambient[index]
        model.vis.headlight.diffuse[:] = 0.0
        mujoco.mj_forward(model, data)
        renderer = self._renderer
        renderer._model = model  # the renderer has no public way to draw another model of the same sizes
        renderer.update_scene(data)
        rotation = look.rotation[index]
        for view in renderer.scene.camera:  # both eyes; a free camera would leave out the roll
            view.pos[:] = look.position[index]
            view.forward[:] = rotation[:, 2]
            view.up[:] = -rotation[:, 1]
        renderer.disable_depth_rendering()
        renderer.disable_segmentation_rendering()
        color = renderer.render().copy()
        renderer.enable_depth_rendering()
        depth = renderer.render().copy()
        renderer.disable_depth_rendering()
        renderer.enable_segmentation_rendering()
        segmentation = renderer.render().copy()
        renderer.disable_segmentation_rendering()
        is_geom = segmentation[..., 1] == mujoco.mjtObj.mjOBJ_GEOM
        hit = is_geom & (depth < DEPTH_RANGE_M)
        return (
            color,
            np.where(hit, depth, 0.0).astype(np.float32),
            np.where(hit, segmentation[..., 0], -1).astype(np.int32),
        )


def _use_egl_by_default() -> None:
    """Have MuJoCo draw without a display, where nobody chose otherwise.

    MuJoCo reads MUJOCO_GL when it is imported, and that import fails where EGL is not installed; here the
    choice is made when an image is wanted, so that everything else does not depend on OpenGL.
    """
    if sys.platform == "linux" and not os.environ.get("MUJOCO_GL"):
        from mujoco.egl import GLContext  # noqa: PLC0415 see above
        from mujoco.rendering.classic import gl_context  # noqa: PLC0415

        gl_context.GLContext = GLContext


def add_noise(frames: Frames, seeds: SeedArray, step: npt.ArrayLike, depth_noise: float = 1.0) -> Frames:
    """What a sensor makes of clean images: noisy brightness, and depth noise that grows with z^2.

    Args:
        frames: n clean images.
        seeds: Shape (n,).
        step: When; shape (n,) or a scalar.
        depth_noise: Factor on the noise of depth.
    """
    size = frames.depth.shape
    # Two uniform 16-bit numbers make one triangular draw, one hash both draws of a pixel.
    draws = bits(seeds, step, Channel.PIXEL, size[1] * size[2]).view(np.uint16).reshape(*size, 4)
    pairs = draws.astype(np.float32)
    unit = np.float32(np.sqrt(6.0) / 65536.0)
    brightness = (pairs[..., 0] + pairs[..., 1] - np.float32(65535.0)) * unit
    distance = (pairs[..., 2] + pairs[..., 3] - np.float32(65535.0)) * unit
    color = np.clip(frames.color + np.float32(COLOR_NOISE) * brightness[..., None], 0, 255).astype(np.uint8)
    depth = frames.depth + np.float32(depth_noise * DEPTH_NOISE_PER_M) * frames.depth**2 * distance
    return Frames(color, depth, frames.geom)
