"""Seeds of evaluation episodes: from 1e9 on, above every seed that a training or its metrics are given."""

from reflexarc.control.errors import ValueRefusedError

__all__ = ["FIRST_EVALUATION_SEED", "MAX_EPISODES", "evaluation_seeds"]

FIRST_EVALUATION_SEED = 1_000_000_000
"""The seed of a training lies below. Its episodes' own seeds are 64-bit hashes of it, so the chance that two
million of them meet one of 200 evaluation seeds is 2e-11."""

MAX_EPISODES = 1_000_000
"""Distance between the first episodes of two neighbouring seeds, so that no episode belongs to both."""

_MAX_SEED = 1_000_000_000
"""Keeps every episode's seed below 2^53, which JSON readers and float64 hold exactly."""


def evaluation_seeds(seed: int, episodes: int) -> tuple[int, ...]:
    """One seed per episode, never one of training.

    Args:
        seed: What the user gave.
        episodes: How many.

    Raises:
        ValueRefusedError: Either is out of range.
    """
    if not 0 <= seed <= _MAX_SEED:
        raise ValueRefusedError(f"seed is {seed}. Give a whole number from 0 to {_MAX_SEED}.")
    if not 1 <= episodes <= MAX_EPISODES:
        raise ValueRefusedError(f"episodes is {episodes}. Give a whole number from 1 to {MAX_EPISODES}.")
    first = FIRST_EVALUATION_SEED + seed * MAX_EPISODES
    return tuple(range(first, first + episodes))
