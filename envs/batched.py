"""A task as a stable-baselines3 `VecEnv`: B simulations, all computed on whole arrays."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from stable_baselines3.common.vec_env import VecEnv

from reflexarc.control.values import FloatArray
from reflexarc.envs.camera import UNCHANGED, CameraChange
from reflexarc.envs.randomization import episode_seeds
from reflexarc.envs.registry import task_class
from reflexarc.envs.robot import JOINT_NAMES, VELOCITY_LIMIT
from reflexarc.envs.single import action_space, observation_space
from reflexarc.envs.task import BallTruth, BoolArray, IdArray

__all__ = ["BallEstimator", "BatchedEnv"]


class BallEstimator(Protocol):
    """What stands between the simulator's truth and the policy during training."""

    def reset(self, ids: IdArray) -> None:
        """Forget what some simulations have seen."""

    def update(self, truth: BallTruth) -> tuple[FloatArray, FloatArray, BoolArray]:
        """Position (B, 3), velocity (B, 3) and whether they are known (B,), one control step later."""


class BatchedEnv(VecEnv):
    """B episodes of a task at once, each started anew when it ends.

    Args:
        task_id: Gymnasium id.
        num_envs: B.
        seed: Decides all episodes; environment i's n-th episode has a seed of its own.
        estimator: Where the ball's estimate comes from; None for the truth.
        nthread: Threads; 0 for all cores.
        has_camera: Whether images can be had from `task.render`.
        camera: How the camera departs from the task's own.
    """

    def __init__(
        self,
        task_id: str,
        num_envs: int,
        seed: int = 0,
        estimator: BallEstimator | None = None,
        nthread: int = 0,
        *,
        has_camera: bool = False,
        camera: CameraChange = UNCHANGED,
    ) -> None:
        self.task = task_class(task_id)(num_envs, nthread, has_camera=has_camera, camera=camera)
        self.render_mode = None
        super().__init__(num_envs, observation_space(), action_space())
        self._estimator = estimator
        self._all = np.arange(num_envs)
        self._pending = np.zeros((num_envs, len(JOINT_NAMES)))
        self._action = self._pending
        self._no_info: list[dict[str, Any]] = [{} for _ in range(num_envs)]
        self.seed(seed)

    def seed(self, seed: int | None = None) -> Sequence[int | None]:
        """Decide the coming episodes."""
        base = 0 if seed is None else seed
        first = np.uint64(base * 1_000_003 % 2**64)
        self._env_seeds = first + np.arange(self.num_envs, dtype=np.uint64)
        self._episode = np.zeros(self.num_envs, dtype=np.int64)
        return [base] * self.num_envs

    def reset(self) -> npt.NDArray[np.float32]:
        """Start all episodes."""
        self._start(self._all)
        return self._first_observation(self._all)

    def step_async(self, actions: npt.NDArray[np.float32]) -> None:
        """Take the actions of the next step."""
        self._action = np.clip(actions, -1.0, 1.0).astype(np.float64) * VELOCITY_LIMIT

    def step_wait(self) -> Any:
        """Observations, rewards, dones and infos; infos are filled for episodes that ended."""
        reward, terminated, truncated = self.task.advance(self._pending)
        self._pending = self._action
        observation = self._observe()
        done = terminated | truncated
        infos: list[dict[str, Any]] = self._no_info
        if done.any():
            ids = np.flatnonzero(done)
            infos = list(self._no_info)
            for index in ids:
                infos[index] = {
                    "terminal_observation": observation[index],
                    "TimeLimit.truncated": bool(truncated[index]),
                    "is_success": bool(self.task.is_success()[index]),
                    **self.task.score(int(index)),
                }
            self._start(ids)
            observation = observation.copy()
            observation[ids] = self._first_observation(ids)
        return observation, reward.astype(np.float32), done, infos

    def _start(self, ids: IdArray) -> None:
        self.task.reset(ids, episode_seeds(self._env_seeds[ids], self._episode[ids]))
        self._episode[ids] += 1
        self._pending = self._pending.copy()
        self._pending[ids] = 0.0
        if self._estimator is not None:
            self._estimator.reset(ids)

    def _observe(self) -> npt.NDArray[np.float32]:
        truth = self.task.truth()
        if self._estimator is not None:
            return self.task.observation(*self._estimator.update(truth))
        return self.task.observation(truth.position, truth.velocity, np.ones(self.num_envs, dtype=bool))

    def _first_observation(self, ids: IdArray) -> npt.NDArray[np.float32]:
        """Of episodes that just started; nothing is estimated yet. Shape (n, O)."""
        if self._estimator is None:
            truth = self.task.truth()
            everything = np.ones(len(ids), dtype=bool)
            return self.task.observation(truth.position[ids], truth.velocity[ids], everything, ids)
        zero = np.zeros((len(ids), 3))
        return self.task.observation(zero, zero, np.zeros(len(ids), dtype=bool), ids)

    def close(self) -> None:
        """Nothing to free: the batch goes with its last reference."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """An attribute, the same for all environments."""
        return [getattr(self, attr_name)] * len(list(self._indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Set an attribute of all environments."""
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        """Call a method, once for all environments."""
        result = getattr(self, method_name)(*args, **kwargs)
        return [result] * len(list(self._indices(indices)))

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No environment is wrapped: they are rows of arrays."""
        return [False] * len(list(self._indices(indices)))

    def _indices(self, indices: Any) -> Iterable[int]:
        return self._get_indices(indices)
