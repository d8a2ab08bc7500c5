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

__all__ = ["LAUNCHER", "OPERATOR", "Access", "access_of_flow"]

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
        flow: The flow.
        namespace: ROS namespace of its nodes, as `/left`; empty for none.
    """
    names = (*reversed(flow.order), TWIN)
    nodes = {name: _node(flow, name, namespace) for name in names}
    return {
        **nodes,
        LAUNCHER: Access(
            publishes=frozenset({"/parameter_events"}),
            subscribes=frozenset({f"{namespace}/diagnostics"}),
            calls=_of_all(namespace, names, "change_state") | _of_all(namespace, names, "get_state"),
        ),
        # He swaps, injects and records.
        OPERATOR: Access(
            publishes=frozenset({"/parameter_events"}),
            subscribes=frozenset().union(*(access.publishes for access in nodes.values())),
            serves=frozenset({f"{namespace}/record/save"}),
            calls=_of_all(namespace, flow.modules, "set_parameters"),
        ),
    }


def _node(flow: Flow, name: str, namespace: str) -> Access:
    is_twin = name == TWIN
    role = PLANT if is_twin else name
    written = [port.topic for port in flow.outputs(role).values()]
    read = [flow.port(source).topic for source in flow.inputs(role).values()]
    written.append(marker_topic(role))
    read += [marker_topic(producer) for producer in make_gate(flow, role).producers]
    if not is_twin:
        written.append(steps_topic(name))
    services = _SERVICES if is_twin else (*_SERVICES, "reset")
    if not is_twin and issubclass(module_class(flow.modules[name].kind), Guard):
        read.append(EMERGENCY_STOP)
        services = (*services, EMERGENCY_STOP)
    return Access(
        publishes=frozenset(
            [f"{namespace}/{topic}" for topic in written]
            + [f"{namespace}/diagnostics", "/parameter_events", "/rosout"]
            + [f"{namespace}/{name}/transition_event"]
            + (["/clock"] if is_twin else [])
        ),
        subscribes=frozenset([f"{namespace}/{topic}" for topic in read] + ([] if is_twin else ["/clock"])),
        serves=frozenset(f"{namespace}/{name}/{service}" for service in services),
        calls=_of_all(namespace, flow.modules, "reset") if is_twin else frozenset(),
    )


def _of_all(namespace: str, nodes: Iterable[str], service: str) -> frozenset[str]:
    return frozenset(f"{namespace}/{node}/{service}" for node in nodes)
