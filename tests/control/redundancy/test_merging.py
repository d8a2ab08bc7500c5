import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.redundancy.merging import information_of, intersect_covariances, mahalanobis_squared

SEEDS = st.integers(0, 2**32 - 1)


def merge(means, covariances):
    """All of them."""
    return intersect_covariances(information_of(np.array(means), np.array(covariances)), range(len(means)))


def spread(rng, size):
    root = rng.standard_normal((size, size))
    return root @ root.T + 0.1 * np.eye(size)


@given(SEEDS, st.integers(2, 3), st.sampled_from([3, 6]))
def test_the_merged_error_is_never_larger_than_said_however_errors_are_correlated(seed, count, size):
    rng = np.random.default_rng(seed)
    # The true joint covariance of all errors; each says the truth of its own block, nobody knows the rest.
    joint = spread(rng, count * size)
    blocks = [joint[i * size : (i + 1) * size, i * size : (i + 1) * size] for i in range(count)]
    _, said = merge([np.zeros(size)] * count, blocks)
    # The merged mean is linear in the means: take its matrices by unit vectors.
    gains = np.zeros((size, count * size))
    for column in range(count * size):
        means = np.zeros((count, size))
        means.reshape(-1)[column] = 1.0
        gains[:, column] = merge(list(means), blocks)[0]
    true = gains @ joint @ gains.T
    assert np.linalg.eigvalsh(said - true).min() >= -1e-9 * np.abs(said).max()


@given(SEEDS, st.sampled_from([3, 6]))
def test_the_order_does_not_matter_and_the_covariance_is_one(seed, size):
    rng = np.random.default_rng(seed)
    means, covariances = list(rng.standard_normal((3, size))), [spread(rng, size) for _ in range(3)]
    mean, covariance = merge(means, covariances)
    assert np.array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    turned = merge(means[::-1], covariances[::-1])
    assert turned[0] == pytest.approx(mean, rel=1e-6, abs=1e-9)
    assert turned[1] == pytest.approx(covariance, rel=1e-6, abs=1e-9)


@given(SEEDS, st.integers(1, 3))
def test_an_estimate_merged_with_itself_is_itself(seed, count):
    rng = np.random.default_rng(seed)
    mean, covariance = rng.standard_normal(3), spread(rng, 3)
    merged = merge([mean] * count, [covariance] * count)
    assert merged[0] == pytest.approx(mean)
    assert merged[1] == pytest.approx(covariance)


def test_the_surer_one_counts_more():
    mean, _ = merge([np.zeros(3), np.ones(3)], [np.eye(3), 0.01 * np.eye(3)])
    assert mean == pytest.approx(np.full(3, 0.9999), abs=1e-3)


@pytest.mark.parametrize("difference", [1e200, np.inf, np.nan])
def test_a_distance_beyond_all_numbers_is_infinite(difference):
    assert mahalanobis_squared(np.array([difference, 0.0]), np.eye(2), np.eye(2)) == np.inf


def test_a_distance_counts_in_standard_deviations_of_the_difference():
    assert mahalanobis_squared(np.array([2.0, 0.0]), np.eye(2), 3 * np.eye(2)) == 1.0


def test_some_of_several_are_merged_as_they_would_be_alone():
    rng = np.random.default_rng(0)
    means, covariances = rng.standard_normal((3, 6)), np.array([spread(rng, 6) for _ in range(3)])
    some = intersect_covariances(information_of(means, covariances), [2, 0])
    alone = merge(means[[2, 0]], covariances[[2, 0]])
    assert some[0] == pytest.approx(alone[0])
    assert some[1] == pytest.approx(alone[1])
