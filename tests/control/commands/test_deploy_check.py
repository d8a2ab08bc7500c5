"""How a check is shown; what it finds is in tests/control/nodes/test_robot_check.py."""

import pytest
from rich.console import Console

from reflexarc.control.commands.deploy_check import check_table


@pytest.mark.ros
def test_each_topic_has_a_line() -> None:
    from reflexarc.control.nodes.robot_check import TopicFinding

    found = [
        TopicFinding(
            "outputs.color", "/color", "sensor_msgs/msg/Image", "reliable volatile", 50.0, 49.8, 0.031
        ),
        TopicFinding("outputs.depth", "/depth", "t", "q", 50.0, is_missing=True, problems=["nobody"]),
        TopicFinding("inputs.command", "/command", "t", "q", problems=["somebody else"]),
    ]
    console = Console(width=160)
    with console.capture() as capture:
        console.print(check_table("arm_catch on r", found))
    color, depth, command = capture.get().splitlines()[-4:-1]
    assert color.split() == [
        "outputs.color", "/color", "sensor_msgs/msg/Image", "reliable", "volatile",
        "50", "Hz", "49.8", "Hz", "31", "ms", "ok",
    ]  # fmt: skip
    assert depth.split()[-1] == "missing"
    assert command.split()[-1] == "wrong"


@pytest.mark.ros
def test_without_drivers_it_says_what_is_missing_and_fails(reflexarc, ros_domain: int) -> None:
    done = reflexarc("deploy", "--robot", "ur5e_realsense", "--check")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert (
        "outputs.color: nobody publishes /camera/camera/color/image_raw. Start its driver, "
        "or correct outputs.color.topic in the robot file."
    ) in lines
    assert lines[-1] == "Not ready: 5 of 5 topics."
