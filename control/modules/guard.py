"""Guard: the last module before the actuators, and the only one that may command them.

It lets through what the joints may do, slows down what they may not, and brings the robot to a stop on any
doubt: a command that is silent, stale or not finite, joints that are not measured, a tool that would leave
its workspace, somebody who wants it to stop. A stop is a ramp at the acceleration limit, since a jump to zero
would break that limit.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.ports import MessageType, Port, PortNeed
from reflexarc.control.values import Float64Array, FloatArray, JointTrajectory

__all__ = ["Guard", "GuardParameters", "Workspace"]

_Limits = tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...]


class Workspace(BaseModel):
    """The box that the tool point must not leave.

    Args:
        kinematics: How the tool follows from the joints.
        low_m: Lower corner in the base frame, m.
        high_m: Upper corner.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kinematics: DenavitHartenberg
    low_m: tuple[float, float, float]
    high_m: tuple[float, float, float]


class GuardParameters(BaseModel):
    """What a robot may do. N joints, in the order of the command.

    Args:
        joints: Names.
        rate_hz: How often a command goes out; the acceleration limit counts per period.
        position_low_rad: Lower limits.
        position_high_rad: Upper limits.
        velocity_limit: rad/s.
        acceleration_limit: rad/s^2.
        staleness_s: A command or joint state older than this is no longer followed.
        workspace: Box for the tool point, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    joints: tuple[str, ...] = Field(min_length=1)
    rate_hz: float = Field(gt=0)
    position_low_rad: tuple[float, ...]
    position_high_rad: tuple[float, ...]
    velocity_limit: _Limits
    acceleration_limit: _Limits
    staleness_s: float = Field(gt=0)
    workspace: Workspace | None = None

    @model_validator(mode="after")
    def _same_length(self) -> "GuardParameters":
        for name in ("position_low_rad", "position_high_rad", "velocity_limit", "acceleration_limit"):
            if len(getattr(self, name)) != len(self.joints):
                raise ValueError(
                    f"{name} has {len(getattr(self, name))} entries for {len(self.joints)} joints"
                )
        if not all(
            low < high for low, high in zip(self.position_low_rad, self.position_high_rad, strict=True)
        ):
            raise ValueError("a lower position limit is not below the upper one")
        return self


class Guard(Module):
    """Limits between a policy and the actuators.

    Inputs: `command`, `joint_states`. Outputs: `command` toward the actuators, and, if the flow has it,
    `commanded`: what was really commanded, with the stamp of what caused it.
    """

    needs_artifact: ClassVar = False
    input_needs: ClassVar = {
        "command": PortNeed(type=MessageType.JOINT_TRAJECTORY, unit="rad/s", ndim=1),
        "joint_states": PortNeed(type=MessageType.JOINT_STATE, unit="rad", ndim=1),
    }
    output_needs: ClassVar = {
        "command": PortNeed(type=MessageType.FLOAT64_ARRAY, unit="rad/s", ndim=1),
        "commanded": PortNeed(type=MessageType.JOINT_TRAJECTORY, unit="rad/s", ndim=1, optional=True),
    }

    def __init__(
        self, parameters: Mapping[str, Any], outputs: Mapping[str, Port], artifact: Artifact | None
    ) -> None:
        try:
            limits = GuardParameters.model_validate(parameters)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "parameters"
            raise ValueRefusedError(f"guard: parameter {where}: {first['msg']}.") from None
        self._limits = limits
        self._publishes_commanded = "commanded" in outputs
        self._low = np.array(limits.position_low_rad)
        self._high = np.array(limits.position_high_rad)
        self._velocity_limit = np.array(limits.velocity_limit)
        self._acceleration_limit = np.array(limits.acceleration_limit)
        self._staleness_ns = round(limits.staleness_s * 1e9)
        self._held: str | None = None
        self.reset()

    def reset(self) -> None:
        """Nothing is commanded and nothing is known: the first command starts from rest."""
        self._output = np.zeros(len(self._limits.joints))
        self._output_ns: int | None = None
        self._command: JointTrajectory | None = None
        self._joint_position: FloatArray | None = None
        self._joint_stamp_ns = 0

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """The command that may go out now; there is one in every step."""
        for joint_state in inputs["joint_states"]:
            self._take_joints(joint_state)
        for command in inputs["command"]:
            self._command = command  # type: ignore[assignment]
        reason = self._reason_to_hold(now_ns)
        wanted = np.zeros_like(self._output) if reason else self._wanted()
        output = self._limited(wanted, now_ns)
        if reason is None and not self._stays_in_workspace(output):
            reason = "leaving the workspace"
            output = self._limited(np.zeros_like(self._output), now_ns)
        if reason is not None:
            self.rejections[f"held still: {reason}"] += 1
        self._output, self._output_ns = output, now_ns
        return self._outputs(output, now_ns)

    @property
    def period_s(self) -> float:
        """Time between two commands."""
        return 1.0 / self._limits.rate_hz

    @property
    def is_still(self) -> bool:
        """Whether the last command was to stand still."""
        return not self._output.any()

    def hold(self, reason: str | None) -> None:
        """Stand still from the next step on, whatever comes, for a reason from outside; None alone ends it."""
        self._held = reason

    def halt(self, now_ns: int) -> Outputs:
        """The last command before the guard goes silent: stand still."""
        self.reset()
        return self._outputs(self._output, now_ns)

    def _take_joints(self, joint_state: Any) -> None:
        try:
            order = [joint_state.names.index(name) for name in self._limits.joints]
        except ValueError:
            self.rejections[f"joint_states: joints {joint_state.names}"] += 1
            return
        self._joint_position = joint_state.position[order]
        self._joint_stamp_ns = joint_state.stamp_ns

    def _reason_to_hold(self, now_ns: int) -> str | None:  # noqa: PLR0911 one return per reason
        if self._held is not None:
            return self._held
        if self._command is None:
            return "no command yet"
        if self._command.names != self._limits.joints:
            return f"command for joints {self._command.names}"
        if now_ns - self._command.stamp_ns > self._staleness_ns:
            return "stale command"
        if self._joint_position is None:
            return "no joint state yet"
        if now_ns - self._joint_stamp_ns > self._staleness_ns:
            return "stale joint state"
        return None

    def _wanted(self) -> FloatArray:
        assert self._command is not None
        assert self._joint_position is not None
        wanted = np.clip(self._command.velocities[0], -self._velocity_limit, self._velocity_limit)
        # From the speed v a joint stops within v^2 / 2a, so this is the fastest that still stops at the limit.
        room_above = np.maximum(self._high - self._joint_position, 0.0)
        room_below = np.maximum(self._joint_position - self._low, 0.0)
        return np.clip(
            wanted,
            -np.sqrt(2 * self._acceleration_limit * room_below),
            np.sqrt(2 * self._acceleration_limit * room_above),
        )

    def _limited(self, wanted: FloatArray, now_ns: int) -> FloatArray:
        """As near to what is wanted as the acceleration allows since the last command.

        Two commands within one period may together change no more than one; after a longer silence it is
        still one, since the joints were told nothing in between.
        """
        period_s = 1.0 / self._limits.rate_hz
        passed_s = period_s if self._output_ns is None else (now_ns - self._output_ns) / 1e9
        step = self._acceleration_limit * min(max(passed_s, 0.0), period_s)
        return np.clip(wanted, self._output - step, self._output + step)

    def _stays_in_workspace(self, output: FloatArray) -> bool:
        """Whether the tool is inside, or moving back inside, where it would come to a stop from this velocity."""
        workspace = self._limits.workspace
        if workspace is None or self._joint_position is None:
            return True
        stopping = output * np.abs(output) / (2 * self._acceleration_limit) + output / self._limits.rate_hz
        ahead = workspace.kinematics.tool_position(self._joint_position + stopping)
        here = workspace.kinematics.tool_position(self._joint_position)
        low, high = np.array(workspace.low_m), np.array(workspace.high_m)
        outside_ahead = np.maximum(low - ahead, 0.0) + np.maximum(ahead - high, 0.0)
        outside_here = np.maximum(low - here, 0.0) + np.maximum(here - high, 0.0)
        return bool((outside_ahead <= np.where(outside_here > 0, outside_here, 0.0)).all())

    def _outputs(self, output: FloatArray, now_ns: int) -> Outputs:
        sent: dict[str, Any] = {"command": Float64Array(data=output.copy())}
        if self._publishes_commanded:
            sent["commanded"] = JointTrajectory(
                stamp_ns=self._command.stamp_ns if self._command else now_ns,
                names=self._limits.joints,
                positions=np.empty((1, 0)),
                velocities=output[None].copy(),
                time_from_start_ns=np.zeros(1, dtype=np.int64),
            )
        return sent
