import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reflexarc.control.contracts import Assumption, compare
from reflexarc.control.training.figures import (
    WRONG_M,
    envelope,
    lag,
    position_figures,
    seen_in,
    widest,
    worst_of_pieces,
)

FIGURES = st.dictionaries(st.sampled_from(["bias_m", "rmse_m", "p99_m"]), st.floats(0.0, 1e3), min_size=1)
PIECE = 120


def figures(error, sigma=0.01, is_due=None, **given):
    is_due = np.ones(len(error), dtype=bool) if is_due is None else is_due
    (found,) = position_figures(error, np.full_like(error, sigma), is_due, **given)
    return found


def test_each_figure_is_what_it_is_called():
    error = np.random.default_rng(0).normal(0.0, 0.01, (PIECE, 3))
    found = figures(error)
    assert found["normalized_error_squared"] == pytest.approx(1.0, abs=0.2)
    assert found["rmse_m"] == pytest.approx(0.01 * np.sqrt(3), rel=0.1)
    assert found["p99_m"] == pytest.approx(np.percentile(np.linalg.norm(error, axis=1), 99))
    assert figures(np.full((PIECE, 3), [0.03, 0.0, 0.04]))["bias_m"] == pytest.approx(0.05)


def test_what_is_missing_counts_only_where_it_was_due():
    error = np.zeros((100, 3))
    error[::4] = np.nan
    assert figures(error)["unknown_share"] == pytest.approx(0.25)
    assert figures(error, is_due=np.arange(100) % 4 != 0)["unknown_share"] == 0.0
    assert figures(np.full((100, 3), np.nan)) == {"unknown_share": 1.0, "wrong_share": 0.0}


def test_another_things_position_is_a_wrong_one_and_no_error():
    error = np.zeros((100, 3))
    error[:10] = 1.0
    found = figures(error, wrong_m=WRONG_M)
    assert found["wrong_share"] == pytest.approx(0.1)
    assert found["p99_m"] == 0.0


def test_a_long_episode_has_figures_for_every_piece_in_which_something_was_due():
    error = np.zeros((4 * PIECE + 10, 3))
    error[PIECE : 2 * PIECE] = [0.0, 0.2, 0.0]
    is_due = np.ones(len(error), dtype=bool)
    is_due[2 * PIECE : 3 * PIECE] = False
    found = position_figures(error, np.ones_like(error), is_due)
    assert [piece["rmse_m"] for piece in found] == pytest.approx([0.0, 0.2, 0.0, 0.0])


@given(
    arrays(np.float64, (20, 3), elements=st.floats(-2, 2) | st.just(np.nan)),
    arrays(np.bool_, 20),
    st.sampled_from([WRONG_M, np.inf]),
)
def test_every_figure_is_finite_and_none_is_negative(error, is_due, wrong_m):
    found = position_figures(error, np.full((20, 3), 0.01), is_due, wrong_m)
    assert len(found) == is_due.any()
    for piece in found:
        assert all(np.isfinite(value) and value >= 0 for value in piece.values())
        assert piece["unknown_share"] <= 1
        assert piece["wrong_share"] <= 1
        if "rmse_m" in piece:
            assert piece["bias_m"] <= piece["rmse_m"] * (1 + 1e-9) + 1e-12
            assert piece["rmse_m"] <= wrong_m * (1 + 1e-6)


@given(st.floats(-0.1, 0.1), st.integers(0, 100))
def test_the_lag_is_the_time_by_which_it_is_late(late_s, seed):
    velocity = np.random.default_rng(seed).normal(0.0, 2.0, (200, 3))
    error = -late_s * velocity
    error[::3] = np.nan
    assert lag(error, velocity) == pytest.approx(late_s, abs=1e-9)


def test_what_stands_still_has_no_lag():
    assert lag(np.ones((10, 3)), np.zeros((10, 3))) == 0.0


@given(st.lists(FIGURES, min_size=1))
def test_what_was_trained_under_covers_what_is_guaranteed_on_the_same(pieces):
    guarantee = worst_of_pieces(pieces)
    assert compare("a.b", guarantee, "c.d", Assumption(bounds=envelope(pieces))) == []
    for name, value in guarantee.items():
        values = [piece[name] for piece in pieces if name in piece]
        assert min(values) * (1 - 1e-9) <= value <= max(values) * (1 + 1e-9)


def test_one_bad_piece_in_a_hundred_does_not_count_and_ten_do():
    good, bad = {"rmse_m": 0.01}, {"rmse_m": 1.0}
    assert worst_of_pieces([*99 * [good], bad])["rmse_m"] == pytest.approx(0.01)
    assert worst_of_pieces([*90 * [good], *10 * [bad]])["rmse_m"] == pytest.approx(1.0)
    assert worst_of_pieces([good, {}, {}])["rmse_m"] == pytest.approx(0.01)


@settings(max_examples=50)
@given(arrays(np.float64, 200, elements=st.floats(-1e3, 1e3)), st.integers(0, 199))
def test_nearly_all_that_was_seen_lies_in_the_range(values, at):
    split = [{"x_m": values[:at]}, {"x_m": values[at:]}, {"x_m": np.array([np.nan])}]
    low, high = seen_in(split)["x_m"]
    assert ((values >= low) & (values <= high)).mean() >= 0.98
    assert low <= high
    assert (low, high) == pytest.approx(seen_in([{"x_m": values}])["x_m"])


def test_an_outlier_does_not_widen_what_was_seen():
    values = np.linspace(0.0, 1.0, 10_000)
    values[5] = 1e6
    assert seen_in([{"x_m": values}])["x_m"][1] < 1.2


@given(st.lists(FIGURES, min_size=1, max_size=5))
def test_the_widest_of_several_envelopes_covers_each(envelopes):
    bounds = widest(envelopes)
    assert set(bounds) == {name for found in envelopes for name in found}
    for found in envelopes:
        assert all(bounds[name] >= bound for name, bound in found.items())
    assert set(bounds.values()) <= {bound for found in envelopes for bound in found.values()}
