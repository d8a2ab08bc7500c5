"""Launch actions: the nodes of a flow as `ros2 launch` starts them, read from the description that the CLI uses.

`launch/sim.launch.py` and `launch/robot.launch.py` declare the arguments; what follows from them is here. Nodes
come up one after another, from the actuators back to the sensors: each is configured, then each is activated.
A node that cannot come up, or that ends and is not started again, ends the launch.
"""

from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from launch import Action, Event, LaunchContext
from launch.actions import EmitEvent, LogInfo, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handler import EventHandler
from launch.events import matches_action
from launch.events.process import ProcessExited
from launch_ros.actions import LifecycleNode
from launch_ros.events.lifecycle import ChangeState, StateTransition
from lifecycle_msgs.msg import Transition

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.description import TWIN, NodeDescription, describe_flow
from reflexarc.control.seeds import evaluation_seeds

__all__ = ["on_robot", "simulation"]

_RESPAWN_DELAY_S = 1.0
"""A module that cannot come up would otherwise be started again without a pause."""

_Number = TypeVar("_Number", int, float)

_UNDER_WAY = ("configuring", "activating", "errorprocessing")


def simulation(context: LaunchContext) -> list[Action]:
    """A flow and its twin; the launch ends with the last episode.

    Raises:
        ReflexarcError: The flow or an argument is not right.
    """
    arguments = context.launch_configurations
    flow_file, clock = arguments["flow"], arguments["clock"]
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
    nodes = describe_flow(load_flow(flow_file), flow_file, clock, _store(context), twin=twin)
    respawned = {node.name for node in nodes if node.name != TWIN} if is_respawned else set()
    return _brought_up(context, nodes, respawned, inactive=set())


def on_robot(context: LaunchContext) -> list[Action]:
    """The modules of a flow, on the topics of a robot's drivers.

    What commands the robot is never started again by itself, and activated only where the user says so.

    Raises:
        ReflexarcError: The flow or an argument is not right.
    """
    arguments = context.launch_configurations
    flow_file = arguments["flow"]
    flow = load_flow(flow_file)
    nodes = describe_flow(flow, flow_file, "realtime", _store(context))
    commanders = {source.node for source in flow.plant.inputs.values()}
    respawned = {node.name for node in nodes} - commanders if arguments["respawn"] == "true" else set()
    inactive = set() if arguments["activate"] == "true" else commanders
    return _brought_up(context, nodes, respawned, inactive)


def _brought_up(
    context: LaunchContext, descriptions: Sequence[NodeDescription], respawned: set[str], inactive: set[str]
) -> list[Action]:
    """Actions that start nodes and bring them up.

    Args:
        context: With the arguments that both launch files have.
        descriptions: From the actuators back to the sensors.
        respawned: Names of those that are started again when they end. They come up by themselves, since nobody
            else tells one that takes a dead one's place.
        inactive: Names of those that are only configured.
    """
    nodes = {node.name: _lifecycle_node(context, node, node.name in respawned) for node in descriptions}
    led = {name: node for name, node in nodes.items() if name not in respawned}
    steps = [
        *(_Step(name, node, Transition.TRANSITION_CONFIGURE, "inactive") for name, node in led.items()),
        *(
            _Step(name, node, Transition.TRANSITION_ACTIVATE, "active")
            for name, node in led.items()
            if name not in inactive
        ),
    ]
    waiting = [f"{name} is configured and waits for its activation" for name in sorted(inactive)]
    bring_up = _BringUp(steps, "; ".join(["the flow is up", *waiting]))
    return [*nodes.values(), *bring_up.actions()]


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
        namespace=arguments["namespace"],
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


class _Step(NamedTuple):
    """A transition that a node is asked for, and the state that it is to lead to."""

    name: str
    node: LifecycleNode
    transition: int
    goal: str


class _BringUp:
    """Asks for one transition after another, each when the one before is done.

    Args:
        steps: What to ask for.
        done: What to say in the end.
    """

    def __init__(self, steps: Sequence[_Step], done: str) -> None:
        self._steps = deque(steps)
        self._done = done

    def actions(self) -> list[Action]:
        """Listen for transitions, and ask for the first one."""
        handler = EventHandler(matcher=self._is_awaited, entities=[OpaqueFunction(function=self._follow)])
        return [RegisterEventHandler(handler), *self._ask()]

    def _ask(self) -> list[Action]:
        if not self._steps:
            return [LogInfo(msg=self._done)]
        step = self._steps[0]
        change = ChangeState(lifecycle_node_matcher=matches_action(step.node), transition_id=step.transition)
        return [EmitEvent(event=change)]

    def _is_awaited(self, event: Event) -> bool:
        return bool(
            self._steps
            and isinstance(event, StateTransition)
            and event.action is self._steps[0].node
            and event.goal_state not in _UNDER_WAY
        )

    def _follow(self, context: LaunchContext) -> list[Action]:
        step = self._steps.popleft()
        state = context.locals.event.goal_state
        if state == step.goal:
            return self._ask()
        self._steps.clear()
        reason = f"{step.name} is {state} and cannot become {step.goal}; its log says why"
        return [LogInfo(msg=reason), Shutdown(reason=reason)]


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
