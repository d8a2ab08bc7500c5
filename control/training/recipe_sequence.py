"""Recipe of an estimation: detections that the frozen perception really makes, and a recurrent filter on them."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.tensorboard import SummaryWriter

from reflexarc.control.modules.network import Network
from reflexarc.control.modules.perception import Detector, camera_pose
from reflexarc.control.training.dataset import record_detections
from reflexarc.control.training.export import export_network
from reflexarc.control.training.figures import worst_of_pieces
from reflexarc.control.training.job import HELD_OUT, Job, Trained, settings_for
from reflexarc.control.training.recording import DetectionRecording
from reflexarc.control.training.sequence import (
    SequenceSettings,
    estimate_figures,
    estimation_metrics,
    train_filter,
    trained_under,
)

__all__ = ["train_estimation"]

_LONGEST_AGE_S = 0.2


def train_estimation(job: Job) -> Trained:
    """Recorded detections, replayed with new delays, losses, noise and look-alikes in every batch."""
    settings = settings_for(job.spec.name, SequenceSettings(), job.changes)
    recording = _record(job, "episodes", settings.episodes, settings.ticks, job.own_seed(settings.draw))
    if job.data:
        given = {name: _fitted(array, settings.ticks) for name, array in job.data.items()}
        recording = DetectionRecording(
            *(np.concatenate([array, given[name]]) for name, array in recording._asdict().items())
        )
    with SummaryWriter(str(job.log_dir)) as log:

        def on_iteration(done: int, total: int, loss: float) -> bool:
            log.add_scalar("loss", loss, done)
            return job.progress("training", done, total)

        cell = train_filter(recording, job.delivery(), settings, job.seed, job.checkpoints, on_iteration)
    seed = job.seed + HELD_OUT
    held_out = _record(job, "held-out episodes", max(settings.episodes // 5, 8), settings.ticks, seed)
    example = {"state": torch.zeros(1, cell.state_size), "measurement": torch.zeros(1, 8)}
    return Trained(
        files=export_network(cell, example, ["next_state", "estimate"]),
        constants={"state_size": cell.state_size, "longest_age_s": _LONGEST_AGE_S},
        metrics=estimation_metrics(cell, held_out, job.delivery(), seed),
        guarantees={"odometry": worst_of_pieces(estimate_figures(cell, held_out, job.delivery(), seed))},
        assumes={
            "detection": trained_under(recording, settings, job.delivery(), len(job.needs("perception")))
        },
    )


def _fitted(array: npt.NDArray[Any], ticks: int) -> npt.NDArray[Any]:
    """An array (E, T, ...) with another T: its end is cut off, or it is not valid there."""
    missing = max(0, ticks - array.shape[1])
    return np.pad(array[:, :ticks], [(0, 0), (0, missing), *[(0, 0)] * (array.ndim - 2)])


def _record(job: Job, what: str, episodes: int, ticks: int, seed: int) -> DetectionRecording:
    """Recorded once: rendering takes longer than the training itself. Several perceptions share the episodes."""
    perceptions = job.needs("perception")
    detectors = [
        Detector(Network.of(artifact), artifact.manifest.constants, camera_pose(artifact.manifest.constants))
        for artifact in perceptions
    ]

    def make() -> dict[str, torch.Tensor]:
        recording = record_detections(
            job.flow.plant.env,
            job.camera_change(),
            detectors,
            episodes,
            ticks,
            seed,
            lambda done, total: job.progress(what, done, total),
        )
        return {name: torch.from_numpy(array) for name, array in recording._asdict().items()}

    stored = job.checkpoints.once(what.replace(" ", "-"), make)
    return DetectionRecording(**{name: np.asarray(tensor) for name, tensor in stored.items()})
