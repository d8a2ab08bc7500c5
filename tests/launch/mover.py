"""A module that moves two joints to where they read zero, for a flow file with a real guard (`mover.yaml`)."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.ports import MessageType, PortNeed
from reflexarc.control.values import JointTrajectory


class Mover(Module):
    needs_artifact: ClassVar = False
    input_needs: ClassVar = {"joint_states": PortNeed(type=MessageType.JOINT_STATE)}
    output_needs: ClassVar = {"command": PortNeed(type=MessageType.JOINT_TRAJECTORY)}

    def __init__(self, parameters: Mapping[str, Any], outputs: Mapping[str, Any], artifact: object) -> None:
        self.reset()

    def reset(self) -> None:
        pass

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        state = inputs["joint_states"][-1]
        return {
            "command": JointTrajectory(
                stamp_ns=state.stamp_ns,
                names=state.names,
                positions=np.empty((1, 0)),
                velocities=-state.position[None],
                time_from_start_ns=np.zeros(1, dtype=np.int64),
            )
        }
