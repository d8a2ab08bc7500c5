import numpy as np
import pytest
import torch

from reflexarc.control.errors import TrainingError
from reflexarc.control.modules.network import Network
from reflexarc.control.training.checkpoints import Checkpoints
from reflexarc.control.training.export import export_network
from reflexarc.control.training.supervised import (
    HeatMapSettings,
    LabelledImages,
    calibrate,
    heat_maps,
    train_heat_map,
)

INTRINSICS = np.array([[64.0, 0.0, 39.5], [0.0, 64.0, 63.5], [0.0, 0.0, 1.0]])
FOCAL = INTRINSICS[0, 0]
SETTINGS = HeatMapSettings(images=256, epochs=8, batch=16)


def discs(count, seed):
    """Images of an orange disc at a random place and depth, on grey."""
    rng = np.random.default_rng(seed)
    color = rng.integers(90, 120, (count, 128, 80, 3)).astype(np.uint8)
    depth = np.full((count, 128, 80), 3.0, dtype=np.float32)
    center = np.stack([rng.uniform(-0.4, 0.4, count), rng.uniform(-0.6, 0.6, count), np.ones(count)], axis=1)
    center *= rng.uniform(0.7, 1.6, count)[:, None]
    rows, columns = np.mgrid[0:128, 0:80]
    u = center[:, 0] / center[:, 2] * 64 + 39.5
    v = center[:, 1] / center[:, 2] * 64 + 63.5
    radius = 0.035 * 64 / center[:, 2]
    mask = (columns - u[:, None, None]) ** 2 + (rows - v[:, None, None]) ** 2 < (radius**2)[:, None, None]
    color[mask] = (240, 120, 30)
    depth[mask] = (np.ones_like(depth) * (center[:, 2] - 0.025)[:, None, None])[mask]
    depth += rng.normal(0, 0.004, depth.shape).astype(np.float32) * depth**2
    return LabelledImages(color, depth, mask, center)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    torch.set_num_threads(1)
    checkpoints = Checkpoints(tmp_path_factory.mktemp("checkpoints"))
    return train_heat_map(discs(SETTINGS.images, 0), SETTINGS, FOCAL, 0, checkpoints, lambda *_: True)


def test_a_ball_is_found_and_its_errors_are_measured(network):
    calibration = calibrate(network, discs(120, 1), INTRINSICS)
    assert calibration.metrics["position_median_m"] < 0.01
    assert calibration.metrics["missed_share"] < 0.1
    assert calibration.metrics["wrong_share"] < 0.1
    assert calibration.surface_to_center_m == pytest.approx(0.025, abs=0.005)
    assert 0.3 < calibration.metrics["normalized_error_squared"] < 3.0
    assert len(calibration.error_model["missed_share"]) == 6


@pytest.mark.parametrize("crash_after", [1, 2, 5])
def test_a_network_that_was_interrupted_has_the_weights_of_one_that_was_not(
    tmp_path, checkpoints, crashing_after, goes_on, crash, crash_after
):
    few = discs(32, 0)
    settings = HeatMapSettings(images=32, epochs=3, batch=16)
    with pytest.raises(crash):
        train_heat_map(few, settings, FOCAL, 0, checkpoints, crashing_after(crash_after))
    torch.manual_seed(99)  # another process starts with other random numbers
    begun = []
    one = train_heat_map(few, settings, FOCAL, 0, checkpoints, lambda done, *_: begun.append(done) or True)
    assert begun[0] == 2 * (crash_after // 2) + 1  # no epoch twice, none left out
    other = train_heat_map(few, settings, FOCAL, 0, Checkpoints(tmp_path / "others"), goes_on)
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)


def test_an_answer_of_no_ends_it(checkpoints):
    done = []
    settings = HeatMapSettings(images=32, epochs=3, batch=16)
    train_heat_map(
        discs(32, 0), settings, FOCAL, 0, checkpoints, lambda *p: done.append(p[:2]) or len(done) < 3
    )
    assert done == [(1, 6), (2, 6), (3, 6)]


def test_a_network_that_finds_nothing_is_not_calibrated(network):
    images = discs(40, 2)
    blind = images._replace(color=np.full_like(images.color, 100), depth=np.full_like(images.depth, 3.0))
    with pytest.raises(TrainingError, match=r"finds the ball in \d+ of 40 held-out images, too few"):
        calibrate(network, blind, INTRINSICS)


def test_heat_maps_do_not_depend_on_the_batch(network):
    images = discs(6, 3)
    one = heat_maps(network, images.part(slice(2, 3)))
    assert np.allclose(heat_maps(network, images)[2], one[0], atol=1e-4)


@pytest.mark.parametrize(("name", "blinded"), [("color", "depth"), ("depth", "color")])
def test_an_approach_of_one_sensor_does_not_look_at_the_other(name, blinded, checkpoints):
    few = HeatMapSettings(network=name, images=64, epochs=2, batch=16)
    network = train_heat_map(discs(64, 0), few, FOCAL, 0, checkpoints, lambda *_: True)
    images = discs(4, 5)
    without = images._replace(**{blinded: np.zeros_like(getattr(images, blinded))})
    assert np.array_equal(heat_maps(network, images), heat_maps(network, without))
    assert np.ptp(heat_maps(network, images)) > 0


def test_every_approach_exports_the_same_signature(tmp_path):
    example = {"color": torch.zeros(1, 128, 80, 3, dtype=torch.uint8), "depth": torch.ones(1, 128, 80)}
    images = discs(3, 0)
    for name in ("depth", "classical"):
        settings = HeatMapSettings(network=name, images=16, epochs=1, batch=16)
        network = train_heat_map(
            discs(16, 0), settings, FOCAL, 0, Checkpoints(tmp_path / name), lambda *_: True
        )
        exported = Network(export_network(network, example, ["heat"])["model.onnx"], name)
        heat = exported(color=images.color, depth=images.depth)[0]
        assert np.allclose(heat, heat_maps(network, images), atol=1e-3)


def test_an_approach_that_there_is_not_brings_the_nearest():
    with pytest.raises(TrainingError, match=r"no network 'colour'\. Did you mean 'color'"):
        HeatMapSettings(network="colour")
