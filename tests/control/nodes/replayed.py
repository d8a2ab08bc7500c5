"""A recording of the smallest flow, made without ROS 2's network: joint states, and what the brake made of them."""

from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
from rclpy.serialization import serialize_message
from small_flow import Brake, small_flow
from std_msgs.msg import Int64MultiArray

from reflexarc.control.nodes.bag_metadata import Channel
from reflexarc.control.nodes.bag_writer import BagWriter, Message
from reflexarc.control.nodes.messages import to_message
from reflexarc.control.nodes.recorder import FLOW
from reflexarc.control.nodes.steps import Step, encode_step, mark_of, step_ports
from reflexarc.control.values import Float64Array, JointState

STEPS, EPISODE = 400, 100
TICK_NS = 10_000_000
JOINTS = Channel("/joint_states", "sensor_msgs/msg/JointState")
COMMANDS = Channel("/brake/command", "std_msgs/msg/Float64MultiArray")
TOLD = Channel("/brake/steps", "std_msgs/msg/Int64MultiArray")


class Recording:
    """Its parts, to be changed before they are written.

    Attributes:
        inputs: One per step.
        outputs: What the brake really gave.
        recorded: What is in the bag of these; None for nothing.
        steps: What the node told.
    """

    def __init__(self, first_number: int = 30) -> None:
        self.flow = small_flow()
        random = np.random.default_rng(1)
        self.inputs: list[JointState | None] = []
        self.outputs: list[Float64Array] = []
        self.steps: list[Step] = []
        brake = Brake({}, {}, None)
        brake.steps = first_number  # as it was when the recording began
        for index in range(STEPS):
            number = (index + first_number) % EPISODE
            if number == 0:
                brake.reset()
            state = JointState(
                stamp_ns=index * TICK_NS,
                names=("left", "right"),
                position=random.normal(size=2),
                velocity=np.zeros(2),
            )
            made = brake.step({"joint_states": (state,)}, index * TICK_NS)["command"]
            self.inputs.append(state)
            self.outputs.append(made)
            given = {"joint_states": (mark_of(state),)}
            step = Step(100 + index, number, index * TICK_NS, 0, False, given, {"command": mark_of(made)})
            self.steps.append(step)
        self.recorded: list[Float64Array | None] = list(self.outputs)

    def change(self, index: int, **changes: object) -> None:
        self.steps[index] = replace(self.steps[index], **changes)

    def write(self, folder: Path) -> Path:
        folder.mkdir()
        bag = BagWriter(folder, {FLOW: {"flow": self.flow.model_dump_json(), "clock": "realtime"}})
        ports = step_ports(self.flow.modules["brake"])
        by_serial = {step.serial - 100: step for step in self.steps}
        waiting: list[Step] = []

        def put(channel: Channel, index: int, message: object) -> None:
            came_ns = 1_700_000_000_000_000_000 + index * TICK_NS
            bag.write(Message(channel, came_ns, came_ns, serialize_message(message)))

        for index in range(STEPS):
            if (state := self.inputs[index]) is not None:
                put(JOINTS, index, to_message(state))
            if (command := self.recorded[index]) is not None:
                put(COMMANDS, index, to_message(command))
            step = by_serial.get(index)
            if step is not None:
                waiting.append(step)
            if waiting and (step is None or len(waiting) == 10 or index == STEPS - 1):
                data = [n for s in waiting for n in encode_step(s, *ports)]
                put(TOLD, index, Int64MultiArray(data=array("q", [waiting[0].serial, *data])))
                waiting.clear()
        bag.close()
        return folder
