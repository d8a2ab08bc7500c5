import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from reflexarc.control.frames import matrix_from_quaternion
from reflexarc.control.robot import DriverTopic, Robot, StaticFrame, pose_in

NUMBER = st.floats(-2, 2)
QUATERNION = st.tuples(NUMBER, NUMBER, NUMBER, NUMBER).filter(lambda q: np.linalg.norm(q) > 0.1)


def link(parent, child, position=(0.0, 0.0, 0.0), turn=(0.0, 0.0, 0.0, 1.0)):
    return StaticFrame(parent=parent, child=child, position=position, orientation_xyzw=turn)


@given(st.lists(st.tuples(st.tuples(NUMBER, NUMBER, NUMBER), QUATERNION, st.booleans()), max_size=4))
def test_a_pose_is_the_product_along_the_chain_whichever_way_its_links_are_told(links):
    frames, expected = [], np.eye(4)
    for index, (position, turn, is_told_backwards) in enumerate(links):
        here = np.eye(4)
        here[:3, :3], here[:3, 3] = matrix_from_quaternion(np.array(turn)), position
        if is_told_backwards:
            frames.append(link(f"f{index + 1}", f"f{index}", position, turn))
            here = np.linalg.inv(here)
        else:
            frames.append(link(f"f{index}", f"f{index + 1}", position, turn))
        expected = expected @ here
    found = pose_in(frames[::-1], "f0", f"f{len(links)}")
    assert np.allclose(found[0], expected[:3, 3])
    assert np.allclose(found[1], expected[:3, :3])


def test_without_a_chain_there_is_no_pose():
    frames = [link("base", "tool"), link("world", "camera")]
    assert pose_in(frames, "base", "camera") is None
    assert pose_in(frames, "base", "nowhere") is None


def test_topics_are_below_the_robots_namespace_unless_they_begin_at_the_root():
    robot = Robot(robot="r", joints=("a",), namespace="/left")
    assert robot.full_topic("joint_states") == "/left/joint_states"
    assert robot.full_topic("/camera/depth") == "/camera/depth"
    assert Robot(robot="r", joints=("a",)).full_topic("joint_states") == "/joint_states"


@pytest.mark.parametrize("topic", ["", "/", "a//b", "a/", "1a", "a b", "a-b"])
def test_what_is_no_topic_is_refused(topic):
    with pytest.raises(ValidationError):
        DriverTopic(topic=topic)
