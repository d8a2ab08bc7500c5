from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.robot import Robot
from reflexarc.control.robot_adapter import flow_joints
from reflexarc.control.robot_checks import camera_frames, check_robot

FLOW = load_flow("arm_catch")
ROBOT = Robot(robot="r", joints=flow_joints(FLOW))


def test_a_robot_that_is_as_the_flow_says_fits():
    assert check_robot(ROBOT, FLOW) == []


def test_only_a_module_that_is_told_where_its_camera_is_has_camera_frames():
    seen = {name: camera_frames(ROBOT, FLOW, name) for name in FLOW.modules}
    assert {name: frames for name, frames in seen.items() if frames} == {
        "perception": ("base_link", ("camera_optical",))
    }


def test_nobody_else_reads_a_command_that_goes_out_in_the_robots_order():
    policy = FLOW.modules["policy"]
    inputs = {**policy.inputs, "last": FLOW.plant.inputs["command"]}
    modules = {**FLOW.modules, "policy": policy.model_copy(update={"inputs": inputs})}
    reading = Flow(name="f", plant=FLOW.plant, modules=modules)
    (problem,) = check_robot(ROBOT, reading)
    assert problem.keys == ("inputs", "command")
    assert problem.message.startswith("inputs.command: guard.command is also read by policy")
