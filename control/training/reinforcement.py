"""Reinforcement trainer: PPO of stable-baselines3 on a batched environment behind frozen upstream modules.

Source: Schulman et al., Proximal policy optimization algorithms, arXiv:1707.06347, as implemented by
stable-baselines3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.control.training.checkpoints import Checkpoints, segment_seed
from reflexarc.control.training.policy_network import InterceptFeatures, PolicyNetwork

__all__ = ["PolicySettings", "actor", "train_policy"]


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """How the policy is trained (sizes as tried in DESIGN of the project, tuned on the arm's tasks)."""

    environments: int = 128
    steps: int = 3_000_000
    rollout: int = 64
    batch: int = 2048
    epochs: int = 5
    hidden: int = 128
    learning_rate: float = 1e-3
    discount: float = 0.99
    log_std: float = -0.7


_SEGMENT_ROLLOUTS = 40
"""Rollouts between two checkpoints: 328,000 steps, some 30 s."""


class _Progress(BaseCallback):
    """Tells how far the training is, after every rollout, and ends it where the answer is False."""

    def __init__(self, total: int, on_progress: Callable[[int, int, float], bool]) -> None:
        super().__init__()
        self._total = total
        self._on_progress = on_progress
        self.goes_on = True

    def _on_step(self) -> bool:
        return self.goes_on

    def _on_rollout_end(self) -> None:
        rewards = [info["r"] for info in self.model.ep_info_buffer or ()]
        mean = sum(rewards) / len(rewards) if rewards else float("nan")
        self.goes_on = self._on_progress(min(self.num_timesteps, self._total), self._total, mean)


def train_policy(
    make_env: Callable[[int], VecEnv],
    kinematics: DenavitHartenberg,
    settings: PolicySettings,
    seed: int,
    log_dir: Path | None,
    checkpoints: Checkpoints,
    on_progress: Callable[[int, int, float], bool],
) -> PPO:
    """Train a policy.

    Every segment has environments of its own: the state of a simulation need not be kept in a checkpoint.

    Args:
        make_env: Batched environment of a seed, its observations already those that the policy will have.
        kinematics: How the tool follows from the joints.
        settings: Sizes and steps.
        seed: Decides everything random.
        log_dir: For TensorBoard, or None.
        checkpoints: Where it goes on after an interruption.
        on_progress: Called with (steps done, steps in all, mean episode return); its False ends the training.
    """
    segment_steps = _SEGMENT_ROLLOUTS * settings.rollout * settings.environments

    def learning_rate(_: float) -> float:
        return settings.learning_rate * max(1.0 - model.num_timesteps / settings.steps, 0.02)

    model = PPO(
        "MlpPolicy",
        VecMonitor(make_env(segment_seed(seed, 0))),
        n_steps=settings.rollout,
        batch_size=settings.batch,
        n_epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        gamma=settings.discount,
        ent_coef=0.0,
        policy_kwargs={
            "net_arch": [settings.hidden, settings.hidden],
            "features_extractor_class": InterceptFeatures,
            "features_extractor_kwargs": {"kinematics": kinematics},
            "activation_fn": torch.nn.ELU,
            "log_std_init": settings.log_std,
        },
        seed=seed,
        device="cpu",
        tensorboard_log=None if log_dir is None else str(log_dir),
        verbose=0,
    )
    model.lr_schedule = learning_rate
    first = 0
    if (state := checkpoints.load("policy")) is not None:
        model.policy.load_state_dict(state["policy"])
        model.policy.optimizer.load_state_dict(state["optimizer"])
        model.num_timesteps, model._n_updates, first = state["steps"], state["updates"], state["segments"]
    progress = _Progress(settings.steps, on_progress)
    for segment in range(first, math.ceil(settings.steps / segment_steps)):
        checkpoints.save(
            "policy",
            {
                "policy": model.policy.state_dict(),
                "optimizer": model.policy.optimizer.state_dict(),
                "steps": model.num_timesteps,
                "updates": model._n_updates,
                "segments": segment,
            },
        )
        set_random_seed(segment_seed(seed, segment))
        model.set_env(VecMonitor(make_env(segment_seed(seed, segment))))
        steps = min(segment_steps, settings.steps - model.num_timesteps)
        model.learn(steps, callback=progress, tb_log_name="policy", reset_num_timesteps=False)
        if not progress.goes_on:
            break
    return model


def actor(model: PPO) -> PolicyNetwork:
    """The part of a trained model that runs."""
    policy = model.policy
    return PolicyNetwork(policy.features_extractor, policy.mlp_extractor.policy_net, policy.action_net)
