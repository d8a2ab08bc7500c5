import pytest
from rclpy.lifecycle import TransitionCallbackReturn
from small_flow import arguments, small_flow

from reflexarc.control.nodes import flow_node
from reflexarc.control.nodes.module_node import ModuleNode

pytestmark = pytest.mark.ros

SUCCESS, FAILURE, ERROR = (
    TransitionCallbackReturn.SUCCESS,
    TransitionCallbackReturn.FAILURE,
    TransitionCallbackReturn.ERROR,
)


def test_a_users_mistake_is_one_line_and_a_failure(nodes, tmp_path, capfd):
    nodes.start(["-r", "module:__node:=barke", *arguments(small_flow(), "realtime", tmp_path)[2:]])
    node = nodes.add(ModuleNode())
    assert node.trigger_configure() == FAILURE
    (line,) = [line for line in capfd.readouterr().err.splitlines() if "ERROR" in line]
    assert line.endswith("barke: flow small has no such module. Did you mean 'brake'?")


def test_a_mistake_of_our_own_is_an_error_with_its_traceback(nodes, tmp_path, capfd):
    nodes.start(arguments(small_flow(parameters={"raises": "why"}), "realtime", tmp_path))
    node = nodes.add(ModuleNode())
    assert node.trigger_configure() == ERROR
    said = capfd.readouterr().err
    assert "Traceback" in said
    assert "KeyError: 'why'" in said


def test_a_node_without_neighbours_does_not_start(nodes, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(flow_node, "_DISCOVERY_S", 0.1)
    nodes.start(arguments(small_flow(), "lockstep", tmp_path))
    node = nodes.add(ModuleNode())
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == FAILURE
    said = capfd.readouterr().err
    assert "brake: /brake/command to plant, /joint_states from plant, lockstep/brake to plant" in said
    assert "Is that node configured, in the same ROS_DOMAIN_ID?" in said
    assert not node.is_active


def test_cleanup_frees_the_topics_and_the_node_can_start_again(nodes, tmp_path):
    nodes.start(arguments(small_flow(), "realtime", tmp_path))
    node = nodes.add(ModuleNode())
    topics = []
    for _ in range(2):
        assert node.trigger_configure() == SUCCESS
        assert node.trigger_activate() == SUCCESS
        assert node.trigger_deactivate() == SUCCESS
        topics.append(node.count_publishers("brake/command") + node.count_subscribers("joint_states"))
        assert node.trigger_cleanup() == SUCCESS
        topics.append(node.count_publishers("brake/command") + node.count_subscribers("joint_states"))
    assert topics == [2, 0, 2, 0]


def test_a_node_that_comes_up_alone_waits_for_its_neighbours_without_standing_still(nodes, tmp_path, capfd):
    nodes.start(arguments(small_flow(), "lockstep", tmp_path, autostart="true"))
    node = nodes.add(ModuleNode())
    node.begin()
    node.come_up()
    assert not node.is_active
    assert "waits for /brake/command to plant, /joint_states from plant" in capfd.readouterr().err


def test_a_node_that_comes_up_alone_does_so_once(nodes, tmp_path):
    nodes.start(arguments(small_flow(), "realtime", tmp_path, autostart="true"))
    node = nodes.add(ModuleNode())
    node.begin()
    assert not node.is_active
    node.come_up()
    assert node.is_active
    assert node.trigger_deactivate() == SUCCESS
    node.come_up()
    assert not node.is_active, "whoever stopped it starts it again"
