"""Recipe of a policy: PPO behind the frozen estimator, which reads detections that err as perception's do."""

from typing import Any

import numpy as np
import torch
from pydantic import ValidationError

from reflexarc.control.contracts import Assumption
from reflexarc.control.errors import TrainingError
from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.control.quantities import position_quantities
from reflexarc.control.training.export import export_network
from reflexarc.control.training.figures import envelope, position_figures, seen_in, widest
from reflexarc.control.training.job import HELD_OUT, Job, Trained, settings_for
from reflexarc.control.training.reinforcement import PolicySettings, actor, train_policy
from reflexarc.control.training.upstream import FrozenEstimator
from reflexarc.control.values import FloatArray
from reflexarc.envs.batched import BatchedEnv
from reflexarc.envs.registry import task_class
from reflexarc.envs.robot import VELOCITY_LIMIT
from reflexarc.envs.task import OBSERVATION_LAYOUT, BallTruth, BoolArray

__all__ = ["train_control_policy"]

_MEASURED_ON = 256
"""Episodes for the metrics, and as many for what the policy was trained under."""


class _Witness:
    """The estimator in front of an environment, and every estimate with the truth that belongs to it.

    Args:
        estimator: The frozen one.
    """

    def __init__(self, estimator: FrozenEstimator) -> None:
        self._estimator = estimator
        self.rows: list[tuple[FloatArray, ...]] = []
        """Per step: error (NaN where unknown), sigma, position, velocity, each (B, 3)."""

    def reset(self, ids: Any) -> None:
        self._estimator.reset(ids)

    def update(self, truth: BallTruth) -> tuple[FloatArray, FloatArray, BoolArray]:
        position, velocity, known = self._estimator.update(truth)
        shown = np.where(known[:, None], position, np.nan)
        self.rows.append((shown - truth.position, self._estimator.sigma, shown, velocity))
        return position, velocity, known


def train_control_policy(job: Job) -> Trained:
    """A policy by reinforcement, and what it was trained under."""
    settings = settings_for(job.spec.name, PolicySettings(), job.changes)

    def estimator(num_envs: int, seed: int) -> FrozenEstimator:
        return FrozenEstimator(
            job.needs("estimation"),
            [artifact.manifest.constants["error_model"] for artifact in job.needs("perception")],
            job.camera(),
            task_class(job.flow.plant.env).own_mount.half_view,
            job.delivery(),
            num_envs,
            seed,
        )

    def environment(num_envs: int, seed: int, witness: _Witness | None = None) -> BatchedEnv:
        behind = witness or estimator(num_envs, seed)
        return BatchedEnv(job.flow.plant.env, num_envs, seed, behind, camera=job.camera_change())

    model = train_policy(
        lambda seed: environment(settings.environments, seed),
        _kinematics(job),
        settings,
        job.seed,
        job.log_dir,
        job.checkpoints,
        lambda done, total, _: job.progress("training", done, total),
    )
    network = actor(model)
    size = sum(count for _, count in OBSERVATION_LAYOUT)
    witness = _Witness(estimator(_MEASURED_ON, job.seed))
    _, lengths = _first_episodes(model, environment(_MEASURED_ON, job.seed, witness))
    seed = job.seed + HELD_OUT
    scores, _ = _first_episodes(model, environment(_MEASURED_ON, seed))
    pairs = len(job.needs("perception")) * len(job.needs("estimation"))
    return Trained(
        files=export_network(network, {"observation": torch.zeros(1, size)}, ["action"]),
        constants={
            "observation": [list(entry) for entry in OBSERVATION_LAYOUT],
            "velocity_scale": VELOCITY_LIMIT,
        },
        metrics={name: float(np.mean([score[name] for score in scores])) for name in scores[0]},
        assumes={"odometry": _trained_under(witness, lengths, pairs)},
    )


def _first_episodes(model: Any, env: BatchedEnv) -> tuple[list[dict[str, float]], list[int]]:
    """Score and length of the first episode of every environment."""
    observation = env.reset()
    scores: list[dict[str, float]] = [{} for _ in range(env.num_envs)]
    lengths = [0] * env.num_envs
    steps = 0
    while not all(scores):
        action, _ = model.predict(observation, deterministic=True)
        env.step_async(action)
        observation, _, _, infos = env.step_wait()
        steps += 1
        for index, info in enumerate(infos):
            if info and not scores[index]:
                scores[index] = {k: float(v) for k, v in info.items() if isinstance(v, float)}
                lengths[index] = steps
    return scores, lengths


def _trained_under(witness: _Witness, lengths: list[int], pairs: int) -> Assumption:
    """What came to the policy; a figure may be as bad as it is behind the worst pair of perception and estimator."""
    error, sigma, position, velocity = (
        np.stack(column, axis=1) for column in zip(*witness.rows, strict=True)
    )
    pieces: list[list[dict[str, float]]] = [[] for _ in range(pairs)]
    for index, length in enumerate(lengths):
        pieces[index % pairs] += position_figures(
            error[index, :length],
            sigma[index, :length],
            np.cumsum(np.isfinite(error[index, :length, 0])) > 0,
        )
    quantities = [
        position_quantities(position[i, :length], sigma[i, :length], velocity[i, :length])
        for i, length in enumerate(lengths)
    ]
    if not np.isfinite(error).any():
        raise TrainingError(
            f"policy: the frozen estimator knew nothing in {len(lengths)} episodes, so nothing can be learned "
            "behind it. Train estimation longer, or roll it back."
        )
    return Assumption(bounds=widest(envelope(part) for part in pieces), seen=seen_in(quantities))


def _kinematics(job: Job) -> DenavitHartenberg:
    try:
        return DenavitHartenberg.model_validate(job.spec.parameters.get("kinematics"))
    except ValidationError as error:
        raise TrainingError(
            f"{job.spec.name}: parameter kinematics: {error.errors()[0]['msg']}. "
            "Give the arm's Denavit-Hartenberg table, as the guard's workspace does."
        ) from None
