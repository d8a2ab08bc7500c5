import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
NINE = Path(__file__).parents[1] / "control" / "redundancy" / "nine_estimators.yaml"


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(str(EXAMPLES))
    import error_correlation

    yield error_correlation
    sys.modules.pop("error_correlation", None)


def test_errors_that_go_together_are_told_from_those_that_do_not(example):
    rng = np.random.default_rng(0)
    common, one, other = rng.normal(size=(3, 5000, 3))
    assert example.correlation(one, one) == pytest.approx(1.0)
    assert example.correlation(one, other) == pytest.approx(0.0, abs=0.03)
    assert example.correlation(common + one, common + other) == pytest.approx(0.5, abs=0.03)
    assert example.correlation(one, one + 7.0) == pytest.approx(1.0), "a common bias is no correlation"


def test_replicas_of_one_artifact_err_together(example):
    found = example.measure(str(NINE), 2, 3, example.SHIPPED_STORE)["estimation"]
    assert len(found["members"]) == 9
    assert all(member["median_m"] < 0.1 for member in found["members"].values())
    assert all(pair["correlation"] == pytest.approx(1.0) for pair in found["pairs"].values())
    assert sum(pair["within"] for pair in found["pairs"].values()) == 9
