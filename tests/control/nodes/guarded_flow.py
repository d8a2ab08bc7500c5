"""A small flow behind a real guard, its robot, and a process that behaves as that robot's drivers do."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
from small_flow import NAMES

from reflexarc.control.flow import Flow
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.ports import MessageType, PortNeed
from reflexarc.control.values import JointTrajectory

SPEED = 1.0
ACCELERATION = 10.0
RATE_HZ = 100.0


def wanted(stamp_ns: int) -> JointTrajectory:
    """Both joints at full speed."""
    return JointTrajectory(
        stamp_ns=stamp_ns,
        names=NAMES,
        positions=np.empty((1, 0)),
        velocities=np.full((1, 2), SPEED),
        time_from_start_ns=np.zeros(1, dtype=np.int64),
    )


class Pusher(Module):
    """Wants full speed, whatever it is told, and counts how often it was to forget."""

    needs_artifact: ClassVar = False
    input_needs: ClassVar = {"joint_states": PortNeed(type=MessageType.JOINT_STATE)}
    output_needs: ClassVar = {"command": PortNeed(type=MessageType.JOINT_TRAJECTORY)}

    def __init__(self, parameters: Mapping[str, Any], outputs: Mapping[str, Any], artifact: object) -> None:
        pass

    def reset(self) -> None:
        self.rejections["forgot"] += 1

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        return {"command": wanted(inputs["joint_states"][-1].stamp_ns)} if inputs["joint_states"] else {}


ROBOT = {
    "robot": "slider",
    "joints": NAMES[::-1],
    "joint_prefix": "my_",
    "outputs": {"joint_states": {"topic": "arm/joint_states"}},
    "inputs": {"command": {"topic": "arm/commands"}},
}


def guarded_flow(**robot: Any) -> Flow:
    """Plant, pusher and guard; `robot` changes the robot."""
    joints = {"shape": (2,), "rate_hz": RATE_HZ}
    command = {"type": "trajectory_msgs/JointTrajectory", "unit": "rad/s", "stream": "command", **joints}
    return Flow.model_validate(
        {
            "name": "guarded",
            "plant": {
                "env": "small_flow:Slider",
                "rate_hz": RATE_HZ,
                "outputs": {
                    "joint_states": {
                        "type": "sensor_msgs/JointState",
                        "topic": "joint_states",
                        "unit": "rad",
                        "stream": "sensor",
                        **joints,
                    }
                },
                "inputs": {"command": {"node": "guard", "port": "command"}},
            },
            "modules": {
                "pusher": {
                    "name": "pusher",
                    "kind": f"{__name__}:Pusher",
                    "trigger": ["joint_states"],
                    "inputs": {"joint_states": {"node": "plant", "port": "joint_states"}},
                    "outputs": {"command": {"topic": "pusher/command", **command}},
                },
                "guard": {
                    "name": "guard",
                    "kind": "guard",
                    "trigger": ["command"],
                    "deadline_s": 0.02,
                    "latency_s": 0.01,
                    "inputs": {
                        "command": {"node": "pusher", "port": "command"},
                        "joint_states": {"node": "plant", "port": "joint_states"},
                    },
                    "outputs": {
                        "command": {**command, "type": "std_msgs/Float64MultiArray", "topic": "guard/command"}
                    },
                    "parameters": {
                        "joints": NAMES,
                        "rate_hz": RATE_HZ,
                        "position_low_rad": [-100.0, -100.0],
                        "position_high_rad": [100.0, 100.0],
                        "velocity_limit": [SPEED, SPEED],
                        "acceleration_limit": [ACCELERATION, ACCELERATION],
                        "staleness_s": 0.1,
                    },
                },
            },
            "robot": {**ROBOT, **robot},
        }
    )
