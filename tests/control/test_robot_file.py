from pathlib import Path

import numpy as np
import pytest

from reflexarc.control.errors import FlowError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.robot_file import ROBOTS, known_robots, on_robot

FLOW = load_flow("arm_catch")
TEXT = (ROBOTS / "ur5e_realsense.yaml").read_text(encoding="utf-8")
JOINTS = "joints: [shoulder_pan_joint, shoulder_lift_joint, elbow_joint, wrist_1_joint, wrist_2_joint, wrist_3_joint]"
COLOR = "camera/camera/color/image_raw, encoding: rgb8, frame: camera_color_optical_frame"


def edited(tmp_path: Path, *edits: tuple[str, str]) -> str:
    text = TEXT
    for old, new in edits:
        assert old in text, f"{old!r} is not in the robot file any more"
        text = text.replace(old, new)
    path = tmp_path / "robot.yaml"
    path.write_text(text)
    return str(path)


def line_of(text: str) -> int:
    return TEXT.count("\n", 0, TEXT.index(text)) + 1


@pytest.mark.parametrize("name", known_robots())
def test_robots_that_ship_fit_a_flow(name):
    assert on_robot(FLOW, name).robot.robot == name


def test_the_flow_stays_as_it_is_but_for_what_the_robot_says():
    there = on_robot(FLOW, "ur5e_realsense")
    assert there.plant == FLOW.plant
    assert {n: s for n, s in there.modules.items() if n != "perception"} == {
        n: s for n, s in FLOW.modules.items() if n != "perception"
    }
    assert type(there).model_validate_json(there.model_dump_json()) == there


def test_where_the_camera_is_follows_from_the_chain_of_frames(tmp_path):
    frames = """frames:
  - {parent: world, child: base_link, position: [1.0, 0.0, 0.5]}
  - {parent: world, child: mast, position: [2.0, 0.0, 0.0], orientation_xyzw: [0, 0, 1, 1]}
  - {parent: mast, child: camera_color_optical_frame, position: [1.0, 0.0, 2.0]}
"""
    path = edited(tmp_path, (TEXT[TEXT.index("frames:") :], frames))
    pose = on_robot(FLOW, path).modules["perception"].parameters["camera_pose"]
    assert np.allclose(pose["position"], [1.0, 1.0, 1.5])
    assert np.allclose(pose["orientation_xyzw"], np.sqrt([0.0, 0.0, 0.5, 0.5]))
    assert pose["position_tolerance_m"] == 0.01, "how well it is known is the flow's business"


def test_without_frames_the_camera_is_where_the_flow_says(tmp_path):
    path = edited(tmp_path, (TEXT[TEXT.index("frames:") :], ""))
    assert on_robot(FLOW, path).modules == FLOW.modules


def test_limits_are_narrowed_joint_by_joint(tmp_path):
    path = edited(
        tmp_path,
        (
            "joints: [shoulder_pan_joint, shoulder_lift_joint,",
            "joints: [shoulder_lift_joint, shoulder_pan_joint,",
        ),
        ("frames:", "limits: {velocity_limit: [1.0, 2.0, 3.0, 3.0, 3.0, 3.0]}\nframes:"),
    )
    limits = on_robot(FLOW, path).modules["guard"].parameters
    assert limits["velocity_limit"] == [2.0, 1.0, 3.0, 3.0, 3.0, 3.0]
    assert limits["acceleration_limit"] == FLOW.modules["guard"].parameters["acceleration_limit"]


WIDE = "limits: {acceleration_limit: [20, 20, 20, 20, 20, 30]}\nframes:"


@pytest.mark.parametrize(
    ("old", "new", "at", "complaint"),
    [
        (
            "  color: {",
            "  colour: {",
            "  color: {",
            "outputs: the plant of flow arm_catch has no 'colour'. Did you mean 'color'?",
        ),
        (
            "  command: {",
            "  commands: {",
            "  command: {",
            "inputs: the plant of flow arm_catch has no 'commands'. Did you mean 'command'?",
        ),
        ("elbow_joint, ", "", "joints:", "joints: 'elbow_joint' of flow arm_catch is missing."),
        (
            "elbow_joint",
            "elbow",
            "joints:",
            "joints: flow arm_catch has no 'elbow'. Did you mean 'elbow_joint'?",
        ),
        ("elbow_joint", "elbow_joint, elbow_joint", "joints:", "joints: 'elbow_joint' is named 2 times."),
        (
            "16UC1",
            "mono16",
            "  depth:",
            "outputs.depth: encoding mono16 cannot be made 32FC1. Known: 16UC1, 32FC1.",
        ),
        ("rgb8", "16UC1", "  color:", "outputs.color: encoding 16UC1 cannot be made rgb8. Known: rgb8."),
        (
            "rate_hz: 500",
            "encoding: rgb8",
            "  joint_states:",
            "outputs.joint_states: encoding: only an image has one.",
        ),
        (
            "rate_hz: 500",
            "rate_hz: 50",
            "  joint_states:",
            "outputs.joint_states: rate_hz 50 is less than the 100 of flow arm_catch",
        ),
        (
            "rate_hz: 500",
            "rate: 500",
            "  joint_states:",
            "outputs.joint_states: unknown key 'rate'. Did you mean 'rate_hz'?",
        ),
        (
            "durability: volatile",
            "durability: none",
            "  camera_info:",
            "outputs.camera_info: durability is 'none': Input should be 'volatile'",
        ),
        (
            "topic: joint_states",
            "topic: camera/camera/color/image_raw",
            "  joint_states:",
            "outputs.joint_states: topic '/camera/camera/color/image_raw' is that of outputs.color as well.",
        ),
        (
            "frames:",
            WIDE,
            "frames:",
            "limits.acceleration_limit: 30 for wrist_3_joint is wider than the guard's own 20.",
        ),
        (
            "frames:",
            "limits: {velocity_limit: [1.0]}\nframes:",
            "frames:",
            "limits.velocity_limit has 1 entries for 6 joints.",
        ),
        (
            "frames:",
            "dead_man: {timeout_s: 0}\nframes:",
            "frames:",
            "dead_man: timeout_s is 0: Input should be greater than 0.",
        ),
        (
            "    child: camera_color",
            "    child: camera_depth",
            "frames:",
            "frames: none leads from base_link to camera_color_optical_frame, where perception sees from.",
        ),
        (
            "child: camera_color_optical_frame",
            "child: base_link",
            "  - parent:",
            "frames: base_link to base_link closes a ring.",
        ),
        (
            "[-0.57922797, 0.57922797, -0.40557979, 0.40557979]",
            "[0, 0, 0, 0]",
            "    orientation",
            "frames: orientation_xyzw of camera_color_optical_frame has no length;",
        ),
        (
            "image_raw, encoding: 16UC1, frame: camera_color",
            "image_raw, encoding: 16UC1, frame: camera_depth",
            "outputs:",
            "outputs: perception reads images of frames camera_color_optical_frame and camera_depth",
        ),
        (
            'namespace: ""',
            "namespace: left",
            "namespace:",
            "robot file: namespace is 'left': String should match pattern '^(/[A-Za-z_][A-Za-z0-9_]*)*$'.",
        ),
        (
            "robot: ur5e_realsense",
            "name: ur5e_realsense",
            "robot:",
            "robot file: unknown key 'name'. Did you mean 'namespace'?",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path, old, new, at, complaint):
    path = edited(tmp_path, (old, new))
    with pytest.raises(FlowError) as refused:
        on_robot(FLOW, path)
    said = str(refused.value).splitlines()
    assert any(line.startswith(f"{path}:{line_of(at)}: {complaint}") for line in said), said


def test_a_tree_of_frames_has_one_parent_each_and_no_ring(tmp_path):
    link = "  - {parent: %s, child: %s}\n"
    for links, complaint in (
        ([("a", "b"), ("c", "b")], "frames: b has two parents, a and c."),
        ([("a", "b"), ("b", "c"), ("c", "a")], "frames: c to a closes a ring."),
    ):
        path = edited(tmp_path, ("frames:\n", "frames:\n" + "".join(link % pair for pair in links)))
        with pytest.raises(FlowError, match=complaint):
            on_robot(FLOW, path)


def test_a_robot_that_is_not_there_names_the_nearest():
    with pytest.raises(FlowError, match=r"ur5_realsense: no such robot .* Did you mean 'ur5e_realsense'\?"):
        on_robot(FLOW, "ur5_realsense")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "the file is empty."),
        ("- a", "a robot file is a mapping with the keys robot, joints, outputs, inputs and frames."),
        ("robot: r\nframes: 3\njoints: [a]", "frames: 3, expected a list of frames."),
        ("robot: r\noutputs: [1]\njoints: [a]", "outputs: [1], expected a mapping."),
        ("robot: r\nrobot: r\njoints: [a]", "robot: named twice, first on line 1."),
    ],
)
def test_files_that_are_no_robot(tmp_path, content, complaint):
    path = tmp_path / "robot.yaml"
    path.write_text(content)
    with pytest.raises(FlowError) as refused:
        on_robot(FLOW, str(path))
    assert complaint in str(refused.value)
