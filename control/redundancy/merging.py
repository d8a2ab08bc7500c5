"""Merging: estimates of one thing whose errors may be correlated, in a way that nobody can know."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from reflexarc.control.values import FloatArray

__all__ = ["Information", "information_of", "intersect_covariances", "mahalanobis_squared"]


class Information(NamedTuple):
    """K estimates of N components in information form, from which any of them are merged without another inverse.

    Attributes:
        matrices: Inverse covariances, shape (K, N, N).
        vectors: Those times the means, shape (K, N).
        log_sizes: Logarithms of the covariances' determinants, by N, shape (K,).
    """

    matrices: FloatArray
    vectors: FloatArray
    log_sizes: FloatArray


def information_of(means: FloatArray, covariances: FloatArray) -> Information:
    """The information form of estimates.

    Args:
        means: Shape (K, N).
        covariances: Shape (K, N, N), symmetric positive definite.
    """
    matrices = np.asarray(np.linalg.inv(covariances), dtype=np.float64)
    vectors = (matrices @ means[:, :, None])[:, :, 0]
    return Information(matrices, vectors, np.linalg.slogdet(covariances)[1] / means.shape[1])


def intersect_covariances(estimates: Information, chosen: Sequence[int]) -> tuple[FloatArray, FloatArray]:
    """One estimate out of several, by covariance intersection: P^-1 = sum w_i P_i^-1 with weights that sum to one.

    Approaches that look through the same camera err together, so to merge them as if their errors were independent
    would make them too sure. For any weights this covariance is not less than that of the merged error, however the
    errors are correlated. The weights are P_i's determinant to the power -1/N, normalised: close to those that
    minimise the determinant of P, without an iteration, and the same in any units.

    Args:
        estimates: K of N components.
        chosen: Which of the K.

    Returns:
        Mean (N,) and covariance (N, N).

    Source: Julier, Uhlmann, A non-divergent estimation algorithm in the presence of unknown correlations, ACC 1997;
        weights without an iteration after Niehsen, Information fusion based on fast covariance intersection
        filtering, FUSION 2002, who takes traces.
    """
    matrices, vectors, log_sizes = (array[chosen] for array in estimates)
    weights = np.exp(log_sizes.min() - log_sizes)
    weights /= weights.sum()
    covariance = np.linalg.inv(np.einsum("i,ijk->jk", weights, matrices))
    mean = covariance @ (weights @ vectors)
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
