"""Voter: stands between the members that do one job in parallel and those who read it.

It votes on what all members say of one stamp (`redundancy.voter`), publishes what was agreed on, and counts who
departs. Without a majority it predicts for a short time, with a covariance that grows, and then says that it knows
nothing, so that whoever comes after it stops safely.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.ports import MessageType, Port, PortNeed
from reflexarc.control.redundancy.departures import DepartureLog
from reflexarc.control.redundancy.voter import Member, Output, Tolerances, Verdict, VoterState, vote
from reflexarc.control.values import (
    FloatArray,
    JointTrajectory,
    Odometry,
    PoseWithCovariance,
    Value,
    unknown_covariance,
)

__all__ = ["Voter", "VoterParameters", "output_of"]

_NOISE_M = 1e-9
"""Replicas on one machine give the same bits, those on two may round differently: below this they never agree."""

_Tolerance = Annotated[float, Field(ge=_NOISE_M, allow_inf_nan=False)]


class VoterParameters(BaseModel):
    """When members agree, and what to do when they do not.

    Args:
        approaches: How many replicas each approach has.
        position_tolerance_m: By how much two replicas may differ; needed of detections and estimates.
        velocity_tolerance_m_s: The same for velocities, where there are any.
        command_tolerance_rad_s: The same for joint commands; needed of these.
        command_sigma_rad_s: Standard deviation per joint that commands are taken to have: they say none of themselves.
        approach_tolerance: Squared Mahalanobis distance up to which approaches are similar, see `Tolerances`.
        heal_after: Stamps for which one that was wrong has to be right before it counts again.
        report_after: Stamps in a row after which a departure is told: one message may always be late.
        hold_s: How long a prediction stands in for a majority.
        acceleration_m_s2: Standard deviation of the acceleration that a prediction does not know of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    approaches: dict[str, Annotated[int, Field(ge=1, le=3)]] = Field(min_length=1, max_length=3)
    position_tolerance_m: _Tolerance | None = None
    velocity_tolerance_m_s: _Tolerance = 0.01
    command_tolerance_rad_s: _Tolerance | None = None
    command_sigma_rad_s: float = Field(default=0.3, gt=0, allow_inf_nan=False)
    approach_tolerance: float = Field(gt=0, allow_inf_nan=False)
    heal_after: int = Field(default=20, ge=1)
    report_after: int = Field(default=3, ge=1)
    hold_s: float = Field(default=0.1, ge=0, allow_inf_nan=False)
    acceleration_m_s2: float = Field(default=10.0, gt=0, allow_inf_nan=False)


class Voter(Module):
    """Votes on detections, estimates, or joint commands.

    Inputs: one per member, `approach_replica` with replicas from 1. Output: `detection`, `odometry` or `command`,
    whatever the members give. Of commands nothing is predicted: without a majority there is none.
    """

    needs_artifact: ClassVar = False
    input_needs: ClassVar = {}
    output_needs: ClassVar = {
        "detection": PortNeed(type=MessageType.POSE_WITH_COVARIANCE, unit="m", optional=True),
        "odometry": PortNeed(type=MessageType.ODOMETRY, unit="m", optional=True),
        "command": PortNeed(type=MessageType.JOINT_TRAJECTORY, unit="rad/s", ndim=1, optional=True),
    }

    @classmethod
    def needs(
        cls, parameters: Mapping[str, Any], outputs: Mapping[str, Port]
    ) -> tuple[Mapping[str, PortNeed], Mapping[str, PortNeed]]:
        """One input per member, of the type of the output."""
        validated = _validated(parameters)
        approaches = validated.approaches
        wanted = {name: cls.output_needs[name] for name in outputs if name in cls.output_needs}
        if len(wanted) != 1:
            raise ValueRefusedError(f"voter: has one output, {' or '.join(cls.output_needs)}.")
        tolerance = "command_tolerance_rad_s" if "command" in wanted else "position_tolerance_m"
        if getattr(validated, tolerance) is None:
            raise ValueRefusedError(
                f"voter: parameter {tolerance} is missing: when are two {'/'.join(wanted)}s equal?"
            )
        need = next(iter(wanted.values())).model_copy(update={"optional": False})
        members = {
            str(Member(name, n)): need for name, count in approaches.items() for n in range(1, count + 1)
        }
        return members, cls.output_needs

    def __init__(
        self, parameters: Mapping[str, Any], outputs: Mapping[str, Port], artifact: Artifact | None
    ) -> None:
        self._parameters = _validated(parameters)
        self._port, declared = next(iter(outputs.items()))
        self._frame = declared.frame
        self._is_moving = declared.type is MessageType.ODOMETRY
        self._tolerances = Tolerances(
            replica=_replica_tolerance(self._parameters, declared),
            approach=self._parameters.approach_tolerance,
            heal_after=self._parameters.heal_after,
        )
        self._members = {
            name: [Member(name, n) for n in range(1, count + 1)]
            for name, count in self._parameters.approaches.items()
        }
        self.departures = DepartureLog(self._parameters.report_after, self._parameters.heal_after)
        self.verdict: Verdict | None = None
        """Of the last vote."""
        self.reset()

    @property
    def findings(self) -> Mapping[str, str]:
        """Who departs now, and what is said of it."""
        return {str(member): what for member, what in self.departures.open.items()}

    def reset(self) -> None:
        """Nobody has said anything."""
        self._state = VoterState()
        self._agreed: tuple[int, Output] | None = None
        self.departures.reset()
        self.verdict = None

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """What was agreed on for the stamp that came."""
        values = {port: came[-1] for port, came in inputs.items() if came}
        stamp_ns = max((value.stamp_ns for value in values.values()), default=None)  # type: ignore[union-attr]
        if stamp_ns is None:
            self.rejections["no member speaks"] += 1
            return {}
        came = {port: value for port, value in values.items() if value.stamp_ns == stamp_ns}  # type: ignore[union-attr]
        outputs = {
            approach: [
                None if (value := came.get(str(m))) is None else output_of(value, self._parameters)
                for m in members
            ]
            for approach, members in self._members.items()
        }
        verdict = vote(outputs, self._tolerances, self._state)
        self.verdict, self._state = verdict, verdict.state
        for key in self.departures.take((*verdict.faults, *verdict.use_cases)):
            self.rejections[key] += 1
        agreed = verdict.output
        if self._port == "command":
            if agreed is None:
                self.rejections["no majority: no command"] += 1
                return {}
            command = next(iter(came.values()))
            assert isinstance(command, JointTrajectory)
            return {self._port: replace(command, velocities=agreed.mean[None])}
        if agreed is None:
            agreed = self._predicted(stamp_ns)
        elif agreed.is_known:
            self._agreed = stamp_ns, agreed
        return {self._port: self._value(stamp_ns, agreed)}

    def _predicted(self, stamp_ns: int) -> Output:
        """What was agreed on last, moved on; unknown when that is too long ago, and where nothing moves by itself."""
        if self._agreed is not None and self._is_moving:
            agreed_ns, last = self._agreed
            passed_s = (stamp_ns - agreed_ns) * 1e-9
            if passed_s <= self._parameters.hold_s:
                self.rejections["no majority: predicted"] += 1
                return _moved_on(last, passed_s, self._parameters.acceleration_m_s2)
        self.rejections["no majority: unknown"] += 1
        size = len(self._tolerances.replica)
        return Output(np.full(size, np.nan), np.eye(size), is_known=False)

    def _value(self, stamp_ns: int, output: Output) -> PoseWithCovariance | Odometry:
        pose = _widened(output.covariance[:3, :3]) if output.is_known else unknown_covariance()
        position = output.mean[:3] if output.is_known else np.full(3, np.nan)
        if not self._is_moving:
            return PoseWithCovariance(
                stamp_ns=stamp_ns, frame_id=self._frame, position=position, covariance=pose
            )
        return Odometry(
            stamp_ns=stamp_ns,
            frame_id=self._frame,
            child_frame_id=self._frame,
            position=position,
            linear_velocity=output.mean[3:] if output.is_known else np.full(3, np.nan),
            pose_covariance=pose,
            twist_covariance=_widened(output.covariance[3:, 3:]) if output.is_known else unknown_covariance(),
        )


def output_of(value: Value, parameters: VoterParameters) -> Output:
    """What a value says, as it is compared: position, and for an estimate velocity; or the joints' velocities.

    Args:
        value: A detection, an estimate or a command.
        parameters: Of the voter.
    """
    if isinstance(value, JointTrajectory):
        velocities = value.velocities[0]
        return Output(velocities, parameters.command_sigma_rad_s**2 * np.eye(len(velocities)))
    if isinstance(value, PoseWithCovariance):
        return Output(value.position, value.covariance[:3, :3], value.is_known)
    assert isinstance(value, Odometry)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = value.pose_covariance[:3, :3]
    covariance[3:, 3:] = value.twist_covariance[:3, :3]
    return Output(np.concatenate([value.position, value.linear_velocity]), covariance, value.is_known)


def _replica_tolerance(parameters: VoterParameters, declared: Port) -> FloatArray:
    if declared.type is MessageType.JOINT_TRAJECTORY:
        return np.full(declared.shape or (1,), parameters.command_tolerance_rad_s)
    tolerance = [parameters.position_tolerance_m] * 3
    if declared.type is MessageType.ODOMETRY:
        tolerance += [parameters.velocity_tolerance_m_s] * 3
    return np.array(tolerance, dtype=np.float64)


def _validated(parameters: Mapping[str, Any]) -> VoterParameters:
    try:
        return VoterParameters.model_validate(parameters)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "parameters"
        raise ValueRefusedError(f"voter: parameter {where}: {first['msg']}.") from None


def _moved_on(output: Output, passed_s: float, acceleration: float) -> Output:
    """A position and velocity some time later, without any force; covariance of an unknown constant acceleration."""
    transition = np.eye(6)
    transition[:3, 3:] = passed_s * np.eye(3)
    push = np.concatenate([0.5 * passed_s**2 * np.eye(3), passed_s * np.eye(3)])
    covariance = transition @ output.covariance @ transition.T + acceleration**2 * push @ push.T
    return Output(transition @ output.mean, covariance)


def _widened(covariance: FloatArray) -> FloatArray:
    """The (6, 6) of a message, of which nothing is said of rotations."""
    full = np.zeros((6, 6))
    full[:3, :3] = covariance
    return full
