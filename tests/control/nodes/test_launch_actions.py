"""What launch files start, and what they refuse; tests/launch runs it."""

import pytest

pytest.importorskip("launch_ros", reason="needs launch and launch_ros: source a ROS 2 installation")

from launch import LaunchContext
from launch_ros.actions import LifecycleNode

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.launch_actions import deployment, simulation

pytestmark = pytest.mark.ros

COMMON = {
    "flow": "arm_catch",
    "store": "",
    "namespace": "",
    "params_file": "",
    "remappings": "",
    "respawn": "false",
    "log_level": "info",
}
SIM = {**COMMON, "episodes": "2", "clock": "lockstep", "real_time_factor": "1.0", "seed": "0"}
ROBOT = {**COMMON, "robot": "ur5e_realsense", "activate": "false"}


def context(arguments, **changes):
    made = LaunchContext()
    made.launch_configurations.update(arguments | changes)
    return made


def nodes(actions):
    return [action for action in actions if isinstance(action, LifecycleNode)]


def test_nodes_are_those_of_the_description():
    found = nodes(simulation(context(SIM)))
    assert [node.node_executable for node in found] == ["module_node"] * 4 + ["twin_node"]
    assert {node.node_package for node in found} == {"reflexarc"}
    assert [node.node_executable for node in nodes(deployment(context(ROBOT)))] == ["module_node"] * 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"flow": "arm_cacth"}, "Did you mean 'arm_catch'"),
        ({"episodes": "many"}, "episodes is 'many'. Give a whole number"),
        ({"real_time_factor": "half"}, "real_time_factor is 'half'. Give a number"),
        ({"remappings": "a:=b c"}, "'c' is no rule"),
        ({"params_file": "/nowhere.yaml"}, "there is no /nowhere.yaml"),
        ({"respawn": "true"}, "Give clock:=realtime as well"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(changes, reason):
    with pytest.raises(ReflexarcError, match=reason):
        simulation(context(SIM, **changes))


def test_a_robot_that_does_not_fit_is_refused():
    with pytest.raises(ReflexarcError, match="nobody"):
        deployment(context(ROBOT, robot="nobody"))
