"""Estimation: late, missing and sometimes wrong detections to position and velocity, at the control rate.

A recurrent network with the form of a filter: it predicts with a motion that it learned, compares a
detection with its own prediction at the detection's stamp, and corrects by gains that it learned.
The joint states give it its pace: one estimate for each of them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.modules.network import Network, required_artifact
from reflexarc.control.ports import MessageType, Port, PortNeed
from reflexarc.control.values import Odometry, PoseWithCovariance, unknown_covariance

__all__ = ["Estimation", "measurement_row"]

FloatRow = npt.NDArray[np.float32]


def measurement_row(
    position: npt.NDArray[np.float64], sigma: npt.NDArray[np.float64], age_s: npt.NDArray[np.float64]
) -> FloatRow:
    """What the network reads of B detections: shape (B, 8) float32.

    Columns: 1 for 'there is one', age in s, position in m (3), log of the standard deviation in cm (3).

    Args:
        position: Shape (B, 3), m, base frame; a row with NaN is 'no detection'.
        sigma: Standard deviation per axis. Shape (B, 3), m.
        age_s: Now minus the stamp. Shape (B,), s.
    """
    has: npt.NDArray[np.bool_] = np.asarray(np.isfinite(position).all(axis=1))
    columns = [has[:, None], age_s[:, None], position, np.log(np.maximum(sigma, 1e-4) / 0.01)]
    return np.where(has[:, None], np.concatenate(columns, axis=1), 0.0).astype(np.float32)


class Estimation(Module):
    """The network and its explicit state, behind ports.

    Inputs: `detection`, `joint_states` (the pace). Output: `odometry`, with element 0 of the covariance -1
    until something was seen.
    """

    input_needs: ClassVar = {
        "detection": PortNeed(type=MessageType.POSE_WITH_COVARIANCE, unit="m"),
        "joint_states": PortNeed(type=MessageType.JOINT_STATE),
    }
    output_needs: ClassVar = {"odometry": PortNeed(type=MessageType.ODOMETRY, unit="m")}

    def __init__(
        self, parameters: Mapping[str, Any], outputs: Mapping[str, Port], artifact: Artifact | None
    ) -> None:
        artifact = required_artifact("estimation", artifact)
        self._frame = outputs["odometry"].frame
        self._network = Network.of(artifact)
        self._state_size = int(artifact.manifest.constants["state_size"])
        self._longest_age_s = float(artifact.manifest.constants["longest_age_s"])
        self.reset()

    def reset(self) -> None:
        """Nothing has been seen."""
        self._state = np.zeros((1, self._state_size), dtype=np.float32)
        self._last_stamp_ns = -1

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """One estimate, for the stamp of the newest joint state."""
        if not inputs["joint_states"]:
            return {}
        stamp_ns: int = inputs["joint_states"][-1].stamp_ns  # type: ignore[union-attr]
        detection = self._newest(inputs["detection"], stamp_ns)
        if detection is None:
            measurement = np.zeros((1, 8), dtype=np.float32)
        else:
            measurement = measurement_row(
                detection.position[None],
                np.sqrt(np.diagonal(detection.covariance)[None, :3]),
                np.array([(stamp_ns - detection.stamp_ns) * 1e-9]),
            )
        state, estimate = self._network(state=self._state, measurement=measurement)
        if not np.isfinite(estimate).all() or not np.isfinite(state).all():
            self.rejections["odometry: network output not finite, state reset"] += 1
            self.reset()
            estimate = np.zeros_like(estimate)
        else:
            self._state = state
        return {"odometry": self._odometry(estimate[0].astype(np.float64), stamp_ns)}

    def _newest(self, detections: tuple[Any, ...], now_ns: int) -> PoseWithCovariance | None:
        """The newest detection that is of use; of two that arrive in one tick the older one is dropped."""
        newest: PoseWithCovariance | None = None
        for detection in detections:
            if not detection.is_known:
                continue
            age_s = (now_ns - detection.stamp_ns) * 1e-9
            if detection.stamp_ns <= self._last_stamp_ns:
                self.rejections["detection: out of order"] += 1
            elif not 0.0 <= age_s <= self._longest_age_s:
                self.rejections["detection: too old" if age_s > 0 else "detection: from the future"] += 1
            else:
                newest = detection
                self._last_stamp_ns = detection.stamp_ns
        return newest

    def _odometry(self, estimate: npt.NDArray[np.float64], stamp_ns: int) -> Odometry:
        pose_covariance, twist_covariance = unknown_covariance(), unknown_covariance()
        is_known = estimate[0] > 0.5
        if is_known:
            pose_covariance = np.diag([*estimate[7:10] ** 2, 0.0, 0.0, 0.0])
            twist_covariance = np.diag([*estimate[10:13] ** 2, 0.0, 0.0, 0.0])
        return Odometry(
            stamp_ns=stamp_ns,
            frame_id=self._frame,
            child_frame_id=self._frame,
            position=estimate[1:4] if is_known else np.full(3, np.nan),
            linear_velocity=estimate[4:7] if is_known else np.full(3, np.nan),
            pose_covariance=pose_covariance,
            twist_covariance=twist_covariance,
        )
