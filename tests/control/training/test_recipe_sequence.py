import numpy as np
import pytest

from reflexarc.control.artifacts.store import load_pinned
from reflexarc.control.training.recipe_sequence import _fitted


def test_an_estimation_says_what_it_guarantees_and_what_it_was_trained_under(trained):
    manifest = load_pinned(trained.flow, "estimation", trained.store).manifest
    assert set(manifest.guarantees) == set(trained.flow.modules["estimation"].outputs) == {"odometry"}
    (port,) = manifest.assumes
    assert port == "detection"
    assert {"unknown_share", "bias_m", "rmse_m"} <= set(manifest.assumes["detection"].bounds)
    assert {"x_m", "y_m", "z_m", "sigma_m"} == set(manifest.assumes["detection"].seen)
    assert set(manifest.upstream) == {"perception"}


@pytest.mark.parametrize("ticks", [3, 5, 8])
def test_recorded_episodes_of_any_length_are_fitted(ticks):
    seen, is_valid = np.ones((2, 5, 3)), np.ones((2, 5), bool)
    assert _fitted(seen, ticks).shape == (2, ticks, 3)
    fitted = _fitted(is_valid, ticks)
    assert fitted[:, :5].all()
    assert not fitted[:, 5:].any()
