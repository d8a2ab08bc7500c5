"""Supervised trainer: labelled images to a heat map network, and the figures by which its detections are read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from reflexarc.control.errors import TrainingError, did_you_mean
from reflexarc.control.modules.perception import Blobs, locate, measurement_sigma, read_blobs, sigma_features
from reflexarc.control.training.checkpoints import Checkpoints, segment_seed
from reflexarc.control.training.figures import WRONG_M
from reflexarc.control.training.network_classical import ClassicalHeatMap
from reflexarc.control.training.networks import HeatMapNetwork
from reflexarc.control.values import FloatArray

__all__ = ["Calibration", "HeatMapSettings", "LabelledImages", "calibrate", "heat_maps", "train_heat_map"]

_FEWEST_RIGHT = 30
"""Held-out images with a right detection that a fit of four coefficients needs at least."""


class LabelledImages(NamedTuple):
    """N images with what is true in them.

    Attributes:
        color: Shape (N, H, W, 3), uint8.
        depth: Shape (N, H, W), float32, m.
        mask: Whether a pixel shows the ball. Shape (N, H, W), bool.
        center: The ball's centre in the optical frame, m. Shape (N, 3).
    """

    color: npt.NDArray[np.uint8]
    depth: npt.NDArray[np.float32]
    mask: npt.NDArray[np.bool_]
    center: FloatArray

    def part(self, index: npt.NDArray[np.int64] | slice) -> "LabelledImages":
        """The images of an index."""
        return LabelledImages(self.color[index], self.depth[index], self.mask[index], self.center[index])


@dataclass(frozen=True, kw_only=True)
class HeatMapSettings:
    """How the heat map network is trained (tuned on the arm's catching task).

    Args:
        network: Which approach: `color_depth`, `color` or `depth`, convolutions that look at those; `classical`,
            orange things of the right size.
        draw: Which of the possible sets of images, counted from 1: approaches that are to err apart learn from sets
            of their own.
        images: How many.
        epochs: How often each is seen.
        batch: Images per step.
        learning_rate: Its greatest.
        positive_weight: How many times more a pixel of the ball counts.
        ball_radius_m: Of what `classical` looks for.
        farthest_m: Images with the ball farther than this are left out, to see what an approach makes of what it has
            never seen.
    """

    network: str = "color_depth"
    draw: int = 1
    images: int = 7000
    epochs: int = 5
    batch: int = 32
    learning_rate: float = 3e-3
    positive_weight: float = 20.0
    ball_radius_m: float = 0.035
    farthest_m: float = 100.0

    def __post_init__(self) -> None:
        """Refuse a network that there is not, before anything is drawn for it.

        Raises:
            TrainingError: There is none of this name.
        """
        if self.network not in _NETWORKS:
            hint = did_you_mean(self.network, _NETWORKS)
            raise TrainingError(f"perception: there is no network '{self.network}'. {hint}")


HeatMap = HeatMapNetwork | ClassicalHeatMap
"""Colour and depth to logits; all have the same inputs and outputs."""

_NETWORKS: Mapping[str, Callable[[HeatMapSettings, float], HeatMap]] = {
    "color_depth": lambda settings, focal_px: HeatMapNetwork("color_depth"),
    "color": lambda settings, focal_px: HeatMapNetwork("color"),
    "depth": lambda settings, focal_px: HeatMapNetwork("depth"),
    "classical": lambda settings, focal_px: ClassicalHeatMap(focal_px, settings.ball_radius_m),
}


class Calibration(NamedTuple):
    """What held-out images say of a network.

    Attributes:
        threshold_logit: Peaks below are 'not seen'.
        surface_to_center_m: See `modules.perception.locate`.
        sigma_coefficients: See `modules.perception.measurement_sigma`. Shape (2, 4).
        error_model: How detections err, by depth, for trainings that need no images: see `upstream`.
        metrics: The guarantee.
    """

    threshold_logit: float
    surface_to_center_m: float
    sigma_coefficients: FloatArray
    error_model: dict[str, Any]
    metrics: dict[str, float]


def train_heat_map(
    images: LabelledImages,
    settings: HeatMapSettings,
    focal_px: float,
    seed: int,
    checkpoints: Checkpoints,
    on_progress: Callable[[int, int, float], bool],
) -> HeatMap:
    """Train the network by binary cross-entropy, the few pixels of the ball weighted up.

    An epoch is a segment.

    Args:
        images: Training images.
        settings: Sizes and steps.
        focal_px: Focal length of the camera.
        seed: Decides everything random.
        checkpoints: Where it goes on after an interruption.
        on_progress: Called with (batches done, batches in all, loss); its False ends the training.
    """
    torch.manual_seed(seed)
    network = _NETWORKS[settings.network](settings, focal_px)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    count = len(images.color)
    per_epoch = count // settings.batch
    total = per_epoch * settings.epochs
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total)
    weight = torch.tensor(settings.positive_weight)
    first = 0
    if (state := checkpoints.load("network")) is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        schedule.load_state_dict(state["schedule"])
        first = state["epochs"]
    for epoch in range(first, settings.epochs):
        done = epoch * per_epoch
        rng = np.random.default_rng(segment_seed(seed, epoch))
        order = rng.permutation(count)[: per_epoch * settings.batch].reshape(per_epoch, settings.batch)
        for index in order:
            batch = images.part(index)
            logits = network(torch.from_numpy(batch.color), torch.from_numpy(batch.depth))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                logits, torch.from_numpy(batch.mask).float(), pos_weight=weight
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            done += 1
            if not on_progress(done, total, float(loss.detach())):
                return network
        checkpoints.save(
            "network",
            {
                "network": network.state_dict(),
                "optimizer": optimizer.state_dict(),
                "schedule": schedule.state_dict(),
                "epochs": epoch + 1,
            },
        )
    return network


def heat_maps(network: HeatMap, images: LabelledImages) -> npt.NDArray[np.float32]:
    """Logits for N images, in batches."""
    network.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(images.color), 256):
            part = images.part(slice(start, start + 256))
            parts.append(network(torch.from_numpy(part.color), torch.from_numpy(part.depth)).numpy())
    return np.concatenate(parts)


def calibrate(network: HeatMap, images: LabelledImages, intrinsics: FloatArray) -> Calibration:
    """Read off held-out images where to put the threshold, and how well detections can be believed."""
    blobs = read_blobs(heat_maps(network, images), images.depth)
    is_visible: npt.NDArray[np.bool_] = np.asarray(images.mask.any(axis=(1, 2)))
    surface_to_center_m = _surface_to_center(blobs, images, is_visible)
    located = locate(blobs, intrinsics, surface_to_center_m)
    error = located - images.center
    with np.errstate(invalid="ignore"):
        is_right = (np.linalg.norm(error, axis=1) < WRONG_M) & (blobs.pixels > 0) & is_visible
    _require_enough(is_right, is_visible)
    threshold = _threshold(blobs, is_right)
    seen = (blobs.score >= threshold) & (blobs.pixels > 0)
    right = seen & is_right
    ray = located[right] / np.linalg.norm(located[right], axis=1, keepdims=True)
    along = (error[right] * ray).sum(axis=1)
    across = np.linalg.norm(error[right] - along[:, None] * ray, axis=1) / np.sqrt(2)
    right_blobs = Blobs(*(field[right] for field in blobs))
    sigma = np.stack([_fit_log_sigma(right_blobs, across), _fit_log_sigma(right_blobs, along)])
    distance = np.linalg.norm(error[right], axis=1)
    metrics = {
        "position_median_m": float(np.median(distance)),
        "position_p95_m": float(np.percentile(distance, 95)),
        "position_p99_m": float(np.percentile(distance, 99)),
        "position_bias_m": float(np.linalg.norm(error[right].mean(axis=0))),
        "missed_share": float((is_visible & ~seen).sum() / max(is_visible.sum(), 1)),
        "wrong_share": float((seen & ~is_right).sum() / max(seen.sum(), 1)),
        "visible_share": float(is_visible.mean()),
        "normalized_error_squared": _normalized(right_blobs, sigma, across, along),
    }
    model = _error_model(images.center[:, 2], is_visible, seen, right, across, along)
    return Calibration(threshold, surface_to_center_m, sigma, model, metrics)


def _surface_to_center(blobs: Blobs, images: LabelledImages, is_visible: npt.NDArray[np.bool_]) -> float:
    usable = is_visible & (blobs.pixels > 0)
    gap = images.center[usable, 2] - blobs.depth[usable]
    _require_enough(np.abs(gap) < WRONG_M, is_visible)
    return float(np.median(gap[np.abs(gap) < WRONG_M]))


def _require_enough(is_right: npt.NDArray[np.bool_], is_visible: npt.NDArray[np.bool_]) -> None:
    if is_right.sum() < _FEWEST_RIGHT:
        raise TrainingError(
            f"perception: finds the ball in {is_right.sum()} of {is_visible.sum()} held-out images, too few to "
            "measure its errors. Train it longer, say with --set perception.images=8000 --set perception.epochs=6"
        )


def _threshold(blobs: Blobs, is_right: npt.NDArray[np.bool_]) -> float:
    """The threshold with the least cost, the middle one of several; a wrong detection costs three missed ones."""
    grid = np.arange(-2.0, 6.0, 0.25)
    cost = [
        (is_right & (blobs.score < t)).sum() + 3 * (~is_right & (blobs.score >= t) & (blobs.pixels > 0)).sum()
        for t in grid
    ]
    best = np.flatnonzero(np.array(cost) == min(cost))
    return float(grid[best[len(best) // 2]])


def _fit_log_sigma(blobs: Blobs, residual: FloatArray) -> FloatArray:
    """Harvey's regression of the log of the squared residual, then scaled so that the mean square is one."""
    features = sigma_features(blobs)
    target = np.log(np.maximum(np.abs(residual), 1e-5))
    coefficients: FloatArray = np.linalg.lstsq(features, target, rcond=None)[0].astype(np.float64)
    normalized = residual / np.exp(features @ coefficients)
    coefficients[0] += 0.5 * np.log(np.mean(np.minimum(normalized**2, np.percentile(normalized**2, 99))))
    return coefficients


def _normalized(blobs: Blobs, sigma: FloatArray, across: FloatArray, along: FloatArray) -> float:
    predicted = measurement_sigma(blobs, sigma)
    return float(2 * np.mean((across / predicted[:, 0]) ** 2) + np.mean((along / predicted[:, 1]) ** 2)) / 3


def _error_model(
    depth: FloatArray,
    is_visible: npt.NDArray[np.bool_],
    seen: npt.NDArray[np.bool_],
    right: npt.NDArray[np.bool_],
    across: FloatArray,
    along: FloatArray,
) -> dict[str, Any]:
    """How detections err, as log-linear functions of depth, and how often they are missing or wrong."""
    log_depth = np.log(np.maximum(depth[right], 0.1))
    design = np.stack([np.ones_like(log_depth), log_depth], axis=1)

    def fit(residual: FloatArray) -> list[float]:
        line = np.linalg.lstsq(design, np.log(np.maximum(np.abs(residual), 1e-5)), rcond=None)[0]
        normalized = residual / np.exp(design @ line)
        line[0] += 0.5 * np.log(np.mean(np.minimum(normalized**2, np.percentile(normalized**2, 99))))
        return [float(x) for x in line]

    edges = np.array([0.0, 0.8, 1.2, 1.6, 2.0, 2.4, 20.0])
    bins = np.digitize(depth, edges[1:-1])
    missed = [
        float((is_visible & ~seen & (bins == b)).sum() / max((is_visible & (bins == b)).sum(), 1))
        for b in range(len(edges) - 1)
    ]
    return {
        "across": fit(across),
        "along": fit(along),
        "missed_depth_edges_m": [float(e) for e in edges[1:-1]],
        "missed_share": missed,
        "wrong_share": float((seen & ~right).sum() / max(seen.sum(), 1)),
    }
