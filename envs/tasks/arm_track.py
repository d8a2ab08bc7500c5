"""ArmTrack: keep the net's ring at a ball that moves smoothly and is hidden now and then."""

from typing import ClassVar

import numpy as np

from reflexarc.control.values import FloatArray
from reflexarc.envs.camera import CameraMount, looking_at
from reflexarc.envs.randomization import Channel, SeedArray, uniform
from reflexarc.envs.task import TICK_S, ArmTask, BoolArray, IdArray, Outcome

__all__ = ["ArmTrack"]

_LOW, _HIGH = np.array([0.35, -0.40, 0.30]), np.array([0.70, 0.40, 0.80])
_CENTER, _HALF = 0.5 * (_LOW + _HIGH), 0.5 * (_HIGH - _LOW)
_WAVES = 3
_FREQUENCY_HZ = (0.08, 0.35)
_SPEED = 0.5
"""m/s, the ball's greatest speed."""

_HIDINGS = 7
_VISIBLE_S, _HIDDEN_S = (2.0, 4.0), (0.1, 0.5)
_PARKED = np.array([0.0, 0.0, -3.0])
_SETTLED_STEPS = 100
"""The score counts from 1 s on: until then the arm is still on its way to the ball."""


class ArmTrack(ArmTask):
    """The tool follows the ball's center. Reward: nearness. Ends by truncation only, after 10 s.

    The ball moves on a sum of three sine waves per axis. A screen stands before it for 0.1 to 0.5 s every
    2 to 4 s.
    """

    model_file = "arm_track.xml"
    own_mount: ClassVar[CameraMount] = looking_at((1.35, 0.0, 1.0), (0.5, 0.0, 0.55))
    max_steps = 1000

    def __init__(self, num_envs: int, nthread: int = 0, **camera: object) -> None:
        super().__init__(num_envs, nthread, **camera)  # type: ignore[arg-type]
        self._ball = int(self.model.body("ball").mocapid[0])
        self._screen = int(self.model.body("screen").mocapid[0])
        self._mocap_quat = self.batch.bind("mocap_quat")
        # Waves and hidings come first: sums over a short last axis take longer.
        self._amplitude, self._omega, self._phase = np.zeros((3, _WAVES, num_envs, 3))
        self._hidden_from, self._hidden_to = np.zeros((2, _HIDINGS, num_envs))
        # Where the ball is at the present step, computed once per step.
        self._position, self._velocity = np.zeros((2, num_envs, 3))
        self._hidden = np.zeros(num_envs, dtype=bool)
        self._distance = np.zeros(num_envs)
        self._squared = np.zeros(num_envs)
        self._counted = np.zeros(num_envs)

    def ball_position(self) -> FloatArray:
        """m, base_link. Shape (B, 3)."""
        return self._position

    def ball_velocity(self) -> FloatArray:
        """m/s. Shape (B, 3)."""
        return self._velocity

    def is_hidden(self) -> BoolArray:
        """Whether the screen is before the ball."""
        return self._hidden

    def is_success(self) -> BoolArray:
        """Whether the tool is within 2 cm of the ball."""
        return self._distance < 0.02

    def score(self, index: int) -> dict[str, float]:
        """Root mean square of the distance of tool and ball from 1 s on, m, with the sums it is made of."""
        count = max(float(self._counted[index]), 1.0)
        return {
            "tracking_rmse_m": float(np.sqrt(self._squared[index] / count)),
            "squared_error_m2": float(self._squared[index]),
            "squared_error_count": float(self._counted[index]),
        }

    def _reset_ball(self, ids: IdArray, seeds: SeedArray) -> None:
        draw = uniform(seeds, 0, Channel.BALL, 27).reshape(-1, 3, 3, _WAVES)
        low, high = _FREQUENCY_HZ
        omega = 2 * np.pi * (low + (high - low) * draw[:, 0])
        amplitude = 0.2 + draw[:, 1]
        amplitude = amplitude / amplitude.sum(axis=2, keepdims=True) * _HALF[:, None]
        # The greatest speed along each axis is the sum of amplitude times omega; scaled down where all
        # three together would be faster than the limit.
        fastest = np.sqrt(((amplitude * omega).sum(axis=2) ** 2).sum(axis=1))
        omega *= np.minimum(1.0, _SPEED / fastest)[:, None, None]
        self._omega[:, ids] = np.moveaxis(omega, 2, 0)
        self._amplitude[:, ids] = np.moveaxis(amplitude, 2, 0)
        self._phase[:, ids] = 2 * np.pi * np.moveaxis(draw[:, 2], 2, 0)
        hiding = uniform(seeds, 0, Channel.HIDDEN, 2 * _HIDINGS).reshape(-1, 2, _HIDINGS)
        visible = _VISIBLE_S[0] + (_VISIBLE_S[1] - _VISIBLE_S[0]) * hiding[:, 0]
        hidden = _HIDDEN_S[0] + (_HIDDEN_S[1] - _HIDDEN_S[0]) * hiding[:, 1]
        self._hidden_to[:, ids] = np.cumsum(visible + hidden, axis=1).T
        self._hidden_from[:, ids] = self._hidden_to[:, ids] - hidden.T
        self._squared[ids] = 0.0
        self._counted[ids] = 0.0
        self._place_ball(self.steps)

    def _after_reset(self, ids: IdArray) -> None:
        self._distance[ids] = np.linalg.norm(self.ball_position() - self.tcp_position, axis=1)[ids]

    def _place_clutter(self, seeds: SeedArray) -> FloatArray:
        """Behind and beside the arm, as the camera in front sees it."""
        draw = uniform(seeds, 0, Channel.CLUTTER, 24).reshape(-1, 8, 3)
        low = np.tile(np.array([-1.6, -1.2, -0.6]), (8, 1))
        high = np.tile(np.array([-0.4, 1.2, 0.9]), (8, 1))
        places: FloatArray = low + (high - low) * draw
        return places

    def _drive_ball(self) -> None:
        # A mocap body stays put during a step: it is placed where it will be at the step's end, so that all
        # that is computed there is of one time.
        self._place_ball(self.steps + 1)

    def _place_ball(self, steps: IdArray) -> None:
        now = steps * TICK_S
        angle = self._omega * now[:, None] + self._phase
        position = _CENTER + (self._amplitude * np.sin(angle)).sum(axis=0)
        self._position = position
        self._velocity = (self._amplitude * self._omega * np.cos(angle)).sum(axis=0)
        self._hidden = np.any((self._hidden_from <= now) & (now < self._hidden_to), axis=0)
        if not self._has_camera:
            return  # nothing touches ball or screen: only images need them, and to move them costs a fifth
        self._mocap[:, self._ball] = position
        toward = self.look.position - position
        length = np.linalg.norm(toward, axis=1, keepdims=True)
        before = position + 0.15 * toward / length
        self._mocap[:, self._screen] = np.where(self._hidden[:, None], before, _PARKED)
        self._mocap_quat[:, self._screen] = _facing(toward / length)

    def _outcome(self) -> Outcome:
        self._distance = np.linalg.norm(self.ball_position() - self.tcp_position, axis=1)
        counts = self.steps > _SETTLED_STEPS
        self._squared += np.where(counts, self._distance**2, 0.0)
        self._counted += counts
        reward = (
            0.5 * np.exp(-self._distance / 0.15)
            + 0.5 * np.exp(-self._distance / 0.02)
            - 0.02 * ((self.command / np.pi) ** 2).sum(axis=1)
        )
        never = np.zeros(self.num_envs, dtype=bool)
        return Outcome(reward, never, self.steps >= self.max_steps)


def _facing(direction: FloatArray) -> FloatArray:
    """MuJoCo quaternions (w, x, y, z) that turn z to unit directions. Shape (B, 4)."""
    w = 1.0 + direction[:, 2]
    quaternion = np.stack([w, -direction[:, 1], direction[:, 0], np.zeros_like(w)], axis=1)
    unit: FloatArray = quaternion / np.linalg.norm(quaternion, axis=1, keepdims=True)
    return unit
