import gc
import time

import pytest
import rclpy
from guarded_flow import guarded_flow
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions
from small_flow import arguments, small_flow

from reflexarc.control.errors import RuntimeUnavailableError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes import module_client
from reflexarc.control.nodes.access import DRIVERS, LAUNCHER, OPERATOR, Access, access_of_flow
from reflexarc.control.nodes.environment import isolated
from reflexarc.control.nodes.lifecycle import LifecycleClient
from reflexarc.control.nodes.module_client import ModuleClient, guest
from reflexarc.control.nodes.module_node import ModuleNode
from reflexarc.control.nodes.twin_node import TwinNode

pytestmark = pytest.mark.ros


def graph_of(node, name: str) -> Access:
    """What ROS 2 itself says that a node of this process uses, once that has not changed for half a second."""

    def names(kind: str) -> frozenset[str]:
        return frozenset(
            found for found, _ in getattr(node, f"get_{kind}_names_and_types_by_node")(name, "/")
        )

    seen, since = None, time.monotonic()
    while seen is None or time.monotonic() - since < 0.5:
        now = Access(names("publisher"), names("subscriber"), names("service"), names("client"))
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(0.02)
    return seen


def together(*accesses: Access) -> Access:
    kinds = ("publishes", "subscribes", "serves", "calls")
    return Access(*(frozenset().union(*(getattr(access, kind) for access in accesses)) for kind in kinds))


def test_a_node_may_do_what_it_does_under_both_clocks_and_nothing_else(ros_domain, tmp_path):
    found: dict[str, list[Access]] = {"brake": [], "twin": []}
    for clock in ("realtime", "lockstep"):
        with isolated(ros_domain, tmp_path):
            sim_time = ("-p", f"brake:use_sim_time:={str(clock == 'realtime').lower()}")
            given = arguments(small_flow(), clock, tmp_path)
            rclpy.init(args=["--ros-args", *given, *sim_time], signal_handler_options=SignalHandlerOptions.NO)
            nodes = [ModuleNode(), TwinNode()]
            try:
                for node in nodes:
                    assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
                    found[node.get_name()].append(graph_of(node, node.get_name()))
            finally:
                for node in nodes:
                    node.destroy_node()
                del node, nodes
                gc.collect()  # only then a lifecycle node is out of the graph, where the next has its name
                rclpy.shutdown()
    for name, graphs in found.items():
        assert together(*graphs) == access_of_flow(small_flow())[name]


def test_the_launcher_and_an_operator_may_do_what_they_do_and_nothing_else(ros_domain, tmp_path, monkeypatch):
    accesses = access_of_flow(small_flow())
    with isolated(ros_domain, tmp_path):
        client = LifecycleClient(["brake", "twin"], ros_domain, lambda line: None)
        try:
            assert graph_of(client._node, LAUNCHER) == accesses[LAUNCHER]
        finally:
            client.close()
        with guest("anyone") as (node, executor):
            monkeypatch.setattr(module_client, "_ANSWER_WITHIN_S", 0.1)
            with pytest.raises(RuntimeUnavailableError, match="brake cannot be asked"):
                ModuleClient(node, executor).set_parameter("brake", "artifact", "0")
            with pytest.raises(RuntimeUnavailableError, match="brake cannot be asked"):
                ModuleClient(node, executor).reset("brake")
            recorded = frozenset().union(*(accesses[name].publishes for name in ("brake", "twin")))
            assert not any(
                name.endswith("emergency_stop") for name in accesses[OPERATOR].publishes
            )  # no guard
            recorder = Access(subscribes=recorded, serves=frozenset({"/record/save"}))
            assert together(graph_of(node, "anyone"), recorder) == accesses[OPERATOR]


def test_ports_are_topics_and_nobody_else_may_write_them():
    flow = load_flow("arm_catch_3x3")
    accesses = access_of_flow(flow)
    for node in ("plant", *flow.modules):
        name = "twin" if node == "plant" else node
        for port in flow.outputs(node).values():
            topic = f"rt/{port.topic}"
            assert [n for n, access in accesses.items() if topic in access.writes] == [name]
            readers = {n for n, access in accesses.items() if topic in access.reads} - {OPERATOR}
            read = {n for n in ("plant", *flow.modules) if port in map(flow.port, flow.inputs(n).values())}
            assert {"plant" if n == "twin" else n for n in readers} == read


def test_a_service_is_two_topics_and_a_namespace_comes_first():
    accesses = access_of_flow(small_flow(), "/left")
    brake, launcher = accesses["brake"], accesses[LAUNCHER]
    for its, direction in ((brake.reads, "Request"), (brake.writes, "Reply")):
        prefix = {"Request": "rq", "Reply": "rr"}[direction]
        assert f"{prefix}/left/brake/change_state{direction}" in its
    assert "rq/left/brake/change_stateRequest" in launcher.writes
    assert "rr/left/brake/change_stateReply" in launcher.reads
    assert {"rt/left/brake/command", "rt/left/diagnostics", "rt/rosout"} <= brake.writes
    assert "rt/left/joint_states" in brake.reads


def test_a_deployed_flow_has_the_topics_of_its_robot_and_the_drivers_have_theirs():
    robot = {"namespace": "/cell", "dead_man": {"topic": "switch"}}
    accesses = access_of_flow(guarded_flow(**robot))
    assert "twin" not in accesses
    guard, drivers, operator = accesses["guard"], accesses[DRIVERS], accesses[OPERATOR]
    assert drivers.publishes == {"/cell/arm/joint_states", "/cell/switch", "/parameter_events", "/rosout"}
    assert drivers.subscribes == {"/cell/arm/commands"}
    assert "/cell/arm/commands" in guard.publishes
    assert "/cell/guard/command" not in guard.publishes
    assert {"/cell/arm/joint_states", "/cell/switch", "/cell/emergency_stop"} < guard.subscribes
    assert {"/cell/guard/change_state", "/cell/guard/emergency_stop"} < operator.calls
    assert "/cell/emergency_stop" in operator.publishes
    assert "/cell/arm/joint_states" in operator.subscribes
    assert "/clock" not in guard.subscribes
    simulated = access_of_flow(guarded_flow(use_sim_time=True))
    assert "/clock" in simulated["guard"].subscribes & simulated[DRIVERS].publishes


def test_a_node_beside_a_robot_may_do_what_it_does_and_nothing_else(ros_domain, tmp_path):
    flow = guarded_flow(dead_man={"topic": "switch"})
    with isolated(ros_domain, tmp_path):
        given = arguments(flow, "realtime", tmp_path)
        rclpy.init(args=["--ros-args", *given], signal_handler_options=SignalHandlerOptions.NO)
        node = ModuleNode("guard")
        try:
            assert node.trigger_configure() is TransitionCallbackReturn.SUCCESS
            assert graph_of(node, "guard") == access_of_flow(flow)["guard"]
        finally:
            node.destroy_node()
            del node
            gc.collect()
            rclpy.shutdown()
