"""Merging: estimates of one thing whose errors may be correlated, in a way that nobody can know."""

from collections.abc import Sequence

import numpy as np

from reflexarc.control.values import FloatArray

__all__ = ["intersect_covariances", "mahalanobis_squared"]


def intersect_covariances(
    means: Sequence[FloatArray], covariances: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """One estimate out of several, by covariance intersection: P^-1 = sum w_i P_i^-1 with weights that sum to one.

    Approaches that look through the same camera err together, so to merge them as if their errors were independent
    would make them too sure. For any weights this covariance is not less than that of the merged error, however the
    errors are correlated. The weights are P_i's determinant to the power -1/N, normalised: close to those that
    minimise the determinant of P, without an iteration, and the same in any units.

    Args:
        means: Each of shape (N,).
        covariances: Each of shape (N, N), symmetric positive definite.

    Returns:
        Mean (N,) and covariance (N, N).

    Source: Julier, Uhlmann, A non-divergent estimation algorithm in the presence of unknown correlations, ACC 1997;
        weights without an iteration after Niehsen, Information fusion based on fast covariance intersection
        filtering, FUSION 2002, who takes traces.
    """
    stacked = np.stack(list(covariances))
    information = np.linalg.inv(stacked)
    log_size = np.linalg.slogdet(stacked)[1] / len(means[0])
    weights = np.exp(log_size.min() - log_size)
    weights /= weights.sum()
    covariance = np.linalg.inv(np.einsum("i,ijk->jk", weights, information))
    mean = covariance @ np.einsum("i,ijk,ik->j", weights, information, np.stack(list(means)))
    return mean, 0.5 * (covariance + covariance.T)


def mahalanobis_squared(
    difference: FloatArray, first_covariance: FloatArray, second_covariance: FloatArray
) -> float:
    """Squared length of a difference of two estimates, in standard deviations of what they say of themselves.

    Args:
        difference: Shape (N,).
        first_covariance: Shape (N, N).
        second_covariance: Shape (N, N).

    Returns:
        Never NaN: infinite for what is beyond all numbers.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        squared = float(difference @ np.linalg.solve(first_covariance + second_covariance, difference))
    return squared if squared >= 0.0 else float("inf")
