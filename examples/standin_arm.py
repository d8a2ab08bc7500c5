"""The robot behind the stand-in's drivers: the twin's physics in ticks of 2 ms, a camera, and who throws the balls.

It knows no ROS. Drives, noise, delays, lost frames and the scoring are those of the twin; what is different is what a
robot's drivers do otherwise: commands act at the next 2 ms, joints are measured every 2 ms, and the arm is there
between two throws too. Whether a command is unsafe is judged by when it was sent, by the system's clock, so that it
does not matter how long it was on the way, nor whether this simulation is too slow.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import mujoco
import numpy as np
import numpy.typing as npt

from reflexarc.envs.drives import Drives
from reflexarc.envs.robot import ACCELERATION_LIMIT, JOINT_NAMES, VELOCITY_LIMIT
from reflexarc.envs.sensors import FRAMES, frame_fate, measure_joints
from reflexarc.envs.task import SUBSTEPS, TICK_S, Outcome
from reflexarc.envs.tasks.arm_catch import ArmCatch

__all__ = ["TICK_NS", "Frame", "Joints", "StandinArm"]

TICK_NS = round(1e9 * TICK_S / SUBSTEPS)
"""The controller manager of a UR5e runs at 500 Hz (ur_robot_driver, config/ur5e_update_rate.yaml)."""

_FRAME_TICKS = FRAMES.every_ticks * SUBSTEPS
_LATE_PERIODS = 5
"""By wall time a busy host holds a guard up for 30 ms and more between its clock and its publisher. So long, 50 ms, the
drives wait for a command."""
_OUT_OF_SIGHT = np.array([-20.0, 0.0, 1.0])
"""m. Far behind the camera."""
_ONLY = np.zeros(1, dtype=np.int64)


class Joints(NamedTuple):
    """What is measured of the joints: rad, rad/s, N m, in the order of `envs.robot.JOINT_NAMES`."""

    position: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    effort: npt.NDArray[np.float64]


class Frame(NamedTuple):
    """What the camera saw at a stamp: uint8 (H, W, 3), and m (H, W), 0 where nothing came back."""

    stamp_ns: int
    color: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]


class _InParts(ArmCatch):
    """The task of one arm, whose control step can be moved substep by substep.

    Here and not in the task itself, since nothing is trained on it: every artifact is named by the task's code.
    """

    def __init__(self) -> None:
        super().__init__(1, nthread=1, has_camera=True)
        self._torque = self.batch.bind("qfrc_actuator")

    def move(self, command: npt.NDArray[np.float64]) -> None:
        """One of the `SUBSTEPS` of a control step: the physics alone.

        Args:
            command: rad/s; clipped to what the drives can do. Shape (1, 6).
        """
        change = ACCELERATION_LIMIT * TICK_S / SUBSTEPS
        wanted = np.clip(command, -VELOCITY_LIMIT, VELOCITY_LIMIT)
        self.command = np.clip(wanted, self.command - change, self.command + change)
        self._ctrl[:] = self.command
        self._drive_ball()
        self.batch.step(nstep=1, stage=mujoco.mjtStage.mjSTAGE_VEL)

    def conclude(self) -> Outcome:
        """What a control step came to whose parts have all been moved."""
        self.steps += 1
        return self._outcome()

    def measure(self, draw: int) -> Joints:
        """The joints now, with the noise of a draw."""
        joints = len(JOINT_NAMES)
        position, velocity = measure_joints(
            self._qpos[:, :joints], self._qvel[:, :joints], self._joint_delay_s, self.seeds, np.array([draw])
        )
        return Joints(position[0], velocity[0], self._torque[0, :joints].copy())

    def put_away(self) -> None:
        """Take the ball out of the scene, as between two throws; the next reset throws it."""
        self._qpos[:, 6:9] = _OUT_OF_SIGHT
        self._qvel[:, 6:9] = 0.0
        self.batch.forward(stage=mujoco.mjtStage.mjSTAGE_VEL)


class StandinArm:
    """An arm that is held still between throws, and free in them.

    While it is held, someone has driven it to where the next throw finds it, and the ball is out of sight. Commands
    are then taken note of, and counted if they are unsafe, but not followed.

    Args:
        seeds: One per throw; each decides its whole course, as with the twin.
    """

    def __init__(self, seeds: Sequence[int]) -> None:
        self.task = _InParts()
        self.drives = Drives(period_ticks=SUBSTEPS, jitter_ticks=SUBSTEPS, late_periods=_LATE_PERIODS)
        self._seeds = list(seeds)
        self._thrown = 0
        self._tick = 0
        self._part = 0
        self._is_asked = False
        self.is_throwing = False
        self._unsafe_before = self._unsafe_held = 0
        self._in_flight: deque[tuple[int, Frame]] = deque()
        self._prepare()

    @property
    def left(self) -> int:
        """Throws that are left."""
        return len(self._seeds) - self._thrown

    @property
    def is_free(self) -> bool:
        """Whether a throw could begin."""
        return self.left > 0 and not self.is_throwing and not self._is_asked

    def throw(self) -> None:
        """Begin the next throw, with the camera's next frame."""
        assert self.is_free
        self._is_asked = True

    def take(self, command: npt.NDArray[np.float64], sent_ns: int) -> None:
        """Take a command.

        Args:
            command: rad/s, in the order of `envs.robot.JOINT_NAMES`; anything, as it came.
            sent_ns: When it was sent, by the system's clock.
        """
        self.drives.take(command, round(sent_ns / TICK_NS))

    def sense(self) -> tuple[Joints, list[Frame]]:
        """The joints now, and the frames that leave the camera's driver now."""
        leaving = []
        while self._in_flight and self._in_flight[0][0] <= self._tick:
            leaving.append(self._in_flight.popleft()[1])
        return self.task.measure(self._tick), leaving

    def advance(self, stamp_ns: int) -> dict[str, Any] | None:
        """Let 2 ms pass; a throw that is over with them, with its score.

        Args:
            stamp_ns: The system's clock now, before they pass.
        """
        if self._tick % _FRAME_TICKS == 0:
            if self._is_asked:
                self._begin()
            self._expose(stamp_ns)
        command = self.drives.follow(round(stamp_ns / TICK_NS))
        self._tick += 1
        if not self.is_throwing:
            return None
        self.task.move(command[None])
        self._part = (self._part + 1) % SUBSTEPS
        if self._part:
            return None
        outcome = self.task.conclude()
        if not (outcome.terminated[0] or outcome.truncated[0]):
            return None
        return self._finish()

    def _prepare(self) -> None:
        seed = self._seeds[min(self._thrown, len(self._seeds) - 1)]
        self.task.reset(_ONLY, np.array([seed], dtype=np.uint64))
        self.task.put_away()
        self._still = self.task.render(_ONLY)

    def _begin(self) -> None:
        self._is_asked, self.is_throwing, self._part = False, True, 0
        self._unsafe_held = self.drives.unsafe - self._unsafe_before
        self._unsafe_before = self.drives.unsafe
        self.task.reset(_ONLY, np.array([self._seeds[self._thrown]], dtype=np.uint64))

    def _finish(self) -> dict[str, Any]:
        unsafe = float(self.drives.unsafe - self._unsafe_before)
        line = {
            "seed": self._seeds[self._thrown],
            "ticks": int(self.task.steps[0]),
            "score": {**self.task.score(0), "unsafe_commands": unsafe},
            "unsafe_while_held": self._unsafe_held,
        }
        self._unsafe_before = self.drives.unsafe
        self.is_throwing = False
        self._thrown += 1
        self._prepare()
        return line

    def _expose(self, stamp_ns: int) -> None:
        """Take a frame. While the arm is held nothing changes, so one picture will do."""
        moment = int(self.task.steps[0]) if self.is_throwing else self._tick
        lost, delay_s = frame_fate(self.task.seeds, moment)
        if lost[0]:
            return
        leaves = self._tick + int(np.ceil(delay_s[0] * 1e9 / TICK_NS - 1e-9))
        if self._in_flight:
            leaves = max(leaves, self._in_flight[-1][0])
        frames = self.task.render(_ONLY) if self.is_throwing else self._still
        self._in_flight.append((leaves, Frame(stamp_ns, frames.color[0], frames.depth[0])))
