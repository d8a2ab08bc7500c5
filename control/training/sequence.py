"""Sequence trainer: recorded detections, as the frozen perception really gave them, to a recurrent filter.

Recorded once per frame, replayed with new delays and losses in every batch, so that a few hundred
episodes stand for many.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from reflexarc.control.contracts import Assumption
from reflexarc.control.errors import TrainingError, did_you_mean
from reflexarc.control.quantities import position_quantities
from reflexarc.control.training.checkpoints import Checkpoints, segment_seed
from reflexarc.control.training.figures import envelope, lag, position_figures, seen_in, widest
from reflexarc.control.training.network_attention import AttentionCell
from reflexarc.control.training.network_kalman import KalmanCell
from reflexarc.control.training.networks import FilterCell
from reflexarc.control.training.recording import (
    Delivery,
    DetectionRecording,
    deliver,
    detection_figures,
)
from reflexarc.control.values import FloatArray

__all__ = [
    "SequenceSettings",
    "disturb",
    "estimate_figures",
    "estimation_metrics",
    "train_filter",
    "trained_under",
]

_SEGMENT = 50
"""Iterations between two checkpoints, some 20 s."""

_LONGEST_RUN = 50
"""Ticks that a look-alike may be taken for the ball: as long as the ball is hidden at most."""

_LOOKALIKE_AWAY_M = (0.1, 1.5)
_LOOKALIKE_SIGMA_M = 0.015
_LOOKALIKE_SPEED = 0.3
"""m/s, standard deviation per axis: what is taken for the ball may be a part of the arm."""


@dataclass(frozen=True, kw_only=True)
class SequenceSettings:
    """How the filter is trained.

    Args:
        network: Which approach: `filter`, a recurrent network with the form of a filter; `kalman`, a Kalman filter
            whose noise is learned; `attention`, which looks at the last half second at once.
        draw: Which of the possible sets of episodes, counted from 1: approaches that are to err apart learn from sets
            of their own.
        episodes: Recorded with the frozen perception; of several each sees as many of them.
        ticks: Length of one at most.
        hidden: Size of the recurrent state of `filter`.
        batch: Episodes per iteration.
        iterations: Steps of the optimizer.
        learning_rate: Its greatest.
        lookalike_share: Share of episodes in which something else is taken for the ball for a while. A frozen
            perception does that too seldom to learn from, and not doubting it loses the ball.
        noise_m: Up to so much noise is added per axis, drawn per episode, and said in the covariance: a worse
            perception is still covered.
    """

    network: str = "filter"
    draw: int = 1
    episodes: int = 500
    ticks: int = 120
    hidden: int = 64
    batch: int = 128
    iterations: int = 400
    learning_rate: float = 4e-3
    lookalike_share: float = 0.3
    noise_m: float = 0.02

    def __post_init__(self) -> None:
        """Refuse a network that there is not, before anything is recorded for it.

        Raises:
            TrainingError: There is none of this name.
        """
        if self.network not in _CELLS:
            hint = did_you_mean(self.network, _CELLS)
            raise TrainingError(f"estimation: there is no network '{self.network}'. {hint}")


Cell = FilterCell | KalmanCell | AttentionCell
"""One step of an estimator; all have the same inputs and outputs."""

_CELLS: Mapping[str, Callable[[Delivery, SequenceSettings], Cell]] = {
    "filter": lambda delivery, settings: FilterCell(delivery.step_s, settings.hidden),
    "kalman": lambda delivery, settings: KalmanCell(delivery.step_s),
    "attention": lambda delivery, settings: AttentionCell(delivery.step_s),
}


def disturb(
    recording: DetectionRecording, settings: SequenceSettings, delivery: Delivery, rng: np.random.Generator
) -> DetectionRecording:
    """A recording with the noise and the look-alikes that a filter is to bear."""
    episodes, ticks, _ = recording.seen.shape
    noise = rng.uniform(0.0, settings.noise_m, (episodes, 1, 1))
    seen = recording.seen + noise * rng.standard_normal(recording.seen.shape)
    sigma = np.sqrt(recording.sigma**2 + noise**2)

    # Somewhere off the ball, something moves slowly and is seen in its place, from frame to frame.
    begin = rng.integers(0, ticks, (episodes, 1))
    length = np.exp(rng.uniform(0.0, np.log(_LONGEST_RUN), episodes))
    direction = rng.standard_normal((episodes, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    near, far = np.log(_LOOKALIKE_AWAY_M)
    away = np.exp(rng.uniform(near, far, (episodes, 1)))
    place = recording.position[np.arange(episodes), begin[:, 0]] + away * direction
    tick = np.arange(ticks)
    since = tick - begin
    taken = (since >= 0) & (since < length[:, None]) & (tick % delivery.frame_ticks == 0)
    taken &= rng.random((episodes, 1)) < settings.lookalike_share
    drift = _LOOKALIKE_SPEED * delivery.step_s * rng.standard_normal((episodes, 1, 3)) * since[..., None]
    jitter = 0.3 * _LOOKALIKE_SIGMA_M * rng.standard_normal(seen.shape)
    return recording._replace(
        seen=np.where(taken[..., None], place[:, None] + drift + jitter, seen),
        sigma=np.where(taken[..., None], _LOOKALIKE_SIGMA_M, sigma),
    )


def train_filter(
    recording: DetectionRecording,
    delivery: Delivery,
    settings: SequenceSettings,
    seed: int,
    checkpoints: Checkpoints,
    on_progress: Callable[[int, int, float], bool],
) -> Cell:
    """Train a filter by the likelihood of the truth under its estimate.

    Args:
        recording: Training episodes.
        delivery: How detections come.
        settings: Sizes and steps.
        seed: Decides everything random.
        checkpoints: Where it goes on after an interruption.
        on_progress: Called with (iterations done, iterations in all, loss); its False ends the training.
    """
    torch.manual_seed(seed)
    cell = _CELLS[settings.network](delivery, settings)
    optimizer = torch.optim.Adam(cell.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, settings.iterations)
    episodes = len(recording.seen)
    first = 0
    if (state := checkpoints.load("filter")) is not None:
        cell.load_state_dict(state["cell"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = state["iterations"]
    for iteration in range(first, settings.iterations):
        if iteration % _SEGMENT == 0:
            rng = np.random.default_rng(segment_seed(seed, iteration))
            checkpoints.save(
                "filter",
                {
                    "cell": cell.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "iterations": iteration,
                },
            )
        chosen = rng.choice(episodes, min(settings.batch, episodes), replace=False)
        part = disturb(recording.part(chosen), settings, delivery, rng)
        loss = _loss(cell, part, deliver(part, delivery, rng))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(cell.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if not on_progress(iteration + 1, settings.iterations, float(loss.detach())):
            break
    return cell


def run_filter(cell: Cell, rows: npt.NDArray[np.float32]) -> Tensor:
    """Estimates for measurement rows (E, T, 8): shape (E, T, 13)."""
    measurement = torch.from_numpy(rows)
    state = torch.zeros(len(rows), cell.state_size)
    estimates = []
    for tick in range(rows.shape[1]):
        state, estimate = cell(state, measurement[:, tick])
        estimates.append(estimate)
    return torch.stack(estimates, dim=1)


def _loss(cell: Cell, part: DetectionRecording, rows: npt.NDArray[np.float32]) -> Tensor:
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


def trained_under(
    recording: DetectionRecording, settings: SequenceSettings, delivery: Delivery, perceptions: int
) -> Assumption:
    """What a filter that was trained on a recording assumes of its detections.

    Args:
        recording: Training episodes.
        settings: As in training.
        delivery: How detections come.
        perceptions: How many took turns in the recording.
    """
    disturbed = disturb(recording, settings, delivery, np.random.default_rng(0))
    due = recording.is_valid
    seen, sigma = disturbed.seen[due], disturbed.sigma[due]
    # It was trained on each perception, as it is and disturbed, so a figure may be as bad as it is in any of these.
    turns = [np.arange(which, len(recording.seen), perceptions) for which in range(perceptions)]
    return Assumption(
        bounds=widest(
            envelope(detection_figures(part.part(turn), delivery.frame_ticks))
            for part in (recording, disturbed)
            for turn in turns
        ),
        seen=seen_in([position_quantities(seen, sigma)]),
    )


def estimate_figures(
    cell: Cell, recording: DetectionRecording, delivery: Delivery, seed: int
) -> list[dict[str, float]]:
    """How well a filter knows the ball once it has seen it, with detections as they come."""
    estimate, known = _estimates(cell, recording, delivery, seed)
    error = np.where(known[..., None], estimate[..., 1:4] - recording.position, np.nan)
    since_known = recording.is_valid & (np.cumsum(known, axis=1) > 0)
    rows = zip(error, estimate[..., 7:10], since_known, strict=True)
    return [figures for row in rows for figures in position_figures(*row)]


def estimation_metrics(
    cell: Cell, recording: DetectionRecording, delivery: Delivery, seed: int
) -> dict[str, float]:
    """How a filter does over all episodes that it never saw.

    Returns:
        Bias, root mean square and 99th percentile of the position error (m), root mean square of the
        velocity error (m/s), the lag (s), mean squared normalised error per axis (1 for a consistent filter),
        and the share of ticks without an estimate.
    """
    estimate, known = _estimates(cell, recording, delivery, seed)
    error = (estimate[..., 1:4] - recording.position)[known]
    velocity_error = (estimate[..., 4:7] - recording.velocity)[known]
    distance = np.linalg.norm(error, axis=1)
    return {
        "position_bias_m": float(np.linalg.norm(error.mean(axis=0))),
        "position_rmse_m": float(np.sqrt((distance**2).mean())),
        "position_p99_m": float(np.percentile(distance, 99)),
        "velocity_rmse_m_s": float(np.sqrt((velocity_error**2).sum(axis=1).mean())),
        "lag_s": lag(error, recording.velocity[known]),
        "normalized_error_squared": float(((error / estimate[..., 7:10][known]) ** 2).mean()),
        "unknown_share": float(1.0 - known.sum() / recording.is_valid.sum()),
    }


def _estimates(
    cell: Cell, recording: DetectionRecording, delivery: Delivery, seed: int
) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
    rows = deliver(recording, delivery, np.random.default_rng(seed))
    with torch.no_grad():
        estimate = run_filter(cell, rows).numpy().astype(np.float64)
    return estimate, recording.is_valid & (estimate[..., 0] > 0.5)
