"""Task: one definition of simulation, observation, reward, ending and randomisation, over B simulations.

The Gymnasium environment (B = 1), the batched one and the twin all run this code on `mujoco.batch.Batch`,
so one step of either gives the same numbers.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, NamedTuple

import mujoco
import mujoco.batch
import numpy as np
import numpy.typing as npt

from reflexarc.control.values import FloatArray
from reflexarc.envs.camera import (
    UNCHANGED,
    Appearance,
    Backend,
    Camera,
    CameraChange,
    CameraMount,
    Frames,
    GlCamera,
    RaycastCamera,
    add_noise,
)
from reflexarc.envs.randomization import Channel, SeedArray, uniform
from reflexarc.envs.robot import ACCELERATION_LIMIT, JOINT_NAMES, READY_POSITION, VELOCITY_LIMIT
from reflexarc.envs.sensors import JOINTS, measure_joints

__all__ = ["OBSERVATION_LAYOUT", "SUBSTEPS", "TICK_S", "ArmTask", "BallTruth", "Outcome"]

BoolArray = npt.NDArray[np.bool_]
IdArray = npt.NDArray[np.int64]

SUBSTEPS = 5
TICK_S = 0.01
"""One control step: 5 substeps of 2 ms."""

_DAMPING_M2 = 0.01
"""Of `toward_ball`, m^2/rad^2: joints stay slow where the arm is stretched out."""

_MODELS = Path(__file__).parent / "models"
_N = len(JOINT_NAMES)

OBSERVATION_LAYOUT: tuple[tuple[str, int], ...] = (
    ("joint_position", _N),
    ("joint_velocity", _N),
    ("ball_position", 3),
    ("ball_velocity", 3),
    ("is_known", 1),
)
"""What a policy reads, in this order: rad, rad/s, m and m/s in base_link, and 1 once the ball is known."""


class BallTruth(NamedTuple):
    """The simulator's truth about the ball, for rewards, labels and error models only.

    Attributes:
        position: m, base_link. Shape (B, 3).
        velocity: m/s. Shape (B, 3).
        camera_position: Where the camera really is. Shape (B, 3).
        camera_rotation: base_from_optical as it really is. Shape (B, 3, 3).
        is_hidden: Whether something is in front of the ball. Shape (B,).
        step: Control steps since the episode's start. Shape (B,).
    """

    position: FloatArray
    velocity: FloatArray
    camera_position: FloatArray
    camera_rotation: FloatArray
    is_hidden: BoolArray
    step: IdArray


class Outcome(NamedTuple):
    """What a step came to: reward, terminated and truncated, each of shape (B,)."""

    reward: FloatArray
    terminated: BoolArray
    truncated: BoolArray


class ArmTask(ABC):
    """What the arm's tasks share. Arrays have a leading axis B, the simulations.

    Args:
        num_envs: B.
        nthread: Threads of the batch; 0 for all cores.
        has_camera: Whether episodes get an appearance; without, resets are faster and no image can be had.
        backend: Camera backend.
        camera: How the camera departs from the task's own.
    """

    model_file: ClassVar[str]
    own_mount: ClassVar[CameraMount]
    max_steps: ClassVar[int]

    def __init__(
        self,
        num_envs: int,
        nthread: int = 0,
        *,
        has_camera: bool = False,
        backend: Backend = "raycast",
        camera: CameraChange = UNCHANGED,
    ) -> None:
        self.num_envs = num_envs
        self.mount = self.own_mount.changed(camera)
        """Where the camera is said to be."""
        self.model = mujoco.MjModel.from_xml_path(str(_MODELS / self.model_file))
        self.batch = mujoco.batch.Batch(self.model, num_envs, nthread, persistent=True)
        self.ball_geom_id = int(self.model.geom("ball").id)
        self._tcp = int(self.model.site("tcp").id)
        self._qpos, self._qvel = self.batch.bind("qpos"), self.batch.bind("qvel")
        self._ctrl, self._mocap = self.batch.bind("ctrl"), self.batch.bind("mocap_pos")
        self._site_xpos, self._site_xmat = self.batch.bind("site_xpos"), self.batch.bind("site_xmat")
        self._gain, self._bias = (self.batch.expand(f"actuator_{name}prm") for name in ("gain", "bias"))
        self._nominal_gain = self.model.actuator_gainprm[:, 0].copy()
        self.seeds = np.zeros(num_envs, dtype=np.uint64)
        self.steps = np.zeros(num_envs, dtype=np.int64)
        self.command = np.zeros((num_envs, _N))
        """Joint velocities that the servos follow now, after limits, rad/s."""
        self._joint_delay_s = np.zeros(num_envs)
        self.look = Appearance(self.model, self.mount, num_envs)
        self._has_camera = has_camera
        self._depth_noise = camera.depth_noise
        self._clutter = [
            int(self.model.body(index).mocapid[0])
            for index in range(self.model.nbody)
            if self.model.body(index).name.startswith(("clutter", "lookalike"))
        ]
        self._camera: Camera | None = None
        if has_camera:
            self._camera = RaycastCamera() if backend == "raycast" else GlCamera(self.model)

    def reset(self, ids: IdArray, seeds: SeedArray) -> None:
        """Start new episodes, each decided by its seed alone."""
        self.batch.reset(ids, stage=mujoco.mjtStage.mjSTAGE_NONE)
        self.seeds[ids] = seeds
        self.steps[ids] = 0
        self.command[ids] = 0.0
        start = uniform(seeds, 0, Channel.JOINT_START, _N)
        self._qpos[ids, :_N] = READY_POSITION + 0.1 * (start - 0.5)
        gain = self._nominal_gain * (0.8 + 0.4 * uniform(seeds, 0, Channel.SERVO, _N))
        self._gain[ids, :, 0] = gain
        self._bias[ids, :, 2] = -gain
        low, high = JOINTS.delay_s
        self._joint_delay_s[ids] = low + (high - low) * uniform(seeds, 0, Channel.JOINT_DELAY, 1)[:, 0]
        if not self._has_camera:
            self.look.reset_pose(ids, seeds)
        else:
            self.look.reset(ids, seeds)
            self._mocap[ids[:, None], self._clutter] = self._place_clutter(seeds)
        self._reset_ball(ids, seeds)
        self.batch.forward(ids, stage=mujoco.mjtStage.mjSTAGE_VEL)
        self._after_reset(ids)

    def advance(self, command: FloatArray) -> Outcome:
        """One control step under commanded joint velocities.

        Args:
            command: rad/s; clipped to what the drives can do. Shape (B, 6).
        """
        step = ACCELERATION_LIMIT * TICK_S
        wanted = np.clip(command, -VELOCITY_LIMIT, VELOCITY_LIMIT)
        self.command = np.clip(wanted, self.command - step, self.command + step)
        self._ctrl[:] = self.command
        self._drive_ball()
        self.batch.step(nstep=SUBSTEPS, stage=mujoco.mjtStage.mjSTAGE_VEL)
        self.steps += 1
        return self._outcome()

    def joints(self, ids: IdArray | slice = slice(None)) -> tuple[FloatArray, FloatArray]:
        """Measured joint positions (rad) and velocities (rad/s) of some simulations, each of shape (n, 6)."""
        return measure_joints(
            self._qpos[ids, :_N],
            self._qvel[ids, :_N],
            self._joint_delay_s[ids],
            self.seeds[ids],
            self.steps[ids],
        )

    def observation(
        self,
        ball_position: FloatArray,
        ball_velocity: FloatArray,
        is_known: BoolArray,
        ids: IdArray | slice = slice(None),
    ) -> npt.NDArray[np.float32]:
        """Observations of some simulations by `OBSERVATION_LAYOUT`; zero where the ball is not known.

        Args:
            ball_position: Estimate, m. Shape (n, 3).
            ball_velocity: m/s. Shape (n, 3).
            is_known: Whether there is one. Shape (n,).
            ids: Which simulations.
        """
        known = is_known[:, None]
        position, velocity = self.joints(ids)
        parts = [
            position,
            velocity,
            np.where(known, ball_position, 0.0),
            np.where(known, ball_velocity, 0.0),
            known,
        ]
        return np.concatenate(parts, axis=1).astype(np.float32)

    def truth(self) -> BallTruth:
        """What is true of the ball now."""
        return BallTruth(
            self.ball_position(),
            self.ball_velocity(),
            self.look.position,
            self.look.rotation,
            self.is_hidden(),
            self.steps,
        )

    def render(self, ids: IdArray) -> Frames:
        """What the cameras of some simulations see now, with sensor noise."""
        assert self._camera is not None, "made without a camera"
        frames = self._camera.render(self.batch, self.look, ids)
        return add_noise(frames, self.seeds[ids], self.steps[ids], self._depth_noise)

    @property
    def tcp_position(self) -> FloatArray:
        """Center of the net's ring, m, base_link. Shape (B, 3)."""
        position: FloatArray = self._site_xpos[:, self._tcp]
        return position

    @property
    def tcp_rotation(self) -> FloatArray:
        """base_from_tcp; z is the ring's normal, out of the net. Shape (B, 3, 3)."""
        rotation: FloatArray = self._site_xmat[:, self._tcp].reshape(-1, 3, 3)
        return rotation

    def toward_ball(self) -> FloatArray:
        """Joint displacements that bring the tool nearer to the ball, rad: J^T (J J^T + d I)^-1 of the distance.

        Source: Wampler, Manipulator inverse kinematic solutions based on vector formulations and damped
            least-squares methods, IEEE Trans. SMC 16(1), 1986.
        """
        body = int(self.model.site_bodyid[self._tcp])
        jacobian = self.batch.jac(body, self.tcp_position)[0][:, :, :_N]
        damped = jacobian @ jacobian.transpose(0, 2, 1) + _DAMPING_M2 * np.eye(3)
        lever = np.linalg.solve(damped, (self.ball_position() - self.tcp_position)[..., None])
        toward: FloatArray = (jacobian.transpose(0, 2, 1) @ lever)[..., 0]
        return toward

    def state_bytes(self) -> bytes:
        """The physical state, as bytes to compare."""
        return bytes(self._qpos.tobytes() + self._qvel.tobytes() + self._mocap.tobytes())

    @abstractmethod
    def ball_position(self) -> FloatArray:
        """m, base_link. Shape (B, 3)."""

    @abstractmethod
    def ball_velocity(self) -> FloatArray:
        """m/s. Shape (B, 3)."""

    @abstractmethod
    def is_hidden(self) -> BoolArray:
        """Whether something stands between camera and ball. Shape (B,)."""

    @abstractmethod
    def score(self, index: int) -> dict[str, float]:
        """What the episode of one simulation has come to so far."""

    @abstractmethod
    def is_success(self) -> BoolArray:
        """Whether the task is done. Shape (B,)."""

    @abstractmethod
    def _reset_ball(self, ids: IdArray, seeds: SeedArray) -> None: ...

    @abstractmethod
    def _after_reset(self, ids: IdArray) -> None: ...

    @abstractmethod
    def _place_clutter(self, seeds: SeedArray) -> FloatArray:
        """Positions of the clutter, look-alikes last, m. Shape (n, 8, 3)."""

    @abstractmethod
    def _drive_ball(self) -> None: ...

    @abstractmethod
    def _outcome(self) -> Outcome: ...
