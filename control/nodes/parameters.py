"""Parameters: what a node is told when it starts, as ROS 2 parameters, read once at configure."""

from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from rclpy.node import Node

from reflexarc.control.errors import ValueRefusedError, did_you_mean
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes import Clock
from reflexarc.control.robot_file import on_robot

__all__ = ["NodeParameters"]

_TEXTS = ("flow", "robot", "clock", "store", "run_directory")


@dataclass(frozen=True, kw_only=True)
class NodeParameters:
    """Parameters that every node of a flow has.

    Args:
        flow: Name or path of the flow file, or path of a flow that the launcher wrote (`.json`).
        robot: Name or path of the robot file, or empty for a flow without one.
        clock: `lockstep` or `realtime`.
        real_time_factor: How fast the clock of a twin goes, where there is one.
        store: Folder of the artifacts, or None for those that come with the project.
        run_directory: Where the node leaves its records, or None to leave none.
        autostart: Whether the node configures and activates itself, as one does that takes a dead one's place.
    """

    flow: str
    robot: str
    clock: Clock
    real_time_factor: float
    store: Path | None
    run_directory: Path | None
    autostart: bool

    def load_flow(self) -> Flow:
        """The flow that the node belongs to.

        Raises:
            FlowError: It cannot be read, or is wrong.
        """
        path = Path(self.flow)
        if path.suffix == ".json":
            return Flow.model_validate_json(path.read_bytes())
        flow = load_flow(self.flow)
        return on_robot(flow, self.robot) if self.robot else flow

    @staticmethod
    def declare(node: Node) -> None:
        """Declare them, with the defaults for a node that is started by hand."""
        for name, default in {**dict.fromkeys(_TEXTS, ""), "clock": "realtime"}.items():
            node.declare_parameter(name, default)
        node.declare_parameter("autostart", False)
        node.declare_parameter("real_time_factor", 1.0)

    @staticmethod
    def read(node: Node) -> "NodeParameters":
        """What they are now.

        Raises:
            ValueRefusedError: One of them cannot be right.
        """
        flow, robot, clock, store, run_directory = (
            node.get_parameter(name).get_parameter_value().string_value for name in _TEXTS
        )
        if not flow:
            raise ValueRefusedError(
                f"{node.get_name()}: parameter flow is not set. Give a flow's name or path."
            )
        if clock not in get_args(Clock):
            raise ValueRefusedError(
                f"{node.get_name()}: parameter clock is '{clock}'. {did_you_mean(clock, get_args(Clock))}"
            )
        factor = node.get_parameter("real_time_factor").get_parameter_value().double_value
        if not 0.0 < factor <= 1.0:
            raise ValueRefusedError(
                f"{node.get_name()}: parameter real_time_factor is {factor:g}, expected more than 0, up to 1."
            )
        return NodeParameters(
            flow=flow,
            robot=robot,
            clock=cast(Clock, clock),
            real_time_factor=factor,
            store=Path(store) if store else None,
            run_directory=Path(run_directory) if run_directory else None,
            autostart=node.get_parameter("autostart").get_parameter_value().bool_value,
        )
