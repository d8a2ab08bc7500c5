"""Figures: how well positions are known, for what a module guarantees and what the next one was trained under.

Both sides of a contract are measured by the same functions. Each figure is taken per episode, since errors
of one episode have one cause (the camera's pose, the light); what is guaranteed or assumed is the value that
95 of 100 episodes do not exceed.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from reflexarc.control.values import FloatArray

__all__ = ["WRONG_M", "envelope", "position_figures", "seen_in", "worst_of_episodes"]

WRONG_M = 0.10
"""A detection farther from the ball than this has found something else."""

_QUANTILE = 0.95
_MARGIN = 1.25
"""What a consumer tolerates beyond its training: a quantile of some hundred episodes is itself uncertain."""

_OBSERVED = (0.001, 0.999)
_OBSERVED_MARGIN = 0.1
"""Share of the range that is added at either end of what was seen in training."""


def position_figures(
    error: FloatArray,
    velocity: FloatArray,
    sigma: FloatArray,
    is_due: npt.NDArray[np.bool_],
    wrong_m: float = np.inf,
) -> dict[str, float]:
    """How well positions were known in one episode of T moments.

    Args:
        error: Known minus true position, m; NaN where none was known. Shape (T, 3).
        velocity: True velocity, m/s. Shape (T, 3).
        sigma: Standard deviations that were given with it, m. Shape (T, 3).
        is_due: Whether there was to be one. Shape (T,).
        wrong_m: Farther off than this, it is another thing's position.

    Returns:
        `unknown_share` of what was due; `wrong_share` of what was known; of what was right `bias_m` (norm of
        the mean error), `rmse_m`, `p99_m`, `lag_s` (time by which the error is explained by being late,
        in absolute value) and `normalized_error_squared` (mean per axis of squared error over variance, 1
        where the covariance is right).
    """
    known = is_due & np.isfinite(error).all(axis=1)
    distance = np.linalg.norm(np.where(known[:, None], error, 0.0), axis=1)
    right = known & (distance <= wrong_m)
    figures = {
        "unknown_share": float((is_due & ~known).sum() / max(is_due.sum(), 1)),
        "wrong_share": float((known & ~right).sum() / max(known.sum(), 1)),
    }
    if not right.any():
        return figures
    e, v = error[right], velocity[right]
    return {
        **figures,
        "bias_m": float(np.linalg.norm(e.mean(axis=0))),
        "rmse_m": float(np.sqrt((distance[right] ** 2).mean())),
        "p99_m": float(np.percentile(distance[right], 99)),
        "lag_s": float(abs((e * v).sum()) / max((v**2).sum(), 1e-12)),
        "normalized_error_squared": float(((e / sigma[right]) ** 2).mean()),
    }


def worst_of_episodes(episodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Per figure, the value that 95 of 100 episodes do not exceed; episodes without it do not count."""
    names = dict.fromkeys(name for figures in episodes for name in figures)
    return {
        name: float(np.quantile([figures[name] for figures in episodes if name in figures], _QUANTILE))
        for name in names
    }


def envelope(episodes: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Per figure, how bad an input may be for a consumer that was trained on these episodes."""
    return {name: _MARGIN * value for name, value in worst_of_episodes(episodes).items()}


def seen_in(quantities: Iterable[Mapping[str, FloatArray]]) -> dict[str, tuple[float, float]]:
    """Range per quantity that was seen in training, without one value in a thousand at either end, widened.

    Args:
        quantities: Parts of the training, each with any number of values per quantity; NaN does not count.
    """
    parts: dict[str, list[FloatArray]] = {}
    for part in quantities:
        for name, values in part.items():
            parts.setdefault(name, []).append(np.ravel(values))
    ranges = {}
    for name, arrays in parts.items():
        low, high = np.nanquantile(np.concatenate(arrays), _OBSERVED)
        margin = _OBSERVED_MARGIN * max(high - low, 1e-9)
        ranges[name] = (float(low - margin), float(high + margin))
    return ranges
