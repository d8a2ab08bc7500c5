"""Recipes: how each trainer turns an environment and frozen upstream artifacts into an artifact."""

from collections.abc import Callable, Mapping

from reflexarc.control.training.job import Job, Trained
from reflexarc.control.training.recipe_reinforcement import train_control_policy
from reflexarc.control.training.recipe_sequence import train_estimation
from reflexarc.control.training.recipe_supervised import train_perception

__all__ = ["RECIPES"]

RECIPES: Mapping[str, Callable[[Job], Trained]] = {
    "supervised": train_perception,
    "sequence": train_estimation,
    "reinforcement": train_control_policy,
}
