"""The smallest flow: joints that follow velocities, and one module that commands them."""

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from reflexarc.control.flow import Flow
from reflexarc.control.module import Inputs, Module, Outputs
from reflexarc.control.ports import MessageType, PortNeed
from reflexarc.control.values import Float64Array, JointState

NAMES = ("left", "right")
TICKS = 20


class Brake(Module):
    """Commands minus the position, and zero for the last command."""

    needs_artifact: ClassVar = False
    input_needs: ClassVar = {"joint_states": PortNeed(type=MessageType.JOINT_STATE)}
    output_needs: ClassVar = {"command": PortNeed(type=MessageType.FLOAT64_ARRAY)}

    def __init__(self, parameters: Mapping[str, Any], outputs: Mapping[str, Any], artifact: object) -> None:
        if "raises" in parameters:
            raise KeyError(parameters["raises"])
        self.reset()

    def reset(self) -> None:
        self.steps = 0

    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        self.steps += 1
        if not inputs["joint_states"]:
            return {"command": Float64Array(data=np.zeros(2))}
        return {"command": Float64Array(data=-inputs["joint_states"][-1].position / self.steps)}

    def halt(self, now_ns: int) -> Outputs:
        return {"command": Float64Array(data=np.zeros(2))}


class Slider:
    """The plant."""

    def __init__(self, flow: Flow) -> None:
        self.tick_ns = 10_000_000
        self._digest = hashlib.sha256()
        self._left = 0

    @property
    def is_over(self) -> bool:
        return self._left == 0

    def reset(self, seed: int, now_ns: int) -> None:
        self._position = np.random.default_rng(seed).normal(size=2)
        self._velocity = np.zeros(2)
        self._now_ns = now_ns
        self._left = TICKS

    def sense(self):
        return [
            (
                "joint_states",
                JointState(
                    stamp_ns=self._now_ns, names=NAMES, position=self._position, velocity=self._velocity
                ),
            )
        ]

    def accept(self, port, value):
        self._velocity = value.data
        self._digest.update(value.data.tobytes())

    def advance(self) -> None:
        self._position = self._position + 0.01 * self._velocity
        self._digest.update(self._position.tobytes())
        self._now_ns += self.tick_ns
        self._left -= 1

    def score(self):
        return {"distance": float(np.abs(self._position).max())}

    def trajectory_digest(self) -> str:
        return self._digest.hexdigest()


def small_flow(*, rate_hz: float = 100, **brake: Any) -> Flow:
    """Plant and brake; `brake` changes the module's declaration."""
    return Flow.model_validate(
        {
            "name": "small",
            "plant": {
                "env": f"{__name__}:Slider",
                "rate_hz": rate_hz,
                "outputs": {
                    "joint_states": {
                        "type": "sensor_msgs/JointState",
                        "topic": "joint_states",
                        "shape": (2,),
                        "unit": "rad",
                        "rate_hz": 100,
                        "stream": "sensor",
                    }
                },
                "inputs": {"command": {"node": "brake", "port": "command"}},
            },
            "modules": {
                "brake": {
                    "name": "brake",
                    "kind": f"{__name__}:Brake",
                    "trigger": ["joint_states"],
                    "latency_s": 1 / rate_hz,
                    "inputs": {"joint_states": {"node": "plant", "port": "joint_states"}},
                    "outputs": {
                        "command": {
                            "type": "std_msgs/Float64MultiArray",
                            "topic": "brake/command",
                            "shape": (2,),
                            "unit": "rad/s",
                            "rate_hz": 100,
                            "stream": "command",
                        }
                    },
                    **brake,
                }
            },
        }
    )


def arguments(flow: Flow, clock: str, directory, **more: Any) -> list[str]:
    """A command line that makes a `module` node the brake of this flow."""
    path = directory / "flow.json"
    path.write_text(flow.model_dump_json())
    parameters = {"flow": str(path), "clock": clock, "run_directory": str(directory), **more}
    return ["-r", "module:__node:=brake", *(a for k, v in parameters.items() for a in ("-p", f"{k}:={v}"))]
