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
from reflexarc.control.robot_file import on_robot
from reflexarc.control.seeds import evaluation_seeds

__all__ = ["deployment", "simulation"]

_RESPAWN_DELAY_S = 1.0
"""A module that cannot come up would otherwise be started again without a pause."""

_Number = TypeVar("_Number", int, float)


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
    names = {node.name for node in nodes}
    respawned = names - {TWIN} if is_respawned else set()
    return _brought_up(context, nodes, respawned, names - respawned, "the flow is up")


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
    if arguments["activate"] == "true":
        return _brought_up(context, nodes, respawned, activated | commanders, "the flow is up")
    waiting = " and ".join(sorted(commanders))
    return _brought_up(
        context, nodes, respawned, activated, f"the flow is up; {waiting} is configured, to be activated"
    )


def _brought_up(
    context: LaunchContext,
    descriptions: Sequence[NodeDescription],
    respawned: set[str],
    activated: set[str],
    done: str,
) -> list[Action]:
    """Actions that start nodes and bring them up.

    Args:
        context: With the arguments that both launch files have.
        descriptions: From the actuators back to the sensors.
        respawned: Names of those that are started again when they end. They come up by themselves, since nobody
            else tells one that takes a dead one's place; but what commands a robot only configures itself.
        activated: Names of those that are told to activate.
        done: What to say when all have been told.
    """
    nodes = {node.name: _lifecycle_node(context, node, node.name in respawned) for node in descriptions}
    configure = [_Step(name, node, *_CONFIGURE) for name, node in nodes.items() if name not in respawned]
    activate = [_Step(name, node, *_ACTIVATE) for name, node in nodes.items() if name in activated]
    return [*nodes.values(), *_BringUp([*configure, *activate], done).actions()]


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


class _Step(NamedTuple):
    """A transition that a node is asked for, the state that it goes through, and the one that it is to lead to."""

    name: str
    node: LifecycleNode
    transition: int
    through: str
    goal: str


_CONFIGURE = (Transition.TRANSITION_CONFIGURE, "configuring", "inactive")
_ACTIVATE = (Transition.TRANSITION_ACTIVATE, "activating", "active")
_ERROR = "errorprocessing"


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
            return []
        step = self._steps[0]
        change = ChangeState(lifecycle_node_matcher=matches_action(step.node), transition_id=step.transition)
        return [EmitEvent(event=change)]

    def _is_awaited(self, event: Event) -> bool:
        """Whether the transition that was asked for is over, well or not."""
        return bool(
            self._steps
            and isinstance(event, StateTransition)
            and event.action is self._steps[0].node
            and event.start_state in {self._steps[0].through, _ERROR}
            and event.goal_state != _ERROR
        )

    def _follow(self, context: LaunchContext) -> list[Action]:
        step = self._steps.popleft()
        state = context.locals.event.goal_state
        if state == step.goal:
            return self._ask() if self._steps else [LogInfo(msg=self._done)]
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
