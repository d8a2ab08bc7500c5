"""The smallest flow with a trained module: a brake whose gain comes from an artifact."""

import time
from typing import Any, ClassVar

import numpy as np
import rclpy
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from sensor_msgs.msg import JointState as JointStateMessage
from small_flow import NAMES, Brake, arguments, small_flow
from std_msgs.msg import Float64MultiArray

from reflexarc.control.artifacts.artifact import Manifest, write_artifact
from reflexarc.control.artifacts.store import write_lock
from reflexarc.control.nodes.messages import from_message, to_message
from reflexarc.control.nodes.module_node import ModuleNode
from reflexarc.control.values import Float64Array, JointState


class Tuned(Brake):
    """Commands its gain; from step `fails_at` on NaN."""

    needs_artifact: ClassVar = True

    def __init__(self, parameters: Any, outputs: Any, artifact: Any) -> None:
        self._gain = float(artifact.manifest.constants["gain"])
        self._fails_at = artifact.manifest.constants.get("fails_at", np.inf)
        super().__init__(parameters, outputs, artifact)

    def step(self, inputs, now_ns):
        self.steps += 1
        return {
            "command": Float64Array(data=np.full(2, self._gain if self.steps < self._fails_at else np.nan))
        }


def tuned_artifact(store, **constants: Any) -> str:
    """Digest of a new artifact."""
    manifest = Manifest(
        module="brake", kind=f"{__name__}:Tuned", flow="small", trainer="hand", ports={}, constants=constants,
        code_digest="", environment_digest="", config_digest="", upstream={}, seed=0, libraries={},
    )  # fmt: skip
    return write_artifact(store, manifest, {}).digest


class TunedRun:
    """An active node with the gain 1, and one that stands where the plant would and asks for swaps."""

    def __init__(self, nodes, directory, clock="realtime") -> None:
        self.store = directory / "store"
        self.first = tuned_artifact(self.store, gain=1.0)
        write_lock(self.store, "small", {"brake": self.first})
        flow = small_flow(kind=f"{__name__}:Tuned", artifact="brake")
        nodes.start(arguments(flow, clock, directory, store=self.store))
        self.nodes = nodes
        self.node = nodes.add(ModuleNode())
        self.neighbour = nodes.add(rclpy.create_node("neighbour"))
        self.commands = []
        self._sender = self.neighbour.create_publisher(JointStateMessage, "joint_states", 10)
        self.neighbour.create_subscription(
            Float64MultiArray, "brake/command", lambda m: self.commands.append(from_message(m).data[0]), 10
        )
        self._client = self.neighbour.create_client(SetParameters, "brake/set_parameters")
        self._stamp = self._answered = 0
        self._paced_at = 0.0
        self.node.trigger_configure()

    def activate(self) -> None:
        self.node.trigger_activate()
        self.nodes.spin_until(
            lambda: self._sender.get_subscription_count() and self.node.count_subscribers("brake/command")
        )

    def ask(self, digest: str) -> str:
        """Set the parameter; the reason why not, or nothing."""
        parameter = Parameter("artifact", value=digest).to_parameter_msg()
        self.nodes.spin_until(self._client.service_is_ready)
        future = self._client.call_async(SetParameters.Request(parameters=[parameter]))
        self.nodes.spin_until(future.done)
        return future.result().results[0].reason

    def pace(self) -> None:
        """One joint state for each command, and what the process of a node does between callbacks.

        Not more of them: the executor handles one event per turn here, and others would wait ever longer.
        """
        now = time.monotonic()
        if len(self.commands) != self._answered or now > self._paced_at + 0.1:
            self._answered, self._paced_at = len(self.commands), now
            self._stamp += 1
            state = JointState(stamp_ns=self._stamp, names=NAMES, position=np.ones(2), velocity=np.zeros(2))
            self._sender.publish(to_message(state))
        self.node.work()

    def pace_until(self, is_done) -> None:
        def step() -> bool:
            self.pace()
            return is_done()

        self.nodes.spin_until(step)

    def runs(self) -> str:
        return self.node.get_parameter("artifact").value
