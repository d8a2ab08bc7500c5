"""Recording: episodes as a frozen perception saw them, and how its detections come to an estimator."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from reflexarc.control.modules.estimation import measurement_row
from reflexarc.control.training.figures import WRONG_M, position_figures
from reflexarc.control.values import FloatArray

__all__ = ["Delivery", "DetectionRecording", "deliver", "detection_figures"]


class DetectionRecording(NamedTuple):
    """E episodes of T ticks, as a frozen perception saw them.

    Attributes:
        seen: Detected position at the tick of the frame's capture, m; NaN where there was no frame or
            nothing was seen. Shape (E, T, 3).
        sigma: Its standard deviations, m. Shape (E, T, 3).
        position: The true position, m. Shape (E, T, 3).
        velocity: The true velocity, m/s. Shape (E, T, 3).
        is_valid: Whether the episode still runs. Shape (E, T).
    """

    seen: FloatArray
    sigma: FloatArray
    position: FloatArray
    velocity: FloatArray
    is_valid: npt.NDArray[np.bool_]

    def part(self, index: npt.NDArray[np.int64]) -> "DetectionRecording":
        """The episodes of an index."""
        return DetectionRecording(
            self.seen[index],
            self.sigma[index],
            self.position[index],
            self.velocity[index],
            self.is_valid[index],
        )


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """How a frame gets from the shutter to the estimator.

    Args:
        delay_s: Least and greatest delay of the camera's driver.
        loss: Share of frames that never come.
        latency_ticks: Ticks that perception takes.
        extra_tick: Share of detections that take one tick more, as on a loaded machine.
        step_s: Length of a tick.
        frame_ticks: Ticks from frame to frame.
    """

    delay_s: tuple[float, float]
    loss: float
    latency_ticks: int
    extra_tick: float
    step_s: float
    frame_ticks: int


def deliver(
    recording: DetectionRecording, delivery: Delivery, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """What the estimator would have read at each tick, with delays and losses drawn anew.

    Returns:
        Measurement rows (see `measurement_row`). Shape (E, T, 8).
    """
    episodes, ticks, _ = recording.seen.shape
    rows = np.zeros((episodes, ticks, 8), dtype=np.float32)
    last = np.zeros(episodes, dtype=np.int64)
    for tick in range(ticks):
        delay_s = rng.uniform(*delivery.delay_s, size=episodes)
        extra = rng.random(episodes) < delivery.extra_tick
        kept = rng.random(episodes) >= delivery.loss
        late = np.ceil(delay_s / delivery.step_s).astype(np.int64) + delivery.latency_ticks + extra
        arrival = np.maximum(tick + late, last)  # frames of one camera do not overtake each other
        here = kept & np.isfinite(recording.seen[:, tick, 0]) & (arrival < ticks)
        last = np.where(here, arrival, last)
        if here.any():
            age = (arrival - tick) * delivery.step_s
            row = measurement_row(recording.seen[:, tick], recording.sigma[:, tick], age)
            rows[here, arrival[here]] = row[here]
    return rows


def detection_figures(recording: DetectionRecording, frame_ticks: int) -> list[dict[str, float]]:
    """How well detections fit the truth, see `position_figures`."""
    is_frame = np.arange(recording.seen.shape[1]) % frame_ticks == 0
    return [
        figures
        for seen, sigma, position, _, is_valid in zip(*recording, strict=True)
        for figures in position_figures(seen - position, sigma, is_valid & is_frame, WRONG_M)
    ]
