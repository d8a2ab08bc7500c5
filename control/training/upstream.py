"""Upstream: frozen modules in front of an environment, so that a policy trains on estimates, not on truth.

Perception stands as the error model that was measured on its held-out images (rendering every frame of
every simulation would be a hundred times slower); the estimator is the frozen artifact itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.frames import matrix_from_quaternion
from reflexarc.control.modules.estimation import measurement_row
from reflexarc.control.modules.network import Network
from reflexarc.control.modules.perception import CameraPose, position_covariances
from reflexarc.control.training.recording import Delivery
from reflexarc.control.values import FloatArray
from reflexarc.envs.task import BallTruth

__all__ = ["FrozenEstimator"]

_IN_FLIGHT = 12
"""Ticks that a detection can be on its way: 40 ms of camera, perception, and what is added to both."""

_ESTIMATE = 13
"""is_known, position, velocity, standard deviations of both: what every estimator gives."""

_WORSE = (0.8, 1.8)
"""Factor on the errors, drawn per episode and not said in the covariance: an error model is simpler than what
it stands for, and a policy is to be covered when perception is trained again and comes out a little worse."""


class FrozenEstimator:
    """Detections by an error model, then the frozen estimator, for B simulations at once.

    Where several perceptions or estimators do a job in parallel, each pair of them stands before a part of the
    simulations: of P perceptions and E estimators the pair of simulation i is the (i modulo P E)-th, perceptions first.

    Args:
        estimators: The frozen artifacts.
        error_models: Per perception its `error_model` constant.
        camera: Where the camera is said to be.
        half_view: Tangent of half the field of view: (horizontal, vertical).
        delivery: How detections come.
        num_envs: B.
        seed: Decides everything random.
    """

    def __init__(
        self,
        estimators: Sequence[Artifact],
        error_models: Sequence[Mapping[str, Any]],
        camera: CameraPose,
        half_view: tuple[float, float],
        delivery: Delivery,
        num_envs: int,
        seed: int,
    ) -> None:
        self._networks = [Network.of(estimator) for estimator in estimators]
        self._models = error_models
        self._position = np.array(camera.position)
        self._base_from_optical = matrix_from_quaternion(np.array(camera.orientation_xyzw))
        self._camera = camera
        self._half_view = half_view
        self._delivery = delivery
        self._rng = np.random.default_rng(seed)
        sizes = [int(estimator.manifest.constants["state_size"]) for estimator in estimators]
        self._states = [np.zeros((num_envs, size), dtype=np.float32) for size in sizes]
        turn = np.arange(num_envs) // len(error_models) % len(estimators)
        self._mine = [np.flatnonzero(turn == which) for which in range(len(estimators))]
        """Per estimator, the simulations that it stands before."""
        self._rows = np.zeros((_IN_FLIGHT, num_envs, 8), dtype=np.float32)
        self._last = np.zeros(num_envs, dtype=np.int64)
        self._worse = np.ones(num_envs)
        self._tick = 0
        self.sigma = np.ones((num_envs, 3))
        """Standard deviations of the last estimates' positions, m. Shape (B, 3)."""

    def reset(self, ids: npt.NDArray[np.int64]) -> None:
        """Forget what some simulations have seen."""
        for state in self._states:
            state[ids] = 0.0
        self._rows[:, ids] = 0.0
        self._last[ids] = 0
        self._worse[ids] = self._rng.uniform(*_WORSE, len(ids))

    def update(self, truth: BallTruth) -> tuple[FloatArray, FloatArray, npt.NDArray[np.bool_]]:
        """Estimates of all simulations after one tick: position, velocity, is_known."""
        self._tick += 1
        slot = self._tick % _IN_FLIGHT
        is_frame = truth.step % self._delivery.frame_ticks == 0
        if is_frame.any():
            self._detect(truth, is_frame)
        estimate = np.zeros((len(truth.position), _ESTIMATE), dtype=np.float32)
        for network, state, mine in zip(self._networks, self._states, self._mine, strict=True):
            state[mine], estimate[mine] = network(state=state[mine], measurement=self._rows[slot][mine])
        self._rows[slot] = 0.0
        self.sigma = estimate[:, 7:10].astype(np.float64)
        return (
            estimate[:, 1:4].astype(np.float64),
            estimate[:, 4:7].astype(np.float64),
            estimate[:, 0] > 0.5,
        )

    def _detect(self, truth: BallTruth, is_frame: npt.NDArray[np.bool_]) -> None:
        rng, batch = self._rng, len(truth.position)
        in_camera = np.einsum("bji,bj->bi", truth.camera_rotation, truth.position - truth.camera_position)
        depth = np.maximum(in_camera[:, 2], 0.1)
        in_view = (
            (in_camera[:, 2] > 0.1)
            & (np.abs(in_camera[:, 0]) < self._half_view[0] * depth)
            & (np.abs(in_camera[:, 1]) < self._half_view[1] * depth)
        )
        log_depth = np.log(depth)
        missed, across, along, wrong = np.zeros((4, batch))
        for which, model in enumerate(self._models):
            mine = slice(which, None, len(self._models))
            bins = np.digitize(depth[mine], model["missed_depth_edges_m"])
            missed[mine] = np.array(model["missed_share"])[bins]
            across[mine], along[mine] = (
                np.exp(model[k][0] + model[k][1] * log_depth[mine]) for k in ("across", "along")
            )
            wrong[mine] = model["wrong_share"]
        seen = is_frame & in_view & ~truth.is_hidden & (rng.random(batch) >= missed)
        seen &= rng.random(batch) >= self._delivery.loss

        ray = in_camera / np.linalg.norm(in_camera, axis=1, keepdims=True)
        noise = rng.standard_normal((batch, 3)) * across[:, None]
        noise += (rng.standard_normal(batch) * along - (noise * ray).sum(axis=1))[:, None] * ray
        noise *= self._worse[:, None]
        is_wrong = rng.random(batch) < wrong
        elsewhere = rng.uniform(
            (-self._half_view[0], -self._half_view[1], 1.0), (*self._half_view, 1.0), (batch, 3)
        )
        elsewhere *= rng.uniform(0.6, 3.0, (batch, 1))
        lever = np.where(is_wrong[:, None], elsewhere, in_camera + noise) @ self._base_from_optical.T

        covariance = position_covariances(np.stack([across, along], axis=1), lever, self._camera)
        sigma = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
        delivery = self._delivery
        late = np.ceil(rng.uniform(*delivery.delay_s, size=batch) / delivery.step_s).astype(np.int64)
        late += delivery.latency_ticks + (rng.random(batch) < delivery.extra_tick)
        arrival = np.maximum(self._tick + late, self._last)
        self._last = np.where(seen, arrival, self._last)
        age_s = (arrival - self._tick) * delivery.step_s
        rows = measurement_row(self._position + lever, sigma, age_s)
        index = np.flatnonzero(seen)
        self._rows[arrival[index] % _IN_FLIGHT, index] = rows[index]
