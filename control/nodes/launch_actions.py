"""Launch actions: the nodes of a flow as `ros2 launch` starts them, read from the description that the CLI uses.

`launch/sim.launch.py` and `launch/robot.launch.py` declare the arguments; what follows from them is here. Nodes
come up one after another, from the actuators back to the sensors: each is configured, then each is activated.
A node that cannot come up, or that ends and is not started again, ends the launch. While the flow is up other
terminals find it, as one that the CLI started: `reflexarc activate`, `faults` and `swap` go for both.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

from launch import Action, LaunchContext
from launch.actions import OpaqueFunction, Shutdown
from launch.event_handlers import OnShutdown
from launch.events import Shutdown as ShutdownEvent
from launch.events.process import ProcessExited
from launch.logging import get_logger
from launch_ros.actions import LifecycleNode

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes import Clock
from reflexarc.control.nodes.description import TWIN, NodeDescription, describe_flow
from reflexarc.control.nodes.lifecycle import LifecycleClient
from reflexarc.control.nodes.running import FLOW_FILE, announce, make_run_directory
from reflexarc.control.robot_file import on_robot
from reflexarc.control.seeds import evaluation_seeds

__all__ = ["deployment", "simulation"]

_RESPAWN_DELAY_S = 1.0
"""A module that cannot come up would otherwise be started again without a pause."""

_TRANSITION_WITHIN_S = 30.0
_POLL_S = 0.05

_Number = TypeVar("_Number", int, float)


def simulation(context: LaunchContext) -> list[Action]:
    """A flow and its twin; the launch ends with the last episode.

    Raises:
        ReflexarcError: The flow or an argument is not right.
    """
    arguments = context.launch_configurations
    flow_file = arguments["flow"]
    clock = cast(Clock, arguments["clock"])  # the launch file names the choices
    is_respawned = arguments["respawn"] == "true"
    if is_respawned and clock == "lockstep":
        raise ValueRefusedError(
            "respawn: in lock step nobody can go on without one of the nodes. Give clock:=realtime as well."
        )
    twin = {
        "seeds": list(evaluation_seeds(_number(context, "seed", int), _number(context, "episodes", int))),
        "real_time_factor": _number(context, "real_time_factor", float),
        "exit_when_over": True,
    }
    flow = load_flow(flow_file)
    nodes = describe_flow(flow, flow_file, clock, _store(context), twin=twin)
    names = {node.name for node in nodes}
    respawned = names - {TWIN} if is_respawned else set()
    up = _Up(flow, clock, "the flow is up")
    return _brought_up(context, nodes, respawned, names - respawned, up)


def deployment(context: LaunchContext) -> list[Action]:
    """The modules of a flow, beside the drivers of a robot, until someone ends the launch.

    What commands the robot is activated only where the user says so, and never again by itself.

    Raises:
        ReflexarcError: The flow, the robot or an argument is not right.
    """
    arguments = context.launch_configurations
    flow_file, robot_file = arguments["flow"], arguments["robot"]
    flow = on_robot(load_flow(flow_file), robot_file)
    nodes = describe_flow(flow, flow_file, "realtime", _store(context), robot_file=robot_file)
    names = {node.name for node in nodes}
    respawned = names if arguments["respawn"] == "true" else set()
    commanders = set(flow.commanders)
    activated = names - respawned - commanders
    words = f"the flow is up; {' and '.join(sorted(commanders))} is configured, to be activated"
    if arguments["activate"] == "true":
        activated, words = activated | commanders, "the flow is up"
    return _brought_up(context, nodes, respawned, activated, _Up(flow, "realtime", words))


@dataclass(frozen=True)
class _Up:
    """A flow, what drives it, and what to say once it is up."""

    flow: Flow
    clock: Clock
    words: str


def _brought_up(
    context: LaunchContext,
    descriptions: Sequence[NodeDescription],
    respawned: set[str],
    activated: set[str],
    up: _Up,
) -> list[Action]:
    """Actions that start nodes and bring them up.

    Args:
        context: With the arguments that both launch files have.
        descriptions: From the actuators back to the sensors.
        respawned: Names of those that are started again when they end. They come up by themselves, since nobody
            else tells one that takes a dead one's place; but what commands a robot only configures itself.
        activated: Names of those that are told to activate.
        up: What is up when all have been told.
    """
    nodes = {node.name: _lifecycle_node(context, node, node.name in respawned) for node in descriptions}
    configure = [(node, "configure") for name, node in nodes.items() if name not in respawned]
    activate = [(node, "activate") for name, node in nodes.items() if name in activated]
    namespace = context.launch_configurations["namespace"] or descriptions[0].namespace
    bring_up = _BringUp([*configure, *activate], partial(_tell, context, up, namespace))
    return [*nodes.values(), OpaqueFunction(function=bring_up.begin)]


def _tell(context: LaunchContext, up: _Up, namespace: str) -> None:
    """Say on the terminal and, until the launch ends, to other terminals that the flow is up."""
    if context.is_shutdown:
        return
    directory = make_run_directory()
    context.register_event_handler(
        OnShutdown(on_shutdown=lambda *_: shutil.rmtree(directory, ignore_errors=True))
    )
    write_whole(directory / FLOW_FILE, up.flow.model_dump_json())
    announce(
        directory, up.flow.name, up.clock, _store(context) or SHIPPED_STORE, namespace=_absolute(namespace)
    )
    get_logger("launch").info(up.words)


def _absolute(namespace: str) -> str:
    return f"/{namespace}" if namespace and not namespace.startswith("/") else namespace


def _lifecycle_node(
    context: LaunchContext, description: NodeDescription, is_respawned: bool
) -> LifecycleNode:
    arguments = context.launch_configurations
    parameters = {**description.parameters, "autostart": is_respawned}
    file = arguments["params_file"]
    if file and not Path(file).is_file():  # launch_ros would only warn
        raise ValueRefusedError(f"params_file: there is no {file}. Name a file of ROS 2 parameters.")
    return LifecycleNode(
        package="reflexarc",
        executable=description.executable,
        exec_name=description.name,
        name=description.name,
        namespace=arguments["namespace"] or description.namespace,
        parameters=[parameters, *([file] if file else [])],
        remappings=_remappings(arguments["remappings"]),
        ros_arguments=["--log-level", arguments["log_level"]],
        output="screen",
        respawn=is_respawned,
        respawn_delay=_RESPAWN_DELAY_S,
        on_exit=None if is_respawned else _end_launch,
    )


def _end_launch(event: ProcessExited, context: LaunchContext) -> list[Action]:
    # Not twice: launch_ros then stumbles over its node, which is gone already.
    return [] if context.is_shutdown else [Shutdown(reason=f"{event.process_name} has ended")]


class _BringUp:
    """Asks for one transition after another, each when the one before is done, as the command line does.

    It goes by the answers and not by the nodes' `transition_event`: a node of a busy machine may be configured
    before that topic is connected, and the launch would wait for an event that nobody sends again.

    Args:
        steps: Nodes and what to ask each for, in this order.
        on_done: Called in the end, in the launch's own thread.
    """

    def __init__(self, steps: Sequence[tuple[LifecycleNode, str]], on_done: Callable[[], None]) -> None:
        self._steps = steps
        self._on_done = on_done

    def begin(self, context: LaunchContext) -> None:
        """Lead the nodes in a thread of its own, since asking waits for answers."""
        context.add_completion_future(context.asyncio_loop.run_in_executor(None, self._lead, context))

    def _lead(self, context: LaunchContext) -> None:
        def check() -> None:
            if context.is_shutdown:
                raise _ShutdownError

        client = LifecycleClient([node.node_name for node, _ in self._steps])
        try:
            for node, transition in self._steps:
                while not client.is_up(node.node_name):
                    check()
                    client.spin(_POLL_S)
                if not client.change(node.node_name, transition, _TRANSITION_WITHIN_S, check):
                    check()
                    _fail(context, f"{node.node_name} cannot {transition}; its log says why")
                    return
        except _ShutdownError:
            return
        finally:
            client.close()
        context.asyncio_loop.call_soon_threadsafe(self._on_done)


class _ShutdownError(Exception):
    """The launch ends."""


def _fail(context: LaunchContext, reason: str) -> None:
    get_logger("launch").error(reason)
    context.asyncio_loop.call_soon_threadsafe(context.emit_event_sync, ShutdownEvent(reason=reason))


def _store(context: LaunchContext) -> Path | None:
    store = context.launch_configurations["store"]
    return Path(store) if store else None


def _number(context: LaunchContext, name: str, kind: type[_Number]) -> _Number:
    text = context.launch_configurations[name]
    try:
        return kind(text)
    except ValueError:
        what = "whole number" if kind is int else "number"
        raise ValueRefusedError(f"{name} is '{text}'. Give a {what}.") from None


def _remappings(text: str) -> list[tuple[str, str]]:
    """Pairs of topics from `from:=to from:=to`, as a node's own command line has them."""
    pairs = [rule.split(":=") for rule in text.split()]
    for pair in pairs:
        if len(pair) != 2 or not all(pair):
            raise ValueRefusedError(
                f"remappings: '{':='.join(pair)}' is no rule. Give from:=to, with a space between two rules."
            )
    return [(source, target) for source, target in pairs]
