"""Sensors: rate, delay, noise and loss of what the robot measures, declared once."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from reflexarc.control.values import FloatArray
from reflexarc.envs.randomization import Channel, SeedArray, normal, uniform

__all__ = ["FRAMES", "JOINTS", "FrameTiming", "JointSensing", "frame_fate", "measure_joints"]


@dataclass(frozen=True, kw_only=True)
class FrameTiming:
    """How frames come out of the camera's driver.

    Args:
        every_ticks: Ticks from frame to frame.
        delay_s: Least and greatest time from shutter to delivery.
        loss: Share of frames that never come.
    """

    every_ticks: int
    delay_s: tuple[float, float]
    loss: float


@dataclass(frozen=True, kw_only=True)
class JointSensing:
    """How joints are measured.

    Args:
        position_noise: Standard deviation, rad: some steps of a 19-bit encoder behind the gear's play.
        velocity_noise: Standard deviation, rad/s.
        delay_s: Least and greatest delay, drawn per episode: one to five cycles of a 500 Hz bus.
    """

    position_noise: float
    velocity_noise: float
    delay_s: tuple[float, float]


FRAMES = FrameTiming(every_ticks=2, delay_s=(0.015, 0.040), loss=0.05)
JOINTS = JointSensing(position_noise=0.0005, velocity_noise=0.01, delay_s=(0.002, 0.010))


def measure_joints(
    position: FloatArray, velocity: FloatArray, delay_s: FloatArray, seeds: SeedArray, step: npt.ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Measured positions (rad) and velocities (rad/s) of N joints, each of shape (B, N).

    The delay is taken to first order, q(t - d) = q(t) - d v(t): over 10 ms the rest is below 1 mrad.
    """
    count = position.shape[1]
    noise = normal(seeds, step, Channel.JOINT_NOISE, 2 * count)
    measured = position - delay_s[:, None] * velocity + JOINTS.position_noise * noise[:, :count]
    return measured, velocity + JOINTS.velocity_noise * noise[:, count:]


def frame_fate(seeds: SeedArray, step: npt.ArrayLike) -> tuple[npt.NDArray[np.bool_], FloatArray]:
    """Whether the frame taken at a step is lost, and its delay in s; each of shape (B,)."""
    draw = uniform(seeds, step, Channel.FRAME, 2)
    low, high = FRAMES.delay_s
    return draw[:, 0] < FRAMES.loss, low + (high - low) * draw[:, 1]
