"""A task as a `gymnasium.Env`: one simulation, one thread."""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from reflexarc.control.errors import ValueRefusedError
from reflexarc.envs.registry import task_class
from reflexarc.envs.robot import JOINT_NAMES, VELOCITY_LIMIT
from reflexarc.envs.task import OBSERVATION_LAYOUT, TICK_S

__all__ = ["ArmEnv", "action_space", "observation_space"]

_ONLY = np.zeros(1, dtype=np.int64)


def observation_space() -> gymnasium.spaces.Box:
    """What a policy reads, by `OBSERVATION_LAYOUT`.

    Joint positions are within a turn; a ball is within 10 m and slower than 20 m/s.
    """
    bound = {
        "joint_position": 7.0,
        "joint_velocity": 10.0,
        "ball_position": 10.0,
        "ball_velocity": 20.0,
        "is_known": 1.0,
    }
    high = np.concatenate([np.full(size, bound[name]) for name, size in OBSERVATION_LAYOUT]).astype(
        np.float32
    )
    return gymnasium.spaces.Box(-high, high, dtype=np.float32)


def action_space() -> gymnasium.spaces.Box:
    """Joint velocities as shares of the limit, pi rad/s."""
    return gymnasium.spaces.Box(-1.0, 1.0, (len(JOINT_NAMES),), np.float32)


class ArmEnv(gymnasium.Env[Any, Any]):
    """One of the arm's tasks.

    Observation: `OBSERVATION_LAYOUT`, with the ball as an ideal estimator would give it (its true state);
    joints are measured, with noise and delay. Action: joint velocities as shares of pi rad/s; they act one
    control step later, as they do on a machine.

    Args:
        task_id: `reflexarc/ArmCatch-v0` or `reflexarc/ArmTrack-v0`.
        render_mode: `rgb_array` for the camera's colour image, or None.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": round(1 / TICK_S)}  # noqa: RUF012 gymnasium's own form

    def __init__(self, task_id: str, render_mode: str | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueRefusedError(f"render_mode '{render_mode}' is not known. Use 'rgb_array' or none.")
        self.task = task_class(task_id)(1, nthread=1, has_camera=render_mode is not None)
        self.render_mode = render_mode
        self.observation_space = observation_space()
        self.action_space = action_space()
        self._pending = np.zeros((1, len(JOINT_NAMES)))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start an episode. The same seed gives the same episode; without one, the next of the last seed."""
        super().reset(seed=seed)
        episode = self.np_random.integers(2**63) if seed is None else seed
        self.task.reset(_ONLY, np.array([episode], dtype=np.uint64))
        self._pending[:] = 0.0
        return self._observation(), {}

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """One control step of 10 ms."""
        reward, terminated, truncated = self.task.advance(self._pending)
        self._pending = np.clip(action, -1.0, 1.0).astype(np.float64)[None] * VELOCITY_LIMIT
        info = {"is_success": bool(self.task.is_success()[0]), **self.task.score(0)}
        return self._observation(), float(reward[0]), bool(terminated[0]), bool(truncated[0]), info

    def render(self) -> npt.NDArray[np.uint8] | None:
        """The camera's colour image, shape (128, 80, 3)."""
        return None if self.render_mode is None else self.task.render(_ONLY).color[0]

    def _observation(self) -> npt.NDArray[np.float32]:
        truth = self.task.truth()
        all_known = np.ones(1, dtype=bool)
        observation: npt.NDArray[np.float32] = self.task.observation(
            truth.position, truth.velocity, all_known
        )[0]
        return observation
