"""Recipe of a perception: labelled images, a heat map network, a calibration, and what it then guarantees."""

import numpy as np
import torch
from torch.utils.tensorboard import SummaryWriter

from reflexarc.control.contracts import Assumption
from reflexarc.control.errors import TrainingError
from reflexarc.control.modules.network import Network
from reflexarc.control.modules.perception import Detector, camera_pose
from reflexarc.control.quantities import image_quantities
from reflexarc.control.training.dataset import labelled_images, record_detections
from reflexarc.control.training.export import export_network
from reflexarc.control.training.figures import lag, seen_in, worst_of_pieces
from reflexarc.control.training.job import HELD_OUT, Job, Trained, settings_for
from reflexarc.control.training.recording import detection_figures
from reflexarc.control.training.supervised import (
    HeatMapSettings,
    LabelledImages,
    calibrate,
    train_heat_map,
)
from reflexarc.envs.camera import HEIGHT, WIDTH
from reflexarc.envs.registry import task_class

__all__ = ["train_perception"]

_EPISODES = 128
_TICKS = 120
"""What the guarantee is measured on: some 5,000 images of throws."""


def train_perception(job: Job) -> Trained:
    """Labelled images, a heat map network, and a calibration on held-out images."""
    settings = settings_for(job.spec.name, HeatMapSettings(), job.changes)
    pose = camera_pose(job.spec.parameters)
    if job.data and (given := job.data["color"].shape[1:3]) != (HEIGHT, WIDTH):
        raise TrainingError(
            f"{job.spec.name}: the recorded images have {given[0]} x {given[1]} px, those of "
            f"{job.flow.plant.env} {HEIGHT} x {WIDTH}. Record them with the flow's camera."
        )
    intrinsics = task_class(job.flow.plant.env).own_mount.intrinsics
    images = _images(job, "images", settings.images, job.own_seed(settings.draw))
    images = images.part(np.flatnonzero(images.center[:, 2] <= settings.farthest_m))
    if job.data:
        images = LabelledImages(*(np.concatenate([a, job.data[n]]) for n, a in images._asdict().items()))
    with SummaryWriter(str(job.log_dir)) as log:

        def on_batch(done: int, total: int, loss: float) -> bool:
            log.add_scalar("loss", loss, done)
            return job.progress("training", done, total)

        network = train_heat_map(images, settings, intrinsics[0, 0], job.seed, job.checkpoints, on_batch)
    held_out = _images(job, "held-out images", max(settings.images // 4, 64), job.seed + HELD_OUT)
    calibration = calibrate(network, held_out, intrinsics)
    example = {
        "color": torch.zeros(1, *images.color.shape[1:], dtype=torch.uint8),
        "depth": torch.ones(1, *images.depth.shape[1:]),
    }
    files = export_network(network, example, ["heat"])
    constants = {
        "threshold_logit": calibration.threshold_logit,
        "surface_to_center_m": calibration.surface_to_center_m,
        "sigma_coefficients": calibration.sigma_coefficients.tolist(),
        "error_model": calibration.error_model,
        "camera_pose": pose.model_dump(mode="json"),
    }
    recording = record_detections(
        job.flow.plant.env,
        job.camera_change(),
        [Detector(Network(files["model.onnx"], job.spec.name), constants, pose)],
        _EPISODES,
        _TICKS,
        job.seed + HELD_OUT,
        lambda done, total: job.progress("held-out episodes", done, total),
    )
    figures = detection_figures(recording, job.delivery().frame_ticks)
    error = recording.seen - recording.position
    return Trained(
        files=files,
        constants=constants,
        metrics={
            **calibration.metrics,
            "lag_s": lag(*(a.reshape(-1, 3) for a in (error, recording.velocity))),
        },
        guarantees={"detection": worst_of_pieces(figures)},
        assumes={
            "color": Assumption(seen=seen_in([image_quantities(images.color)])),
            "depth": Assumption(seen=seen_in([image_quantities(images.depth)])),
        },
    )


def _images(job: Job, what: str, count: int, seed: int) -> LabelledImages:
    return labelled_images(
        job.flow.plant.env,
        job.camera_change(),
        count,
        seed,
        lambda done, total: job.progress(what, done, total),
    )
