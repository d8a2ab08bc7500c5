"""Robot: what the drivers of one robot really give and take, where that differs from the flow.

Plain data; `robot_file` reads it from YAML and checks it against a flow, `robot_adapter` acts on it. Modules
never see it: they keep the units, the frames, the order and the rates that they were trained with.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from reflexarc.control.frames import matrix_from_quaternion
from reflexarc.control.values import FloatArray

__all__ = ["DeadMan", "DriverTopic", "Limits", "Robot", "SensorTopic", "StaticFrame", "pose_in"]

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_Topic = Annotated[str, Field(pattern=rf"^/?{_NAME}(/{_NAME})*$")]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class DriverTopic(BaseModel):
    """One topic of a driver; what is None is as in the flow.

    Args:
        topic: Its name, below the robot's namespace unless it begins with '/'.
        reliability: Quality of service, as our end is to ask for or to offer it.
        durability: The same.
        depth: The same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: _Topic | None = None
    reliability: Literal["reliable", "best_effort"] | None = None
    durability: Literal["volatile", "transient_local"] | None = None
    depth: int | None = Field(default=None, ge=1)


class SensorTopic(DriverTopic):
    """One topic that a driver publishes.

    Args:
        encoding: Encoding of an image.
        frame: `frame_id` of the messages.
        rate_hz: How often one comes; of a faster stream the flow takes as many as its port declares.
    """

    encoding: str | None = None
    frame: str | None = None
    rate_hz: _Positive | None = None


class StaticFrame(BaseModel):
    """A frame that stands still in another one.

    Args:
        parent: The other one.
        child: This one.
        position: Its origin in the other, m.
        orientation_xyzw: Its orientation in the other.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    parent: str = Field(min_length=1)
    child: str = Field(min_length=1)
    position: tuple[_Finite, _Finite, _Finite] = (0.0, 0.0, 0.0)
    orientation_xyzw: tuple[_Finite, _Finite, _Finite, _Finite] = (0.0, 0.0, 0.0, 1.0)


class Limits(BaseModel):
    """Limits narrower than the guard's own; per joint, in the order of `joints`.

    Args:
        velocity_limit: rad/s.
        acceleration_limit: rad/s^2.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    velocity_limit: tuple[_Positive, ...] | None = None
    acceleration_limit: tuple[_Positive, ...] | None = None


class DeadMan(BaseModel):
    """A switch (`std_msgs/Bool`) that somebody has to hold, or the robot stands still.

    Args:
        topic: As in `DriverTopic`.
        timeout_s: So long a `true` holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    topic: _Topic = "dead_mans_switch"
    timeout_s: _Positive = 0.2


class Robot(BaseModel):
    """A robot, as its drivers show it.

    Args:
        robot: Its name.
        namespace: Of its drivers' topics, `/left`; empty for none.
        joints: Order of its commands, by the flow's names.
        joint_prefix: The driver's names are this and the flow's.
        outputs: By output of the flow's plant.
        inputs: By input of the flow's plant.
        frames: Where its parts stand; any trees.
        limits: What it may do less than the guard lets through.
        dead_man: None for a robot without such a switch.
        use_sim_time: Whether it is a simulation whose time is on `/clock`, as Gazebo's; the flow then goes by that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    robot: str = Field(pattern=r"^[a-z][a-z0-9_]*$")
    namespace: str = Field(default="", pattern=rf"^(/{_NAME})*$")
    joints: tuple[str, ...] = Field(min_length=1)
    joint_prefix: str = ""
    outputs: dict[str, SensorTopic] = Field(default_factory=dict)
    inputs: dict[str, DriverTopic] = Field(default_factory=dict)
    frames: tuple[StaticFrame, ...] = ()
    limits: Limits = Limits()
    dead_man: DeadMan | None = None
    use_sim_time: bool = False

    def sensor(self, port: str) -> SensorTopic:
        """What is said of an output of the plant."""
        return self.outputs.get(port, SensorTopic())

    def actuator(self, port: str) -> DriverTopic:
        """What is said of an input of the plant."""
        return self.inputs.get(port, DriverTopic())

    def full_topic(self, topic: str) -> str:
        """A topic of the robot, from the root: it is the same whatever namespace our nodes are in."""
        return topic if topic.startswith("/") else f"{self.namespace}/{topic}"


def pose_in(frames: Sequence[StaticFrame], base: str, frame: str) -> tuple[FloatArray, FloatArray] | None:
    """Where a frame stands in another, along whatever chain of static frames joins them.

    Args:
        frames: Trees of static frames.
        base: The frame to express it in.
        frame: The frame asked for.

    Returns:
        Its origin, shape (3,), m, and `base_from_frame`, shape (3, 3); None if no chain leads there.
    """
    found = {base: (np.zeros(3), np.eye(3))}
    waiting = [base]
    while waiting:
        here = waiting.pop()
        position, rotation = found[here]
        for link in frames:
            offset = np.array(link.position)
            turn = matrix_from_quaternion(np.array(link.orientation_xyzw))
            if link.parent == here and link.child not in found:
                found[link.child] = position + rotation @ offset, rotation @ turn
                waiting.append(link.child)
            elif link.child == here and link.parent not in found:
                found[link.parent] = position - rotation @ turn.T @ offset, rotation @ turn.T
                waiting.append(link.parent)
    return found.get(frame)
