import numpy as np
import pytest
import torch

from reflexarc.control.contracts import compare
from reflexarc.control.errors import TrainingError
from reflexarc.control.training import sequence
from reflexarc.control.training.checkpoints import Checkpoints
from reflexarc.control.training.figures import worst_of_pieces
from reflexarc.control.training.recording import Delivery, DetectionRecording, detection_figures
from reflexarc.control.training.sequence import (
    SequenceSettings,
    disturb,
    estimate_figures,
    estimation_metrics,
    train_filter,
    trained_under,
)

TICKS = 60
DELIVERY = Delivery(
    delay_s=(0.015, 0.040), loss=0.05, latency_ticks=1, extra_tick=0.2, step_s=0.01, frame_ticks=2
)
CHOSEN = SequenceSettings(episodes=200, ticks=TICKS, hidden=24, batch=64, iterations=60, noise_m=0.005)


def throws(count, seed):
    """Thrown balls, seen every second tick with 1 cm of noise."""
    rng = np.random.default_rng(seed)
    start, velocity = rng.uniform(-0.5, 0.5, (2, count, 1, 3))
    time = 0.01 * np.arange(TICKS)[None, :, None]
    gravity = np.array([0.0, 0.0, -9.81])
    position = start + velocity * time + 0.5 * gravity * time**2
    seen = position + rng.normal(0, 0.01, position.shape)
    seen[:, 1::2] = np.nan
    return DetectionRecording(
        seen,
        np.full_like(seen, 0.01),
        position,
        velocity + gravity * time,
        np.ones((count, TICKS), dtype=bool),
    )


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("checkpoints")
    return train_filter(throws(200, 0), DELIVERY, CHOSEN, 0, Checkpoints(folder), lambda *_: True)


def test_a_filter_learns_to_fly_along(cell):
    metrics = estimation_metrics(cell, throws(50, 1), DELIVERY, 0)
    raw_delay_error = 0.04 * 3.0  # what the last detection alone would be off by at 3 m/s
    assert metrics["position_rmse_m"] < 0.5 * raw_delay_error
    assert metrics["velocity_rmse_m_s"] < 1.0
    assert metrics["unknown_share"] < 0.12


def test_figures_begin_once_something_was_seen(cell):
    recording = throws(50, 1)
    recording.seen[:, :20] = np.nan
    (first, *_), blind = (
        estimate_figures(cell, recording._replace(seen=seen), DELIVERY, 0)
        for seen in (recording.seen, np.full_like(recording.seen, np.nan))
    )
    assert first["unknown_share"] == 0.0
    assert blind == []


@pytest.mark.parametrize("crash_after", [1, 4, 7])
def test_a_filter_that_was_interrupted_has_the_weights_of_one_that_was_not(
    tmp_path, checkpoints, crashing_after, goes_on, crash, crash_after, monkeypatch
):
    monkeypatch.setattr(sequence, "_SEGMENT", 3)
    few = SequenceSettings(episodes=20, ticks=TICKS, hidden=8, batch=8, iterations=8)
    with pytest.raises(crash):
        train_filter(throws(20, 0), DELIVERY, few, 0, checkpoints, crashing_after(crash_after))
    torch.manual_seed(99)  # another process starts with other random numbers
    begun = []
    one = train_filter(
        throws(20, 0), DELIVERY, few, 0, checkpoints, lambda done, *_: begun.append(done) or True
    )
    assert begun[0] == crash_after // 3 * 3 + 1  # no segment twice, none left out
    other = train_filter(throws(20, 0), DELIVERY, few, 0, Checkpoints(tmp_path / "others"), goes_on)
    for first, second in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(first, second)


def test_an_answer_of_no_ends_it(checkpoints):
    done = []
    train_filter(
        throws(20, 0),
        DELIVERY,
        CHOSEN,
        0,
        checkpoints,
        lambda *progress: done.append(progress) or len(done) < 3,
    )
    assert [progress[:2] for progress in done] == [(1, 60), (2, 60), (3, 60)]


def test_what_it_was_trained_under_covers_what_was_recorded_and_not_what_is_off():
    recording = throws(200, 0)
    assumed = trained_under(recording, SequenceSettings(), DELIVERY, 1)
    guarantee = worst_of_pieces(detection_figures(recording, 2))
    assert compare("perception.detection", guarantee, "estimation.detection", assumed) == []
    moved = recording._replace(seen=recording.seen + 0.05)
    worse = worst_of_pieces(detection_figures(moved, 2))
    broken = compare("perception.detection", worse, "estimation.detection", assumed)
    assert {violation.figure for violation in broken} >= {"bias_m", "rmse_m", "normalized_error_squared"}
    assert set(assumed.seen) == {"x_m", "y_m", "z_m", "sigma_m"}


def test_of_two_perceptions_it_covers_each_alone():
    recording = throws(200, 0)
    half = (np.arange(200) % 2 == 1)[:, None, None]
    mixed = recording._replace(seen=np.where(half, recording.seen + 0.04, recording.seen))
    worse = worst_of_pieces(detection_figures(mixed.part(np.arange(1, 200, 2)), 2))
    assumed = trained_under(mixed, SequenceSettings(), DELIVERY, 2)
    assert compare("perception.detection", worse, "estimation.detection", assumed) == []


def test_disturbances_are_seen_on_frames_only_and_said_in_the_covariance():
    recording = throws(400, 0)
    few = SequenceSettings(lookalike_share=0.5)
    disturbed = disturb(recording, few, DELIVERY, np.random.default_rng(0))
    assert np.isnan(disturbed.seen[:, 1::2]).all()
    away = np.linalg.norm(disturbed.seen - recording.position, axis=2)[:, ::2] > 0.12
    assert 0.2 < away.any(axis=1).mean() < 0.6
    right = ~away & np.isfinite(disturbed.seen[:, ::2, 0])
    error = (disturbed.seen - recording.position)[:, ::2][right]
    assert (error / disturbed.sigma[:, ::2][right]).std() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(("network", "iterations"), [("kalman", 80), ("attention", 30)])
def test_other_approaches_are_trained_by_the_same_words(network, iterations, tmp_path):
    few = SequenceSettings(
        network=network, episodes=100, ticks=TICKS, batch=32, iterations=iterations, noise_m=0.005
    )
    losses = []

    def on_progress(done, total, loss):
        losses.append(loss)
        return True

    cell = train_filter(throws(100, 0), DELIVERY, few, 0, Checkpoints(tmp_path), on_progress)
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 1.0
    metrics = estimation_metrics(cell, throws(50, 1), DELIVERY, 0)
    assert metrics["position_rmse_m"] < 0.08
    assert metrics["unknown_share"] < 0.12


def test_an_approach_that_there_is_not_brings_the_nearest():
    with pytest.raises(TrainingError, match=r"no network 'kalmann'\. Did you mean 'kalman'"):
        SequenceSettings(network="kalmann")
