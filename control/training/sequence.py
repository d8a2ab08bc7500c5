"""Sequence trainer: recorded detections, as the frozen perception really gave them, to a recurrent filter.

Recorded once per frame, replayed with new delays and losses in every batch, so that a few hundred
episodes stand for many.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reflexarc.control.modules.estimation import measurement_row
from reflexarc.control.training.networks import FilterCell
from reflexarc.control.values import FloatArray

__all__ = [
    "Delivery",
    "DetectionRecording",
    "SequenceSettings",
    "deliver",
    "estimation_metrics",
    "train_filter",
]


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
    """

    delay_s: tuple[float, float]
    loss: float
    latency_ticks: int
    extra_tick: float
    step_s: float


@dataclass(frozen=True, kw_only=True)
class SequenceSettings:
    """How the filter is trained (tuned on the arm's catching task, 3 seeds)."""

    episodes: int = 500
    ticks: int = 120
    hidden: int = 64
    batch: int = 128
    iterations: int = 400
    learning_rate: float = 4e-3


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


def train_filter(
    recording: DetectionRecording,
    delivery: Delivery,
    settings: SequenceSettings,
    seed: int,
    on_progress: Callable[[int, int, float], None],
) -> FilterCell:
    """Train a filter by the likelihood of the truth under its estimate.

    Args:
        recording: Training episodes.
        delivery: How detections come.
        settings: Sizes and steps.
        seed: Decides everything random.
        on_progress: Called with (iterations done, iterations in all, loss).
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    cell = FilterCell(delivery.step_s, settings.hidden)
    optimizer = torch.optim.Adam(cell.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.iterations)
    episodes = len(recording.seen)
    for iteration in range(settings.iterations):
        chosen = rng.choice(episodes, min(settings.batch, episodes), replace=False)
        part = recording.part(chosen)
        loss = _loss(cell, part, deliver(part, delivery, rng))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(cell.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        on_progress(iteration + 1, settings.iterations, float(loss.detach()))
    return cell


def run_filter(cell: FilterCell, rows: npt.NDArray[np.float32]) -> Tensor:
    """Estimates for measurement rows (E, T, 8): shape (E, T, 13)."""
    measurement = torch.from_numpy(rows)
    state = torch.zeros(len(rows), cell.state_size)
    estimates = []
    for tick in range(rows.shape[1]):
        state, estimate = cell(state, measurement[:, tick])
        estimates.append(estimate)
    return torch.stack(estimates, dim=1)


def _loss(cell: FilterCell, part: DetectionRecording, rows: npt.NDArray[np.float32]) -> Tensor:
    estimate = run_filter(cell, rows)
    truth = torch.from_numpy(np.concatenate([part.position, part.velocity], axis=2)).float()
    weight = torch.from_numpy(part.is_valid).float() * estimate[..., 0].detach()
    error = estimate[..., 1:7] - truth
    sigma = estimate[..., 7:13]
    likelihood = 0.5 * (error / sigma).square().clamp(max=50.0) + torch.log(sigma)
    # The likelihood alone is content with large errors that it foresees; the policy is not.
    scale = torch.tensor([0.03, 0.03, 0.03, 0.3, 0.3, 0.3])
    size = torch.nn.functional.smooth_l1_loss(error / scale, torch.zeros_like(error), reduction="none")
    return ((0.3 * likelihood + size).sum(dim=-1) * weight).sum() / weight.sum().clamp(min=1.0)


def estimation_metrics(
    cell: FilterCell, recording: DetectionRecording, delivery: Delivery, seed: int
) -> dict[str, float]:
    """The guarantee of a filter, on episodes that it never saw.

    Returns:
        Bias, root mean square and 99th percentile of the position error (m), root mean square of the
        velocity error (m/s), mean squared normalised error per axis (1 for a consistent filter), and the
        share of ticks without an estimate.
    """
    rows = deliver(recording, delivery, np.random.default_rng(seed))
    with torch.no_grad():
        estimate = run_filter(cell, rows).numpy().astype(np.float64)
    known = recording.is_valid & (estimate[..., 0] > 0.5)
    error = (estimate[..., 1:4] - recording.position)[known]
    velocity_error = (estimate[..., 4:7] - recording.velocity)[known]
    distance = np.linalg.norm(error, axis=1)
    return {
        "position_bias_m": float(np.linalg.norm(error.mean(axis=0))),
        "position_rmse_m": float(np.sqrt((distance**2).mean())),
        "position_p99_m": float(np.percentile(distance, 99)),
        "velocity_rmse_m_s": float(np.sqrt((velocity_error**2).sum(axis=1).mean())),
        "normalized_error_squared": float(((error / estimate[..., 7:10][known]) ** 2).mean()),
        "unknown_share": float(1.0 - known.sum() / recording.is_valid.sum()),
    }
