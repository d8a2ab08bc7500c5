"""Description: the nodes that a flow needs on ROS 2, and which of them share a process, as plain data.

The command line starts them by itself, launch files by `launch_ros`; both read what to start from here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reflexarc.control.errors import FlowError
from reflexarc.control.flow import Flow
from reflexarc.control.nodes import Clock

__all__ = ["TWIN", "NodeDescription", "by_process", "command_line", "describe_flow", "on_host", "steps_topic"]

TWIN = "twin"
"""Node name of the plant in simulation."""


def steps_topic(node: str) -> str:
    """Topic on which a module's node tells its steps, relative as all topics are."""
    return f"{node}/steps"


@dataclass(frozen=True, kw_only=True)
class NodeDescription:
    """One lifecycle node.

    Args:
        name: Its node name.
        executable: `module_node` or `twin_node`: a file of this folder with a `main`, and of the same name in
            `lib/reflexarc`, where launch files look for it.
        parameters: Its ROS 2 parameters.
        process: Name of its process, which it may share with others of the same executable.
        host: Name of the host of that process; None where the deployment has no hosts.
        namespace: That of the robot, so that a second one has the same flow beside it; empty for none.
    """

    name: str
    executable: str
    parameters: Mapping[str, Any]
    process: str
    host: str | None = None
    namespace: str = ""

    @property
    def python_module(self) -> str:
        """For `python -m`."""
        return f"{__package__}.{self.executable}"


def describe_flow(
    flow: Flow,
    flow_file: str,
    clock: Clock,
    store: Path | None = None,
    run_directory: Path | None = None,
    twin: Mapping[str, Any] | None = None,
    robot_file: str = "",
) -> tuple[NodeDescription, ...]:
    """The nodes of a flow, from the actuators back to the sensors, which is the order to bring them up in.

    Args:
        flow: The flow, with its robot where it has one.
        flow_file: Name or path that the nodes read it from.
        clock: What drives it.
        store: Folder of the artifacts, or None for those that ship.
        run_directory: Where the nodes leave their records, or None for none.
        twin: Parameters of the twin alone; None for a flow without one, whose plant is there already.
        robot_file: Name or path that the nodes read the robot from, where `flow_file` does not say it.

    Raises:
        FlowError: A module has the name of the plant's node.
    """
    if TWIN in flow.modules:
        raise FlowError(
            f"{flow.name}: no module can be called '{TWIN}', which is the plant's node. Rename it."
        )
    common = {
        "flow": flow_file,
        "clock": clock,
        "store": "" if store is None else str(store.absolute()),
        "run_directory": "" if run_directory is None else str(run_directory),
        "real_time_factor": (twin or {}).get("real_time_factor", 1.0),
        **({"robot": robot_file} if robot_file else {}),
    }
    # In lock step each marker brings the time; reading /clock as well would only cost. A real robot has none.
    is_simulated = flow.robot.use_sim_time if flow.robot is not None else twin is not None
    reads_clock = clock == "realtime" and is_simulated
    parameters = {**common, "use_sim_time": reads_clock}
    modules = tuple(_module(flow, name, parameters) for name in reversed(flow.order))
    if twin is None:
        return modules
    process, host = _place(flow, TWIN)
    plant = NodeDescription(
        name=TWIN,
        executable="twin_node",
        parameters={**common, "use_sim_time": False, **twin},
        process=process,
        host=host,
    )
    return (*modules, plant)


def by_process(nodes: Iterable[NodeDescription]) -> dict[str, tuple[NodeDescription, ...]]:
    """The nodes of each process, in the order that they were given in."""
    found: dict[str, tuple[NodeDescription, ...]] = {}
    for node in nodes:
        found[node.process] = (*found.get(node.process, ()), node)
    return found


def on_host(nodes: Sequence[NodeDescription], host: str) -> list[NodeDescription]:
    """The nodes that a host has.

    Raises:
        FlowError: It has none.
    """
    found = [node for node in nodes if node.host == host]
    if not found:
        raise FlowError(f"host {host}: the deployment places no process there. Nothing is to be started.")
    return found


def command_line(nodes: Sequence[NodeDescription], parameter_files: Sequence[str]) -> list[str]:
    """Arguments of the process that hosts these nodes.

    Args:
        nodes: All nodes of one process.
        parameter_files: A file of ROS 2 parameters for each.
    """
    names = [node.name for node in nodes]
    files = [argument for file in parameter_files for argument in ("--params-file", file)]
    if len(names) == 1:
        return ["--ros-args", "-r", f"__node:={names[0]}", *files]
    return [*names, "--ros-args", *files]


def _module(flow: Flow, name: str, parameters: Mapping[str, Any]) -> NodeDescription:
    process, host = _place(flow, name)
    return NodeDescription(
        name=name,
        executable="module_node",
        parameters=parameters,
        process=process,
        host=host,
        namespace=flow.namespace,
    )


def _place(flow: Flow, node: str) -> tuple[str, str | None]:
    """Process and host of a node; without a deployment a process of its own, here."""
    if flow.deployment is None:
        return node, None
    return flow.deployment.process_of(node) or node, flow.deployment.host_of(node)
