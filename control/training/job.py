"""Job: everything that decides one training, and what a training gives back."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy.typing as npt

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.contracts import Assumption
from reflexarc.control.errors import TrainingError, did_you_mean
from reflexarc.control.flow import Flow, ModuleSpec
from reflexarc.control.modules.perception import CameraPose, camera_pose
from reflexarc.control.training.checkpoints import Checkpoints
from reflexarc.control.training.recording import Delivery
from reflexarc.envs.camera import CameraChange, camera_change
from reflexarc.envs.sensors import FRAMES

__all__ = ["HELD_OUT", "Job", "Progress", "Trained", "settings_for"]

Progress = Callable[[str, int, int], bool]
"""Called with (what is being done, done, in all); its False asks for an end."""

Settings = TypeVar("Settings")

HELD_OUT = 500_000_000
"""Added to a training's seed for what it is measured on. Evaluation episodes have seeds from 10^9 on."""

_NEXT_DRAW = 1_000_000
"""From a draw of training data to the next, so far apart that trainings with other seeds share nothing."""

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
        data: Recorded arrays to train on as well, see `data`; empty for none.
        log_dir: Folder for TensorBoard.
        checkpoints: Where it goes on after an interruption.
        progress: Told how far it is.
    """

    flow: Flow
    spec: ModuleSpec
    upstream: Mapping[str, Artifact]
    seed: int
    changes: Mapping[str, Any]
    data: Mapping[str, npt.NDArray[Any]]
    log_dir: Path
    checkpoints: Checkpoints
    progress: Progress

    def needs(self, kind: str) -> tuple[Artifact, ...]:
        """The upstream artifacts of a kind, in the order in which the training names them.

        Raises:
            TrainingError: The training does not name any.
        """
        found = tuple(artifact for artifact in self.upstream.values() if artifact.manifest.kind == kind)
        if not found:
            raise TrainingError(
                f"{self.spec.name}: its training needs a module of kind '{kind}', and names none. "
                f"Add it to training.needs in the flow file of {self.flow.name}."
            )
        return found

    def camera(self) -> CameraPose:
        """Where the frozen perception takes the camera to be; of several, the first."""
        return camera_pose(self.needs("perception")[0].manifest.constants)

    def own_seed(self, draw: int) -> int:
        """Seed of the training data, which of several draws (from 1 on) it is to be."""
        return self.seed + (draw - 1) * _NEXT_DRAW

    def camera_change(self) -> CameraChange:
        """How the flow's camera departs from that of its environment."""
        return camera_change(self.flow.plant.parameters)

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
            frame_ticks=FRAMES.every_ticks,
        )


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What a recipe gives back.

    Args:
        files: Content per file name.
        constants: For the module.
        metrics: On held-out seeds.
        guarantees: Per output port, figures on held-out episodes.
        assumes: Per input port, what it was trained under.
    """

    files: Mapping[str, bytes]
    constants: Mapping[str, Any]
    metrics: Mapping[str, float]
    guarantees: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    assumes: Mapping[str, Assumption] = field(default_factory=dict)


def settings_for(module: str, defaults: Settings, changes: Mapping[str, Any]) -> Settings:
    """Settings with some changed.

    Raises:
        TrainingError: A name is unknown or a value of the wrong type.
    """
    known = {entry.name: type(getattr(defaults, entry.name)) for entry in fields(defaults)}  # type: ignore[arg-type]
    for name, value in changes.items():
        if name not in known:
            raise TrainingError(f"{module}: training has no setting '{name}'. {did_you_mean(name, known)}")
        fits = isinstance(value, known[name]) or (known[name] is float and isinstance(value, int))
        if not fits or isinstance(value, bool):  # True is an int in Python
            raise TrainingError(f"{module}: setting '{name}' is {value!r}, expected {known[name].__name__}.")
        if isinstance(value, str):
            continue
        if not math.isfinite(value):
            raise TrainingError(f"{module}: setting '{name}' is {value!r}; it has to be finite.")
        if value <= 0 and name != "log_std":
            raise TrainingError(f"{module}: setting '{name}' is {value!r}; it has to be positive.")
    return replace(defaults, **changes)  # type: ignore[type-var]
