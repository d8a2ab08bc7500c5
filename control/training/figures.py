"""Figures: how well positions are known, for what a module guarantees and what the next one was trained under.

Both sides of a contract are measured by the same functions. Each figure is taken of pieces of 1.2 s, since errors
of one moment have one cause (the camera's pose, the light, a look-alike); what is guaranteed or assumed is the
value that 95 of 100 pieces do not exceed.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from reflexarc.control.values import FloatArray

__all__ = ["WRONG_M", "envelope", "lag", "position_figures", "seen_in", "widest", "worst_of_pieces"]

WRONG_M = 0.10
"""A detection farther from the ball than this has found something else."""

_PIECE_TICKS = 120
_QUANTILE = 0.95
_MARGIN = 1.25
"""What a consumer tolerates beyond its training: a quantile of some hundred pieces is itself uncertain."""

_OBSERVED = (0.001, 0.999)
_OBSERVED_MARGIN = 0.1
"""Share of the range that is added at either end of what was seen in training."""


def position_figures(
    error: FloatArray, sigma: FloatArray, is_due: npt.NDArray[np.bool_], wrong_m: float = np.inf
) -> list[dict[str, float]]:
    """How well positions were known in each piece of an episode of T ticks.

    Args:
        error: Known minus true position, m; NaN where none was known. Shape (T, 3).
        sigma: Standard deviations that were given with it, m. Shape (T, 3).
        is_due: Whether there was to be one. Shape (T,).
        wrong_m: Farther off than this, it is another thing's position.

    Returns:
        Per piece in which one was due: `unknown_share` of what was due; `wrong_share` of what was known; of
        what was right `bias_m` (norm of the mean error), `rmse_m`, `p99_m` and `normalized_error_squared`
        (mean per axis of squared error over variance, 1 where the covariance is right).
    """
    pieces = (slice(begin, begin + _PIECE_TICKS) for begin in range(0, len(error), _PIECE_TICKS))
    return [_of_piece(error[p], sigma[p], is_due[p], wrong_m) for p in pieces if is_due[p].any()]


def _of_piece(
    error: FloatArray, sigma: FloatArray, is_due: npt.NDArray[np.bool_], wrong_m: float
) -> dict[str, float]:
    known = is_due & np.isfinite(error).all(axis=1)
    distance = np.linalg.norm(np.where(known[:, None], error, 0.0), axis=1)
    right = known & (distance <= wrong_m)
    figures = {
        "unknown_share": float(1.0 - known.sum() / is_due.sum()),
        "wrong_share": float((known & ~right).sum() / max(known.sum(), 1)),
    }
    if not right.any():
        return figures
    e = error[right]
    return {
        **figures,
        "bias_m": float(np.linalg.norm(e.mean(axis=0))),
        "rmse_m": float(np.sqrt((distance[right] ** 2).mean())),
        "p99_m": float(np.percentile(distance[right], 99)),
        "normalized_error_squared": float(((e / sigma[right]) ** 2).mean()),
    }


def lag(error: FloatArray, velocity: FloatArray) -> float:
    """Time by which errors are explained by being late, s: regression of the error on minus the velocity.

    Args:
        error: Known minus true position of all episodes, m; NaN where none was known. Shape (N, 3).
        velocity: True velocity, m/s. Shape (N, 3).
    """
    known = np.isfinite(error).all(axis=1)
    e, v = error[known], velocity[known]
    return float(-(e * v).sum() / max((v**2).sum(), 1e-12))


def worst_of_pieces(pieces: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Per figure, the value that 95 of 100 pieces do not exceed; pieces without it do not count."""
    names = dict.fromkeys(name for figures in pieces for name in figures)
    return {
        name: float(np.quantile([figures[name] for figures in pieces if name in figures], _QUANTILE))
        for name in names
    }


def envelope(pieces: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Per figure, how bad an input may be for a consumer that was trained on these pieces."""
    return {name: _MARGIN * value for name, value in worst_of_pieces(pieces).items()}


def widest(envelopes: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Per figure, the greatest bound of several envelopes: of a consumer that was trained under each of them."""
    bounds: dict[str, float] = {}
    for found in envelopes:
        bounds |= {name: max(bound, bounds.get(name, bound)) for name, bound in found.items()}
    return bounds


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
