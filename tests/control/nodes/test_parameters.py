import pytest
import rclpy

from reflexarc.control.errors import FlowError, ValueRefusedError
from reflexarc.control.nodes.parameters import NodeParameters

pytestmark = pytest.mark.ros


@pytest.fixture
def read(nodes):
    def read(*arguments: str) -> NodeParameters:
        nodes.start([a for argument in arguments for a in ("-p", argument)])
        node = nodes.add(rclpy.create_node("guard"))
        NodeParameters.declare(node)
        return NodeParameters.read(node)

    return read


def test_they_are_read_as_they_were_given(read, tmp_path):
    parameters = read(
        "flow:=arm_catch", "clock:=lockstep", f"store:={tmp_path}", f"run_directory:={tmp_path}"
    )
    assert (parameters.flow, parameters.clock) == ("arm_catch", "lockstep")
    assert parameters.store == parameters.run_directory == tmp_path
    assert parameters.load_flow().name == "arm_catch"


def test_a_node_by_hand_runs_in_real_time_and_writes_nothing(read):
    parameters = read("flow:=arm_catch")
    assert parameters == NodeParameters(
        flow="arm_catch",
        robot="",
        clock="realtime",
        real_time_factor=1.0,
        store=None,
        run_directory=None,
        autostart=False,
    )


@pytest.mark.parametrize("factor", [0.0, 1.5])
def test_a_clock_that_stands_or_runs_ahead_is_refused(read, factor):
    expected = rf"parameter real_time_factor is {factor:g}, expected more than 0, up to 1\."
    with pytest.raises(ValueRefusedError, match=expected):
        read("flow:=arm_catch", f"real_time_factor:={factor}")


def test_a_flow_is_needed(read):
    with pytest.raises(
        ValueRefusedError, match=r"guard: parameter flow is not set\. Give a flow's name or path\."
    ):
        read()


def test_a_clock_is_one_of_two(read):
    with pytest.raises(ValueRefusedError, match=r"parameter clock is 'lockstap'\. Did you mean 'lockstep'\?"):
        read("flow:=arm_catch", "clock:=lockstap")


def test_an_unknown_flow_is_said(read):
    with pytest.raises(FlowError, match="Did you mean 'arm_catch'"):
        read("flow:=arm_cash").load_flow()


def test_a_robot_comes_with_the_flow(read):
    assert read("flow:=arm_catch", "robot:=ur5e_realsense").load_flow().robot.robot == "ur5e_realsense"
