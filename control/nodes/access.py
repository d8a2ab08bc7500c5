"""Access: what each process of a flow writes and reads in ROS 2, and so all that it may.

It follows from the flow: a node's ports, and what ROS 2 and this project give every node besides. A test compares
it with the graph of a flow that runs. In DDS a service is two topics: `rq/NAMERequest`, which the client writes,
and `rr/NAMEReply`, which the server does.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from reflexarc.control.flow import PLANT, Flow
from reflexarc.control.modules import module_class
from reflexarc.control.modules.guard import Guard
from reflexarc.control.modules.stop import EMERGENCY_STOP
from reflexarc.control.nodes.description import TWIN, steps_topic
from reflexarc.control.nodes.lockstep import make_gate, marker_topic
from reflexarc.control.robot import Robot
from reflexarc.control.robot_adapter import DriverEdges, actuator_topic, port_topic, sensor_topic

__all__ = ["DRIVERS", "LAUNCHER", "OPERATOR", "Access", "access_of_flow"]

DRIVERS = "drivers"
"""Identity of a robot's own drivers."""

LAUNCHER = "launcher"
"""Node name of whoever starts the processes of a flow."""

OPERATOR = "operator"
"""Identity of who joins a running flow from another terminal."""

_SERVICES = (
    "describe_parameters",
    "get_parameter_types",
    "get_parameters",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
    "get_type_description",
    "change_state",
    "get_available_states",
    "get_available_transitions",
    "get_state",
    "get_transition_graph",
)
"""Of every lifecycle node."""


@dataclass(frozen=True)
class Access:
    """What one process uses of ROS 2, by full names.

    Args:
        publishes: Topics.
        subscribes: Topics.
        serves: Services.
        calls: Services.
    """

    publishes: frozenset[str] = frozenset()
    subscribes: frozenset[str] = frozenset()
    serves: frozenset[str] = frozenset()
    calls: frozenset[str] = frozenset()

    @property
    def writes(self) -> frozenset[str]:
        """The DDS topics that it writes."""
        return frozenset(
            [f"rt{name}" for name in self.publishes]
            + [f"rq{name}Request" for name in self.calls]
            + [f"rr{name}Reply" for name in self.serves]
        )

    @property
    def reads(self) -> frozenset[str]:
        """The DDS topics that it reads."""
        return frozenset(
            [f"rt{name}" for name in self.subscribes]
            + [f"rq{name}Request" for name in self.serves]
            + [f"rr{name}Reply" for name in self.calls]
        )


def access_of_flow(flow: Flow, namespace: str = "") -> dict[str, Access]:
    """Access per process, in the order in which nodes come up; it serves both clocks.

    Args:
        flow: The flow; with a robot it has that robot's drivers in place of the twin.
        namespace: ROS namespace of its nodes, as `/left`; empty for none, or for that of the robot.
    """
    namespace = namespace or flow.namespace
    nodes = {name: _node(flow, name, namespace) for name in reversed(flow.order)}
    if flow.robot is None:
        nodes[TWIN] = _node(flow, TWIN, namespace)
    plants = {} if flow.robot is None else {DRIVERS: _drivers(flow, flow.robot)}
    guards = [name for name in flow.commanders if _is_guard(flow, name)]
    stops = frozenset({f"{namespace}/{EMERGENCY_STOP}"} if guards else ())
    transitions = [_of_all(namespace, flow.commanders, verb) for verb in ("change_state", "get_state")]
    return {
        **nodes,
        **plants,
        LAUNCHER: Access(
            publishes=frozenset({"/parameter_events"}),
            subscribes=frozenset({f"{namespace}/diagnostics"}),
            calls=_of_all(namespace, nodes, "change_state") | _of_all(namespace, nodes, "get_state"),
        ),
        # He swaps, injects, records, stops the robot, and lets one that is deployed move.
        OPERATOR: Access(
            publishes=frozenset({"/parameter_events"}) | stops,
            subscribes=frozenset().union(
                *(access.publishes for access in (*nodes.values(), *plants.values()))
            ),
            serves=frozenset({f"{namespace}/record/save"}),
            calls=_of_all(namespace, flow.modules, "set_parameters")
            | _of_all(namespace, flow.modules, "reset")
            | _of_all(namespace, guards, EMERGENCY_STOP)
            | frozenset().union(*(transitions if plants else ())),
        ),
    }


def _node(flow: Flow, name: str, namespace: str) -> Access:
    is_twin = name == TWIN
    role = PLANT if is_twin else name
    drivers = DriverEdges(flow, role)
    publishes = {
        _full(namespace, port_topic(port, drivers.outputs.get(output)))
        for output, port in flow.outputs(role).items()
    }
    subscribes = {
        _full(namespace, port_topic(flow.port(source), drivers.inputs.get(port)))
        for port, source in flow.inputs(role).items()
    }
    services = _SERVICES if is_twin else (*_SERVICES, "reset")
    if not is_twin:
        publishes.add(f"{namespace}/{steps_topic(name)}")
    if flow.robot is None:
        publishes.add(f"{namespace}/{marker_topic(role)}")
        subscribes |= {f"{namespace}/{marker_topic(other)}" for other in make_gate(flow, role).producers}
    if is_twin:
        publishes.add("/clock")
    elif flow.robot is None or flow.robot.use_sim_time:
        subscribes.add("/clock")
    if not is_twin and _is_guard(flow, name):
        subscribes.add(f"{namespace}/{EMERGENCY_STOP}")
        services = (*services, EMERGENCY_STOP)
        if flow.robot is not None and flow.robot.dead_man is not None:
            subscribes.add(flow.robot.full_topic(flow.robot.dead_man.topic))
    if flow.robot is not None and flow.robot.frames and name == flow.commanders[0]:
        publishes.add("/tf_static")
    return Access(
        publishes=frozenset(publishes)
        | {f"{namespace}/diagnostics", "/parameter_events", "/rosout"}
        | {f"{namespace}/{name}/transition_event"},
        subscribes=frozenset(subscribes),
        serves=frozenset(f"{namespace}/{name}/{service}" for service in services),
        calls=_of_all(namespace, flow.modules, "reset") if is_twin else frozenset(),
    )


def _drivers(flow: Flow, robot: Robot) -> Access:
    """What a robot's own drivers, and who holds its switch, have to do with the flow."""
    sensors = {port_topic(port, sensor_topic(flow, name)) for name, port in flow.plant.outputs.items()}
    if robot.dead_man is not None:
        sensors.add(robot.full_topic(robot.dead_man.topic))
    return Access(
        publishes=frozenset(sensors)
        | {"/parameter_events", "/rosout"}
        | ({"/clock"} if robot.use_sim_time else set()),
        subscribes=frozenset(
            port_topic(flow.port(source), actuator_topic(flow, name))
            for name, source in flow.plant.inputs.items()
        ),
    )


def _full(namespace: str, topic: str) -> str:
    """A topic from the root, as a robot's drivers' are already."""
    return topic if topic.startswith("/") else f"{namespace}/{topic}"


def _is_guard(flow: Flow, name: str) -> bool:
    return issubclass(module_class(flow.modules[name].kind), Guard)


def _of_all(namespace: str, nodes: Iterable[str], service: str) -> frozenset[str]:
    return frozenset(f"{namespace}/{node}/{service}" for node in nodes)
