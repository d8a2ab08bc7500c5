"""Policy: the ball's estimate and the joint states to joint velocities."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import ArtifactError, ValueRefusedError
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.modules.network import Network, required_artifact
from reflexarc.control.ports import MessageType, Port, PortNeed
from reflexarc.control.values import FloatArray, JointState, JointTrajectory, Odometry

__all__ = ["Policy"]


class Policy(Module):
    """The network behind ports.

    The observation is the concatenation of joint positions (N), joint velocities (N), ball position (3),
    ball velocity (3) and 1 for 'the ball is known', as the artifact's `observation` constant lists them.
    Inputs: `odometry` (the trigger), `joint_states`. Output: `command`, one point of joint velocities.
    """

    input_needs: ClassVar = {
        "odometry": PortNeed(type=MessageType.ODOMETRY, unit="m"),
        "joint_states": PortNeed(type=MessageType.JOINT_STATE, unit="rad", ndim=1),
    }
    output_needs: ClassVar = {"command": PortNeed(type=MessageType.JOINT_TRAJECTORY, unit="rad/s", ndim=1)}

    def __init__(
        self, parameters: Mapping[str, Any], outputs: Mapping[str, Port], artifact: Artifact | None
    ) -> None:
        artifact = required_artifact("policy", artifact)
        constants = artifact.manifest.constants
        self._joints = tuple(parameters.get("joints", ()))
        layout = [(str(name), int(size)) for name, size in constants["observation"]]
        expected = [
            ("joint_position", len(self._joints)),
            ("joint_velocity", len(self._joints)),
            ("ball_position", 3),
            ("ball_velocity", 3),
            ("is_known", 1),
        ]
        if layout != expected:
            raise ArtifactError(
                f"policy: {artifact.folder.name} reads {layout}, this flow gives {expected}. Train it for this flow."
            )
        if len(set(self._joints)) != len(self._joints):
            raise ValueRefusedError("policy: parameter joints names a joint twice.")
        self._velocity_scale = float(constants["velocity_scale"])
        self._network = Network.of(artifact)
        self.reset()

    def reset(self) -> None:
        """Forget the last joint state."""
        self._joint_state: tuple[FloatArray, FloatArray] | None = None

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """One command for the newest estimate; none before the first joint state."""
        for joint_state in inputs["joint_states"]:
            self._take(joint_state)  # type: ignore[arg-type]
        if not inputs["odometry"]:
            return {}
        if self._joint_state is None:
            self.rejections["odometry: no joint state yet"] += 1
            return {}
        odometry = inputs["odometry"][-1]
        assert isinstance(odometry, Odometry)
        known = odometry.is_known
        zero = np.zeros(3)
        parts = [
            *self._joint_state,
            odometry.position if known else zero,
            odometry.linear_velocity if known else zero,
            np.array([float(known)]),
        ]
        with np.errstate(over="ignore"):  # beyond all numbers of float32 the network's output is not finite
            observation = np.concatenate(parts).astype(np.float32)
        (action,) = self._network(observation=observation[None])
        if not np.isfinite(action).all():
            self.rejections["command: network output not finite"] += 1
            return {}
        # The environment scales the same float32 action in float64: both must give the same bits.
        velocities = np.clip(action, -1.0, 1.0).astype(np.float64) * self._velocity_scale
        return {
            "command": JointTrajectory(
                stamp_ns=odometry.stamp_ns,
                names=self._joints,
                positions=np.empty((1, 0)),
                velocities=velocities,
                time_from_start_ns=np.zeros(1, dtype=np.int64),
            )
        }

    def _take(self, joint_state: JointState) -> None:
        if joint_state.names == self._joints:
            self._joint_state = joint_state.position, joint_state.velocity
            return
        try:
            order = [joint_state.names.index(name) for name in self._joints]
        except ValueError:
            self.rejections[f"joint_states: joints {joint_state.names}"] += 1
            return
        self._joint_state = joint_state.position[order], joint_state.velocity[order]
