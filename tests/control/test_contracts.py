import math

from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.contracts import Assumption, compare

NAMES = st.sampled_from(["bias_m", "rmse_m", "lag_s", "wrong_share"])
BOUNDS = st.dictionaries(NAMES, st.floats(0.0, 1e6), min_size=1)


def violations(guarantee, bounds):
    return compare("perception.detection", guarantee, "estimation.detection", Assumption(bounds=bounds))


@given(BOUNDS, st.floats(0.0, 1.0), st.dictionaries(st.text(max_size=3), st.floats()))
def test_a_guarantee_inside_the_assumption_is_no_violation_whatever_else_it_says(bounds, share, others):
    assert violations({**others, **{name: share * bound for name, bound in bounds.items()}}, bounds) == []


@given(BOUNDS, st.data())
def test_whatever_is_worse_missing_or_not_a_number_is_named_and_nothing_else(bounds, data):
    bad = data.draw(st.sampled_from(sorted(bounds)))
    guarantee = dict(bounds)
    worse = st.sampled_from([math.inf, math.nan, math.nextafter(bounds[bad], math.inf), None])
    if (value := data.draw(worse)) is None:
        del guarantee[bad]
    else:
        guarantee[bad] = value
    (found,) = violations(guarantee, bounds)
    assert (found.figure, found.bound) == (bad, bounds[bad])
    assert (found.producer, found.consumer) == ("perception.detection", "estimation.detection")


@given(st.floats())
def test_a_bound_that_is_not_a_number_covers_nothing(value):
    assert len(violations({"bias_m": value}, {"bias_m": math.nan})) == 1


def test_a_violation_reads_as_a_sentence():
    missing, worse = violations({"bias_m": 0.0301}, {"rmse_m": 0.1, "bias_m": 0.02})
    edge = "perception.detection -> estimation.detection"
    assert str(missing) == f"{edge}: rmse_m: nothing is guaranteed, 0.1 is assumed"
    assert str(worse) == f"{edge}: bias_m: 0.0301 is guaranteed, 0.02 is assumed"
