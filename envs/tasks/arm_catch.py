"""ArmCatch: catch a thrown ball out of the air with a net at the flange."""

from typing import ClassVar

import numpy as np

from reflexarc.control.values import FloatArray
from reflexarc.envs.camera import CameraMount, looking_at
from reflexarc.envs.randomization import Channel, SeedArray, uniform
from reflexarc.envs.robot import NET_RADIUS
from reflexarc.envs.task import ArmTask, BoolArray, IdArray, Outcome

__all__ = ["ArmCatch"]

_GRAVITY = np.array([0.0, 0.0, -9.81])
_THROW_LOW, _THROW_HIGH = np.array([1.8, -0.6, 0.6]), np.array([2.4, 0.6, 1.2])
_REACH_LOW, _REACH_HIGH = np.array([0.35, -0.40, 0.30]), np.array([0.70, 0.40, 0.80])
_FLIGHT_S = (0.6, 0.9)

_DRAG_PER_M = (0.010, 0.030)
"""rho Cd A / (2 m), 1/m, of a sphere of 3.5 cm radius in air of 1.2 kg/m^3 with Cd 0.4 to 0.5 (Hoerner,
Fluid-dynamic drag, 1965, at Re of 10^4 to 10^5) and a mass of 35 to 95 g."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(6)
_LOOK_AHEAD_S = np.linspace(0.0, 0.6, 16)


class ArmCatch(ArmTask):
    """Caught means: the ball's center passes through the net's ring, from the front.

    Reward: nearness of the ring to the ball's coming path and a net that faces it, in every step; at the
    catch 5, and up to 5 more the more central it is. Ends with the catch, or when the ball is below the
    base or behind it.
    """

    model_file = "arm_catch.xml"
    own_mount: ClassVar[CameraMount] = looking_at(
        (-0.1, 0.0, 1.3), (0.9, 0.0, 1.3 - np.tan(np.deg2rad(20.0)))
    )
    max_steps = 130

    def __init__(self, num_envs: int, nthread: int = 0, **camera: object) -> None:
        super().__init__(num_envs, nthread, **camera)  # type: ignore[arg-type]
        self._force = self.batch.bind("qfrc_applied")
        self._drag = np.zeros(num_envs)
        self._mass = float(self.model.body("ball").mass[0])
        self._in_tool = np.zeros((num_envs, 3))
        self._miss = np.full(num_envs, np.inf)
        self._caught = np.zeros(num_envs, dtype=bool)

    def ball_position(self) -> FloatArray:
        """m, base_link. Shape (B, 3)."""
        position: FloatArray = self._qpos[:, 6:9].copy()
        return position

    def ball_velocity(self) -> FloatArray:
        """m/s. Shape (B, 3)."""
        velocity: FloatArray = self._qvel[:, 6:9].copy()
        return velocity

    def is_hidden(self) -> BoolArray:
        """Nothing but the scene itself hides the ball."""
        return np.zeros(self.num_envs, dtype=bool)

    def is_success(self) -> BoolArray:
        """Whether the ball was caught."""
        return self._caught

    def score(self, index: int) -> dict[str, float]:
        """`catch_rate` 1 or 0, and the least distance of ring center and ball."""
        return {"catch_rate": float(self._caught[index]), "miss_distance_m": float(self._miss[index])}

    def throw(self, seeds: SeedArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """Throws: start (m), velocity (m/s), drag (1/m), and the point (m) that is reached after a time (s).

        The velocity makes up for drag to first order: the drag along the path without drag, integrated
        by Gauss-Legendre quadrature, is added. The rest is a few millimetres.
        """
        draw = uniform(seeds, 0, Channel.BALL, 8)
        start = _THROW_LOW + (_THROW_HIGH - _THROW_LOW) * draw[:, 0:3]
        goal = _REACH_LOW + (_REACH_HIGH - _REACH_LOW) * draw[:, 3:6]
        time = (_FLIGHT_S[0] + (_FLIGHT_S[1] - _FLIGHT_S[0]) * draw[:, 6])[:, None]
        drag = _DRAG_PER_M[0] + (_DRAG_PER_M[1] - _DRAG_PER_M[0]) * draw[:, 7]
        velocity = (goal - start) / time - 0.5 * _GRAVITY * time
        at = 0.5 * time * (_NODES + 1.0)
        along = velocity[:, None, :] + at[..., None] * _GRAVITY
        braking = along * np.linalg.norm(along, axis=2, keepdims=True) * (time - at)[..., None]
        lost = 0.5 * time * np.einsum("k,bkx->bx", _WEIGHTS, braking) * drag[:, None]
        return start, velocity + lost / time, drag, goal, time[:, 0]

    def _reset_ball(self, ids: IdArray, seeds: SeedArray) -> None:
        start, velocity, drag, _, _ = self.throw(seeds)
        self._qpos[ids, 6:9] = start
        self._qvel[ids, 6:9] = velocity
        self._drag[ids] = drag
        self._miss[ids] = np.inf
        self._caught[ids] = False

    def _after_reset(self, ids: IdArray) -> None:
        self._in_tool[ids] = self._ball_in_tool()[ids]

    def _place_clutter(self, seeds: SeedArray) -> FloatArray:
        """Behind the thrower, on the floor, and beside or behind the ball's paths."""
        draw = uniform(seeds, 0, Channel.CLUTTER, 24).reshape(-1, 8, 3)
        low = np.array(
            [[2.6, -1.8, -0.6], [2.6, -1.8, -0.5], [1.0, -1.5, -0.6], [1.0, -1.5, -0.75], [2.6, -1.5, -0.6]]
            + [[2.5, -1.2, -0.3]] * 2
            + [[2.5, -1.2, -0.3]]
        )
        high = np.array(
            [[3.6, 1.8, 1.2], [3.6, 1.8, 1.0], [2.5, 1.5, -0.4], [2.5, 1.5, -0.6], [3.6, 1.5, 1.5]]
            + [[3.5, 1.2, 1.6]] * 2
            + [[3.5, 1.2, 1.6]]
        )
        places: FloatArray = low + (high - low) * draw
        return places

    def _drive_ball(self) -> None:
        velocity = self._qvel[:, 6:9]
        speed = np.sqrt(velocity[:, 0] ** 2 + velocity[:, 1] ** 2 + velocity[:, 2] ** 2)
        self._force[:, 6:9] = velocity * (-self._mass * self._drag * speed)[:, None]

    def _ball_in_tool(self) -> FloatArray:
        relative = self._qpos[:, 6:9] - self.tcp_position
        in_tool: FloatArray = np.einsum("bji,bj->bi", self.tcp_rotation, relative)
        return in_tool

    def _outcome(self) -> Outcome:
        before, after = self._in_tool, self._ball_in_tool()
        self._in_tool = after
        crosses = (before[:, 2] > 0.0) & (after[:, 2] <= 0.0)
        share = before[:, 2] / np.where(crosses, before[:, 2] - after[:, 2], 1.0)
        crossing = before[:, :2] + share[:, None] * (after[:, :2] - before[:, :2])
        off_axis = np.sqrt(crossing[:, 0] ** 2 + crossing[:, 1] ** 2)
        distance = np.sqrt(_dot(after, after))
        self._miss = np.minimum(self._miss, np.where(crosses, np.minimum(off_axis, distance), distance))
        caught = crosses & (off_axis < NET_RADIUS)
        self._caught |= caught

        position, velocity = self._qpos[:, 6:9], self._qvel[:, 6:9]
        tool = self.tcp_position
        # |d + v t + g t^2 / 2|^2 as a polynomial in t: nine operations on (look-ahead, B) instead of twenty.
        d = position - tool
        drop = _GRAVITY[2] * _LOOK_AHEAD_S[:, None]
        near2 = 0.25 * drop + velocity[:, 2]
        near2 = near2 * drop + (_dot(velocity, velocity) + _GRAVITY[2] * d[:, 2])
        near2 = (near2 * _LOOK_AHEAD_S[:, None] + 2.0 * _dot(d, velocity)) * _LOOK_AHEAD_S[:, None] + _dot(
            d, d
        )
        nearest = near2.argmin(axis=0)
        near = np.sqrt(_parabola_minimum(near2, nearest))
        coming = velocity + _LOOK_AHEAD_S[nearest][:, None] * _GRAVITY
        normal = self.tcp_rotation[:, :, 2]
        facing = -_dot(normal, coming) / np.sqrt(_dot(coming, coming) + 1e-9)
        reward = 0.05 * (
            0.5 * np.exp(-near / 0.2)
            - np.minimum(near, 1.0)
            + np.exp(-near / 0.05) * (0.5 + 0.5 * facing)
            - 0.02 * ((self.command / np.pi) ** 2).sum(axis=1)
        )
        reward += caught * (5.0 + 5.0 * np.exp(-((off_axis / 0.015) ** 2)))
        missed = (position[:, 2] < 0.0) | (position[:, 0] < 0.0)
        terminated = caught | missed
        return Outcome(reward, terminated, ~terminated & (self.steps >= self.max_steps))


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    """Scalar products of vectors, axis by axis: a sum over an axis of three takes longer. Shape (B,)."""
    product: FloatArray = a[:, 0] * b[:, 0] + a[:, 1] * b[:, 1] + a[:, 2] * b[:, 2]
    return product


def _parabola_minimum(values: FloatArray, index: IdArray) -> FloatArray:
    """Least value of the parabola through the smallest sample and its neighbours, per column; never negative."""
    columns = np.arange(values.shape[1])
    middle = np.clip(index, 1, len(values) - 2)
    left, center, right = (values[middle + k, columns] for k in (-1, 0, 1))
    curvature = left - 2.0 * center + right
    lowest = center - (right - left) ** 2 / np.where(curvature > 1e-12, 8.0 * curvature, 1.0)
    inside = (index == middle) & (curvature > 1e-12)
    return np.maximum(np.where(inside, lowest, values[index, columns]), 0.0)
