"""Recipes: how each trainer turns an environment and frozen upstream artifacts into an artifact.

One function per trainer. What they share is `Job`: everything that decides the result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from pydantic import ValidationError
from torch.utils.tensorboard import SummaryWriter

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import TrainingError, did_you_mean
from reflexarc.control.flow import Flow, ModuleSpec
from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.control.modules.perception import Detector, camera_pose
from reflexarc.control.training.dataset import labelled_images, record_detections
from reflexarc.control.training.export import export_network
from reflexarc.control.training.reinforcement import PolicySettings, actor, train_policy
from reflexarc.control.training.sequence import (
    Delivery,
    SequenceSettings,
    estimation_metrics,
    train_filter,
)
from reflexarc.control.training.supervised import HeatMapSettings, calibrate, train_heat_map
from reflexarc.control.training.upstream import FrozenEstimator
from reflexarc.envs.batched import BatchedEnv
from reflexarc.envs.registry import task_class
from reflexarc.envs.robot import VELOCITY_LIMIT
from reflexarc.envs.sensors import FRAMES
from reflexarc.envs.task import OBSERVATION_LAYOUT

__all__ = ["RECIPES", "Job", "Trained", "settings_for"]

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""

Settings = TypeVar("Settings", HeatMapSettings, SequenceSettings, PolicySettings)

_HELD_OUT = 500_000_000
"""Added to a training's seed for what it is measured on. Evaluation episodes have seeds from 10^9 on."""

_LONGEST_AGE_S = 0.2
_EXTRA_TICK = 0.2
"""Share of detections that are taken to need one more tick, so that a loaded machine is no surprise."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One training.

    Args:
        flow: The flow that the module is for.
        spec: Its place there.
        upstream: Frozen artifacts of what it needs.
        seed: Decides everything random.
        changes: Settings that differ from the trainer's defaults.
        log_dir: Folder for TensorBoard.
        progress: Told how far it is.
    """

    flow: Flow
    spec: ModuleSpec
    upstream: Mapping[str, Artifact]
    seed: int
    changes: Mapping[str, Any]
    log_dir: Path
    progress: Progress

    def need(self, kind: str) -> Artifact:
        """The one upstream artifact of a kind.

        Raises:
            TrainingError: The training does not name one.
        """
        found = [artifact for artifact in self.upstream.values() if artifact.manifest.kind == kind]
        if len(found) != 1:
            raise TrainingError(
                f"{self.spec.name}: its training needs one module of kind '{kind}', and names {len(found)}. "
                f"Add it to training.needs in the flow file of {self.flow.name}."
            )
        return found[0]

    def camera(self) -> Any:
        """Where the flow's perception takes the camera to be."""
        specs = [spec for spec in self.flow.modules.values() if spec.kind == "perception"]
        if not specs:
            raise TrainingError(f"{self.spec.name}: flow {self.flow.name} has no perception to train behind.")
        return camera_pose(specs[0].parameters)

    def delivery(self) -> Delivery:
        """How detections come to the estimator in this flow."""
        latency = [
            self.flow.latency_ticks(name)
            for name, spec in self.flow.modules.items()
            if spec.kind == "perception"
        ]
        return Delivery(
            delay_s=FRAMES.delay_s,
            loss=FRAMES.loss,
            latency_ticks=latency[0] if latency else 0,
            extra_tick=_EXTRA_TICK,
            step_s=self.flow.tick_ns * 1e-9,
        )


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a recipe gives back: files, constants for the module, and metrics on held-out seeds."""

    files: Mapping[str, bytes]
    constants: Mapping[str, Any]
    metrics: Mapping[str, float]


def settings_for(module: str, defaults: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with some changed.

    Raises:
        TrainingError: A name is unknown or a value of the wrong type.
    """
    known = {field.name: type(getattr(defaults, field.name)) for field in fields(defaults)}
    for name, value in changes.items():
        if name not in known:
            raise TrainingError(f"{module}: training has no setting '{name}'. {did_you_mean(name, known)}")
        if not isinstance(value, known[name]) and not (known[name] is float and isinstance(value, int)):
            raise TrainingError(f"{module}: setting '{name}' is {value!r}, expected {known[name].__name__}.")
        if value <= 0 and name != "log_std":
            raise TrainingError(f"{module}: setting '{name}' is {value!r}; it has to be positive.")
    return replace(defaults, **changes)


def train_perception(job: Job) -> Trained:
    """Labelled images, a heat map network, and a calibration on held-out images."""
    settings = settings_for(job.spec.name, HeatMapSettings(), job.changes)
    task_id = job.flow.plant.env
    images = labelled_images(
        task_id, settings.images, job.seed, lambda done, total: job.progress("images", done, total)
    )
    with SummaryWriter(str(job.log_dir)) as log:

        def on_batch(done: int, total: int, loss: float) -> None:
            log.add_scalar("loss", loss, done)
            job.progress("training", done, total)

        network = train_heat_map(images, settings, job.seed, on_batch)
    held_out = labelled_images(
        task_id,
        max(settings.images // 4, 64),
        job.seed + _HELD_OUT,
        lambda done, total: job.progress("held-out images", done, total),
    )
    calibration = calibrate(network, held_out, task_class(task_id).mount.intrinsics)
    example = {
        "color": torch.zeros(1, *images.color.shape[1:], dtype=torch.uint8),
        "depth": torch.ones(1, *images.depth.shape[1:]),
    }
    return Trained(
        files=export_network(network, example, ["heat"]),
        constants={
            "threshold_logit": calibration.threshold_logit,
            "surface_to_center_m": calibration.surface_to_center_m,
            "sigma_coefficients": calibration.sigma_coefficients.tolist(),
            "error_model": calibration.error_model,
        },
        metrics=calibration.metrics,
    )


def train_estimation(job: Job) -> Trained:
    """Detections that the frozen perception really makes, and a recurrent filter on them."""
    settings = settings_for(job.spec.name, SequenceSettings(), job.changes)
    detector = Detector(job.need("perception"), job.camera())

    def record(what: str, episodes: int, seed: int) -> Any:
        return record_detections(
            job.flow.plant.env,
            detector,
            episodes,
            settings.ticks,
            seed,
            lambda done, total: job.progress(what, done, total),
        )

    recording = record("episodes", settings.episodes, job.seed)
    with SummaryWriter(str(job.log_dir)) as log:

        def on_iteration(done: int, total: int, loss: float) -> None:
            log.add_scalar("loss", loss, done)
            job.progress("training", done, total)

        cell = train_filter(recording, job.delivery(), settings, job.seed, on_iteration)
    held_out = record("held-out episodes", max(settings.episodes // 5, 8), job.seed + _HELD_OUT)
    example = {"state": torch.zeros(1, cell.state_size), "measurement": torch.zeros(1, 8)}
    return Trained(
        files=export_network(cell, example, ["next_state", "estimate"]),
        constants={"state_size": cell.state_size, "longest_age_s": _LONGEST_AGE_S},
        metrics=estimation_metrics(cell, held_out, job.delivery(), job.seed + _HELD_OUT),
    )


def train_control_policy(job: Job) -> Trained:
    """PPO behind the frozen estimator, which reads detections that err as the frozen perception does."""
    settings = settings_for(job.spec.name, PolicySettings(), job.changes)

    def environment(num_envs: int, seed: int) -> BatchedEnv:
        estimator = FrozenEstimator(
            job.need("estimation"),
            job.need("perception").manifest.constants["error_model"],
            job.camera(),
            task_class(job.flow.plant.env).mount.half_view,
            job.delivery(),
            FRAMES.every_ticks,
            num_envs,
            seed,
        )
        return BatchedEnv(job.flow.plant.env, num_envs, seed, estimator)

    model = train_policy(
        environment(settings.environments, job.seed),
        _kinematics(job),
        settings,
        job.seed,
        job.log_dir,
        lambda done, total, _: job.progress("training", done, total),
    )
    network = actor(model)
    size = sum(count for _, count in OBSERVATION_LAYOUT)
    return Trained(
        files=export_network(network, {"observation": torch.zeros(1, size)}, ["action"]),
        constants={
            "observation": [list(entry) for entry in OBSERVATION_LAYOUT],
            "velocity_scale": VELOCITY_LIMIT,
        },
        metrics=_policy_metrics(model, environment(64, job.seed + _HELD_OUT)),
    )


def _kinematics(job: Job) -> DenavitHartenberg:
    try:
        return DenavitHartenberg.model_validate(job.spec.parameters.get("kinematics"))
    except ValidationError as error:
        raise TrainingError(
            f"{job.spec.name}: parameter kinematics: {error.errors()[0]['msg']}. "
            "Give the arm's Denavit-Hartenberg table, as the guard's workspace does."
        ) from None


def _policy_metrics(model: Any, env: BatchedEnv) -> dict[str, float]:
    """Mean score over the first episodes of every held-out environment."""
    observation = env.reset()
    scores: list[dict[str, float]] = [{} for _ in range(env.num_envs)]
    while not all(scores):
        action, _ = model.predict(observation, deterministic=True)
        env.step_async(action)
        observation, _, _, infos = env.step_wait()
        for index, info in enumerate(infos):
            if info and not scores[index]:
                scores[index] = {k: float(v) for k, v in info.items() if isinstance(v, float)}
    return {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}


RECIPES: Mapping[str, Callable[[Job], Trained]] = {
    "supervised": train_perception,
    "sequence": train_estimation,
    "reinforcement": train_control_policy,
}
