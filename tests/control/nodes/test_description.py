"""What is to be started for a flow."""

import pytest

from reflexarc.control.deployment import Deployment
from reflexarc.control.errors import FlowError
from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.description import by_process, command_line, describe_flow
from reflexarc.control.robot import Robot
from reflexarc.control.robot_adapter import flow_joints


def test_nodes_come_from_the_actuators_back_to_the_sensors(tmp_path):
    flow = load_flow("arm_catch")
    nodes = describe_flow(flow, "arm_catch", "realtime", tmp_path, twin={"seeds": [1]})
    assert [node.name for node in nodes] == ["guard", "policy", "estimation", "perception", "twin"]
    assert [node.executable for node in nodes] == ["module_node"] * 4 + ["twin_node"]
    guard, twin = nodes[0], nodes[-1]
    assert guard.python_module == "reflexarc.control.nodes.module_node"
    assert guard.parameters == {
        "flow": "arm_catch",
        "clock": "realtime",
        "store": str(tmp_path),
        "run_directory": "",
        "real_time_factor": 1.0,
        "use_sim_time": True,
    }
    assert twin.parameters["seeds"] == [1]
    slow = describe_flow(flow, "arm_catch", "realtime", twin={"seeds": [1], "real_time_factor": 0.5})
    assert {node.parameters["real_time_factor"] for node in slow} == {0.5}, "deadlines count in wall time"
    assert twin.parameters["use_sim_time"] is False


def test_a_node_has_a_process_of_its_own_unless_the_deployment_says_more():
    flow = load_flow("arm_catch")
    assert all(node.process == node.name for node in describe_flow(flow, "f", "realtime", twin={}))
    deployment = Deployment.model_validate(
        {
            "hosts": {"head": {"address": "10.0.0.1"}, "arm": {"address": "10.0.0.2"}},
            "processes": {
                "brain": {"host": "head", "modules": ["perception", "estimation", "policy"]},
                "reflex": {"host": "arm", "modules": ["guard"]},
            },
        }
    )
    deployed = Flow(name="f", plant=flow.plant, modules=flow.modules, deployment=deployment)
    nodes = describe_flow(deployed, "f", "realtime", twin={})
    assert [(node.name, node.process, node.host) for node in nodes] == [
        ("guard", "reflex", "arm"),
        ("policy", "brain", "head"),
        ("estimation", "brain", "head"),
        ("perception", "brain", "head"),
        ("twin", "twin", None),
    ]
    processes = by_process(nodes)
    assert list(processes) == ["reflex", "brain", "twin"]
    assert command_line(processes["reflex"], ["g.yaml"]) == (
        ["--ros-args", "-r", "__node:=guard", "--params-file", "g.yaml"]
    )
    files = ["--params-file", "a", "--params-file", "b", "--params-file", "c"]
    names = ["policy", "estimation", "perception"]
    assert command_line(processes["brain"], ["a", "b", "c"]) == [*names, "--ros-args", *files]


def test_without_a_twin_nodes_read_the_wall_clock():
    nodes = describe_flow(load_flow("arm_catch"), "arm_catch", "realtime")
    assert all(node.parameters["use_sim_time"] is False for node in nodes)
    assert "twin" not in [node.name for node in nodes]


@pytest.mark.parametrize("is_simulated", [True, False])
def test_beside_a_simulated_robot_nodes_read_its_clock(is_simulated):
    flow = load_flow("arm_catch")
    robot = Robot(robot="r", joints=flow_joints(flow), use_sim_time=is_simulated)
    nodes = describe_flow(flow.model_copy(update={"robot": robot}), "arm_catch", "realtime", robot_file="r")
    assert all(node.parameters["use_sim_time"] is is_simulated for node in nodes)


def test_no_module_is_called_as_the_plants_node():
    flow = load_flow("arm_catch")
    renamed = flow.model_copy(update={"modules": {**flow.modules, "twin": flow.modules["policy"]}})
    with pytest.raises(FlowError, match="no module can be called 'twin'"):
        describe_flow(renamed, "f", "realtime")


def test_nodes_are_in_the_namespace_of_their_robot_and_may_read_it_by_themselves():
    flow = load_flow("arm_catch")
    robot = Robot(robot="r", joints=flow_joints(flow), namespace="/left")
    nodes = describe_flow(flow.model_copy(update={"robot": robot}), "arm_catch", "realtime", robot_file="r")
    assert {node.namespace for node in nodes} == {"/left"}
    assert {node.parameters["robot"] for node in nodes} == {"r"}
