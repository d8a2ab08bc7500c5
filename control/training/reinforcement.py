"""Reinforcement trainer: PPO of stable-baselines3 on a batched environment behind frozen upstream modules.

Source: Schulman et al., Proximal policy optimization algorithms, arXiv:1707.06347, as implemented by
stable-baselines3.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecMonitor

from reflexarc.control.kinematics import DenavitHartenberg
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


class _Progress(BaseCallback):
    """Tells how far the training is, after every rollout."""

    def __init__(self, total: int, on_progress: Callable[[int, int, float], None]) -> None:
        super().__init__()
        self._total = total
        self._on_progress = on_progress

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        rewards = [info["r"] for info in self.model.ep_info_buffer or ()]
        mean = sum(rewards) / len(rewards) if rewards else float("nan")
        self._on_progress(min(self.num_timesteps, self._total), self._total, mean)


def train_policy(
    env: VecEnv,
    kinematics: DenavitHartenberg,
    settings: PolicySettings,
    seed: int,
    log_dir: Path | None,
    on_progress: Callable[[int, int, float], None],
) -> PPO:
    """Train a policy.

    Args:
        env: Batched environment, its observations already those that the policy will have.
        kinematics: How the tool follows from the joints.
        settings: Sizes and steps.
        seed: Decides everything random beside the environment's own seed.
        log_dir: For TensorBoard, or None.
        on_progress: Called with (steps done, steps in all, mean episode return).
    """
    model = PPO(
        "MlpPolicy",
        VecMonitor(env),
        n_steps=settings.rollout,
        batch_size=settings.batch,
        n_epochs=settings.epochs,
        learning_rate=lambda remaining: settings.learning_rate * max(remaining, 0.02),
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
    model.learn(settings.steps, callback=_Progress(settings.steps, on_progress), tb_log_name="policy")
    return model


def actor(model: PPO) -> PolicyNetwork:
    """The part of a trained model that runs."""
    policy = model.policy
    return PolicyNetwork(policy.features_extractor, policy.mlp_extractor.policy_net, policy.action_net)
