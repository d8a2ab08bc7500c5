from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reflexarc.control.training.recording import Delivery, DetectionRecording, deliver, detection_figures

TICKS = 60
DELIVERY = Delivery(
    delay_s=(0.015, 0.040), loss=0.05, latency_ticks=1, extra_tick=0.2, step_s=0.01, frame_ticks=2
)


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


def test_all_may_be_lost():
    lossy = replace(DELIVERY, loss=1.0)
    assert not deliver(throws(4, 0), lossy, np.random.default_rng(0)).any()


def test_figures_are_of_frames_only():
    recording = throws(20, 0)
    for figures in detection_figures(recording, 2):
        assert figures["unknown_share"] == 0.0
        assert figures["rmse_m"] == pytest.approx(0.01 * np.sqrt(3), rel=0.5)
    assert detection_figures(recording, 1)[0]["unknown_share"] == pytest.approx(0.5)


def test_a_part_is_of_the_same_episodes_throughout():
    recording = throws(6, 0)
    part = recording.part(np.array([4, 1]))
    for whole, chosen in zip(recording, part, strict=True):
        assert np.array_equal(chosen, whole[[4, 1]], equal_nan=True)
