"""Randomness: every draw is a function of (seed, step, channel), however many simulations run.

A counter-based generator has no state to keep: a single environment, a batched one and the twin draw the
same numbers for the same seed, and exactly the same bits on every machine, since only integer arithmetic
and exact scalings are used.

Source: Steele, Lea, Flood, Fast splittable pseudorandom number generators, OOPSLA 2014 (the mixing
    function of splitmix64); the idea of counters is that of Salmon et al., Parallel random numbers: as
    easy as 1, 2, 3, SC 2011.
"""

from enum import IntEnum

import numpy as np
import numpy.typing as npt

from reflexarc.control.values import FloatArray

__all__ = ["Channel", "SeedArray", "bits", "episode_seeds", "in_ball", "normal", "uniform"]

SeedArray = npt.NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD1B54A32D192ED03)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_EVEN, _LOW = np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00000000FFFFFFFF)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)


class Channel(IntEnum):
    """What a draw is for; draws of different channels are independent."""

    EPISODE = 1
    JOINT_START = 2
    SERVO = 3
    JOINT_DELAY = 4
    JOINT_NOISE = 5
    BALL = 6
    HIDDEN = 7
    CAMERA_POSITION = 8
    CAMERA_ROTATION = 9
    LIGHT = 10
    COLOR = 11
    CLUTTER = 12
    PIXEL = 13
    FRAME = 14


def _mix(z: SeedArray) -> SeedArray:
    z = (z ^ (z >> _S30)) * _M1
    z = (z ^ (z >> _S27)) * _M2
    return z ^ (z >> _S31)


def bits(seed: SeedArray, step: npt.ArrayLike, channel: Channel, count: int) -> SeedArray:
    """64 random bits per draw.

    Args:
        seed: Shape (B,).
        step: Which step of the episode; shape (B,) or a scalar.
        channel: What for.
        count: Draws per seed.

    Returns:
        Shape (B, count).
    """
    with np.errstate(over="ignore"):  # the arithmetic is modulo 2^64 by intention
        key = _mix(seed + _GOLDEN * np.uint64(channel))
        key = _mix(key ^ (np.asarray(step).astype(np.uint64) * _STEP))
        counter = np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN
        return _mix(key[:, None] + counter[None, :])


def uniform(seed: SeedArray, step: npt.ArrayLike, channel: Channel, count: int) -> FloatArray:
    """Uniform numbers in [0, 1). Shape (B, count)."""
    return (bits(seed, step, channel, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(seed: SeedArray, step: npt.ArrayLike, channel: Channel, count: int) -> FloatArray:
    """Nearly normal numbers of mean 0 and variance 1: the sum of four uniform ones. Shape (B, count).

    Bounded by 3.46 and with an excess kurtosis of -0.3, in exchange for the same bits everywhere.
    """
    quarters = bits(seed, step, channel, count)
    # Four numbers of 16 bits in one word, added side by side: a sum over an axis of four takes longer.
    pairs = (quarters & _EVEN) + ((quarters >> np.uint64(16)) & _EVEN)
    sums = (pairs & _LOW) + (pairs >> np.uint64(32))
    draws: FloatArray = (sums.astype(np.int64) - 2 * 65535) * (np.sqrt(3.0) / 65536.0)
    return draws


def in_ball(seed: SeedArray, step: npt.ArrayLike, channel: Channel) -> FloatArray:
    """Points uniform in the unit ball: the first of 24 draws from the cube that lies inside. Shape (B, 3)."""
    points = 2.0 * uniform(seed, step, channel, 72).reshape(len(seed), 24, 3) - 1.0
    inside = (points**2).sum(axis=2) <= 1.0
    chosen = points[np.arange(len(seed)), inside.argmax(axis=1)]
    # All 24 outside happens once in 10^7 episodes; then the center is as good as any point.
    return np.where(inside.any(axis=1)[:, None], chosen, 0.0)


def episode_seeds(environment_seed: SeedArray, episode: npt.NDArray[np.int64]) -> SeedArray:
    """Seed of an environment's n-th episode, 2^63 or more: below are the seeds of evaluation. Shape (B,)."""
    return bits(environment_seed, episode, Channel.EPISODE, 1)[:, 0] | np.uint64(2**63)
