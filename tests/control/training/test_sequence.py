import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from reflexarc.control.training.sequence import (
    Delivery,
    DetectionRecording,
    SequenceSettings,
    deliver,
    estimation_metrics,
    train_filter,
)

TICKS = 60
DELIVERY = Delivery(delay_s=(0.015, 0.040), loss=0.05, latency_ticks=1, extra_tick=0.2, step_s=0.01)


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


@settings(max_examples=20)
@given(st.integers(0, 10**6))
def test_detections_come_late_in_order_and_some_never(seed):
    recording = throws(40, 0)
    rows = deliver(recording, DELIVERY, np.random.default_rng(seed))
    has = rows[..., 0] == 1
    assert not has[:, :3].any()  # 15 ms of camera and a tick of perception
    for index in range(40):
        ticks = np.flatnonzero(has[index])
        exposed = ticks - np.rint(rows[index, ticks, 1] / 0.01).astype(int)
        assert (np.diff(exposed) > 0).all()
        assert (exposed % 2 == 0).all()
        assert (ticks - exposed >= 3).all()
        assert (ticks - exposed <= 6).all()
        assert np.array_equal(rows[index, ticks, 2:5], recording.seen[index, exposed].astype(np.float32))
    assert 0.80 < has.sum() / (40 * (TICKS - 5) / 2) < 1.0


@pytest.fixture(scope="module")
def cell():
    torch.set_num_threads(1)
    chosen = SequenceSettings(episodes=200, ticks=TICKS, hidden=24, batch=64, iterations=60)
    return train_filter(throws(200, 0), DELIVERY, chosen, 0, lambda *_: None)


def test_a_filter_learns_to_fly_along(cell):
    metrics = estimation_metrics(cell, throws(50, 1), DELIVERY, 0)
    raw_delay_error = 0.04 * 3.0  # what the last detection alone would be off by at 3 m/s
    assert metrics["position_rmse_m"] < 0.5 * raw_delay_error
    assert metrics["velocity_rmse_m_s"] < 1.0
    assert metrics["unknown_share"] < 0.12


def test_the_same_seed_gives_the_same_filter(cell):
    chosen = SequenceSettings(episodes=200, ticks=TICKS, hidden=24, batch=64, iterations=60)
    again = train_filter(throws(200, 0), DELIVERY, chosen, 0, lambda *_: None)
    for one, other in zip(cell.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
