"""Datasets: roll-outs of a batched environment, as images with labels and as recorded detections."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from reflexarc.control.modules.perception import Detector
from reflexarc.control.training.recording import DetectionRecording
from reflexarc.control.training.supervised import LabelledImages
from reflexarc.envs.batched import BatchedEnv
from reflexarc.envs.camera import CameraChange
from reflexarc.envs.robot import VELOCITY_LIMIT
from reflexarc.envs.sensors import FRAMES

__all__ = ["labelled_images", "record_detections"]

_ENVIRONMENTS = 32
_SMOOTHING = 0.9
"""Share of the last action that stays: arms move as smoothly as a policy would move them."""

_REACH_GAIN = 8.0
"""1/s, of half the arms: they come within centimetres of the ball, as those of a policy do."""


class _Wander:
    """Smooth random actions, so that the arm is seen in many places; every other arm reaches for the ball.

    Args:
        env: Whose arms.
        rng: Where randomness comes from.
    """

    def __init__(self, env: BatchedEnv, rng: np.random.Generator) -> None:
        self._env, self._rng = env, rng
        self._action = np.zeros((env.num_envs, 6))

    def __call__(self) -> npt.NDArray[np.float32]:
        noise = self._rng.standard_normal(self._action.shape)
        self._action = _SMOOTHING * self._action + (1 - _SMOOTHING) * noise
        reach = _REACH_GAIN * self._env.task.toward_ball() / VELOCITY_LIMIT
        reach[::2] = 0.0
        return (self._action + reach).astype(np.float32)


def labelled_images(
    task_id: str, camera: CameraChange, count: int, seed: int, on_progress: Callable[[int, int], object]
) -> LabelledImages:
    """Images at random moments of random episodes, with what is true in them.

    Args:
        task_id: Gymnasium id.
        camera: How the camera departs from the task's own.
        count: How many.
        seed: Decides all of them.
        on_progress: Called with (images done, images in all).
    """
    rng = np.random.default_rng(seed)
    env = BatchedEnv(task_id, _ENVIRONMENTS, seed=seed, has_camera=True, camera=camera)
    env.reset()
    wander = _Wander(env, rng)
    everyone = np.arange(_ENVIRONMENTS)
    parts: list[LabelledImages] = []
    done = 0
    while done < count:
        for _ in range(int(rng.integers(4, 12))):
            env.step_async(wander())
            env.step_wait()
        frames = env.task.render(everyone)
        truth = env.task.truth()
        center = np.einsum("bji,bj->bi", truth.camera_rotation, truth.position - truth.camera_position)
        parts.append(LabelledImages(frames.color, frames.depth, frames.geom == env.task.ball_geom_id, center))
        done += _ENVIRONMENTS
        on_progress(min(done, count), count)
    return LabelledImages(*(np.concatenate(column)[:count] for column in zip(*parts, strict=True)))


def record_detections(
    task_id: str,
    camera: CameraChange,
    detectors: Sequence[Detector],
    episodes: int,
    ticks: int,
    seed: int,
    on_progress: Callable[[int, int], object],
) -> DetectionRecording:
    """Episodes as a frozen perception really saw them, frame by frame, without delay or loss.

    An episode longer than `ticks` is cut into several. Of several perceptions each sees every n-th episode.
    """
    rng = np.random.default_rng(seed)
    count = min(_ENVIRONMENTS, episodes)
    env = BatchedEnv(task_id, count, seed=seed, has_camera=True, camera=camera)
    env.reset()
    wander = _Wander(env, rng)
    seen = np.full((episodes, ticks, 3), np.nan)
    sigma = np.ones((episodes, ticks, 3))
    position, velocity = np.zeros((2, episodes, ticks, 3))
    is_valid = np.zeros((episodes, ticks), dtype=bool)
    row, tick = np.arange(count), np.zeros(count, dtype=np.int64)
    started = count
    while (row < episodes).any():
        truth = env.task.truth()
        active = np.flatnonzero(row < episodes)
        at = row[active], tick[active]
        position[at], velocity[at] = truth.position[active], truth.velocity[active]
        is_valid[at] = True
        exposed = active[truth.step[active] % FRAMES.every_ticks == 0]
        if len(exposed):
            frames = env.task.render(exposed)
            for which, detector in enumerate(detectors):
                mine = row[exposed] % len(detectors) == which
                if not mine.any():
                    continue
                found, covariance = detector(
                    frames.color[mine], frames.depth[mine], env.task.mount.intrinsics
                )
                at = row[exposed[mine]], tick[exposed[mine]]
                seen[at] = found
                sigma[at] = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        env.step_async(wander())
        done = env.step_wait()[2]
        tick += 1
        for index in np.flatnonzero((done | (tick >= ticks)) & (row < episodes)):
            row[index], tick[index] = started, 0
            started += 1
            on_progress(max(0, min(started - count, episodes)), episodes)
    return DetectionRecording(seen, sigma, position, velocity, is_valid)
