import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.robot import Robot
from reflexarc.control.robot_adapter import DriverEdges, SensorAdapter, actuator_topic, flow_joints
from reflexarc.control.values import CameraInfo, Float64Array, Image, JointState

FLOW = load_flow("arm_catch")
JOINTS = flow_joints(FLOW)
NOW = 1_700_000_000_000_000_000
MS = 1_000_000


def flow(**changes):
    robot = {"robot": "r", "joints": JOINTS, **changes}
    return FLOW.model_copy(update={"robot": Robot.model_validate(robot)})


def adapter(port, **changes):
    return SensorAdapter(flow(**changes), port)


def joint_state(stamp_ns=NOW, names=JOINTS, position=None, velocity=None):
    count = len(names)
    return JointState(
        stamp_ns=stamp_ns,
        names=tuple(names),
        position=np.arange(count) * 1.0 if position is None else np.array(position),
        velocity=np.arange(count) * 0.1 if velocity is None else np.array(velocity),
    )


def depth(data, encoding="16UC1", frame="camera_depth"):
    return Image(stamp_ns=NOW, frame_id=frame, encoding=encoding, data=np.array(data))


@given(st.permutations(JOINTS), st.sampled_from(["", "left_"]), st.integers(0, 3))
def test_joints_in_any_order_under_any_prefix_and_with_others_among_them(order, prefix, others):
    names = [f"finger_{index}" for index in range(others)] + [prefix + joint for joint in order]
    values = {name: float(index) for index, name in enumerate(names)}
    state = joint_state(names=names, position=list(values.values()), velocity=list(values.values()))
    adapted = adapter("joint_states", joint_prefix=prefix).adapt(state, NOW)
    assert adapted.names == JOINTS
    assert adapted.position.tolist() == [values[prefix + joint] for joint in JOINTS]
    assert adapted.velocity.tolist() == adapted.position.tolist()


@given(st.permutations(JOINTS), st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_a_command_goes_out_in_the_robots_order(order, values):
    edges = DriverEdges(flow(joints=tuple(order)), "guard")
    sent = edges.to_robot("command", Float64Array(data=np.array(values)))
    assert dict(zip(order, sent.data, strict=True)) == dict(zip(JOINTS, values, strict=True))
    assert edges.to_robot("commanded", sent) is sent


def test_millimetres_become_metres_and_the_frame_that_of_the_flow():
    found = adapter("depth", outputs={"depth": {"encoding": "16UC1", "frame": "camera_depth"}}).adapt(
        depth(np.array([[0, 1234], [65535, 1]], dtype=np.uint16)), NOW
    )
    assert (found.encoding, found.frame_id, found.data.dtype) == ("32FC1", "camera_optical", np.float32)
    assert np.allclose(found.data, [[0.0, 1.234], [65.535, 0.001]])
    assert found.data[0, 0] == 0.0, "no return stays no return"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (depth([[1]], "mono16"), "encoding mono16, expected 16UC1 of the robot file"),
        (depth([[1]], frame="odd"), "frame 'odd', expected 'camera_depth' of the robot file"),
    ],
)
def test_an_image_that_is_not_as_the_robot_file_says_is_refused(value, reason):
    one = adapter("depth", outputs={"depth": {"encoding": "16UC1", "frame": "camera_depth"}})
    with pytest.raises(ValueRefusedError) as refused:
        one.adapt(value, NOW)
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (joint_state(names=JOINTS[:5]), f"joint '{JOINTS[5]}' is missing"),
        (joint_state(velocity=[]), "not one position and one velocity for each name"),
        (joint_state(position=[1.0]), "not one position and one velocity for each name"),
        (joint_state(stamp_ns=NOW + 30 * MS), "stamp ahead of this host's clock"),
        (joint_state(stamp_ns=NOW - 110 * MS), "stamp too far behind this host's clock"),
        (joint_state(stamp_ns=0), "stamp too far behind this host's clock"),
    ],
)
def test_joint_states_that_no_driver_should_send_are_refused(value, reason):
    with pytest.raises(ValueRefusedError) as refused:
        adapter("joint_states").adapt(value, NOW)
    assert str(refused.value) == reason


def given_out(one, stamps, now=lambda stamp: stamp):
    """Which of these stamps get through, and why the others do not."""
    passed, refused = [], []
    for stamp in stamps:
        try:
            value = one.adapt(joint_state(stamp_ns=stamp), now(stamp))
        except ValueRefusedError as error:
            refused.append((stamp, str(error)))
            continue
        if value is not None:
            passed.append(value.stamp_ns)
    return passed, refused


def test_repeated_stamps_and_those_out_of_order_are_refused():
    stamps = [NOW, NOW, NOW + 20 * MS, NOW + 10 * MS, NOW + 30 * MS]
    passed, refused = given_out(adapter("joint_states"), stamps, lambda stamp: NOW + 30 * MS)
    assert passed == [NOW, NOW + 20 * MS, NOW + 30 * MS]
    assert refused == [
        (NOW, "stamp not newer than the one before"),
        (NOW + 10 * MS, "stamp not newer than the one before"),
    ]


def test_after_a_jump_of_the_drivers_clock_and_its_reset_good_stamps_pass_again():
    one = adapter("joint_states")
    for good in (NOW, NOW + 20 * MS, NOW + 40 * MS):
        assert given_out(one, [good]) == ([good], [])
        for bad in (good + 10**13, good - 10**13, 5 * MS):
            passed, refused = given_out(one, [bad], lambda stamp, good=good: good)
            assert (passed, len(refused)) == ([], 1)


def test_after_a_jump_back_of_this_hosts_clock_nobody_waits_for_the_old_time():
    one = adapter("joint_states")
    hour = 3600 * 10**9
    assert given_out(one, [NOW, NOW - hour, NOW - hour + 10 * MS])[0] == [
        NOW,
        NOW - hour,
        NOW - hour + 10 * MS,
    ]


FAST = {"outputs": {"joint_states": {"rate_hz": 500}}}


@pytest.mark.parametrize("phase", [0, 1, 10 * MS - 1, *range(0, 10 * MS, 777_777)])
def test_a_fast_stream_is_thinned_to_the_rate_of_the_flow_whatever_the_jitter(phase):
    jitter = np.random.default_rng(phase).integers(-900_000, 900_000, 1000).tolist()
    stamps = [NOW + phase + index * 2 * MS + shift for index, shift in enumerate(jitter)]
    passed, refused = given_out(adapter("joint_states", **FAST), stamps)
    assert refused == []
    assert 198 <= len(passed) <= 201
    assert np.diff(passed).min() > 6 * MS
    assert np.diff(passed).max() < 14 * MS


def test_images_of_two_topics_are_thinned_alike_though_one_loses_some():
    fast = {name: {"rate_hz": 120, "frame": "camera_optical"} for name in ("color", "depth")}
    one, other = (adapter(name, outputs=fast) for name in ("color", "depth"))

    def passing(found, name, data, stamps):
        images = [Image(stamp_ns=s, frame_id="camera_optical", encoding=name, data=data) for s in stamps]
        return {image.stamp_ns for image in images if found.adapt(image, image.stamp_ns) is not None}

    stamps = [NOW + index * 8_333_333 for index in range(240)]
    color = passing(one, "rgb8", np.zeros((1, 1, 3), np.uint8), stamps)
    later = passing(other, "32FC1", np.zeros((1, 1), np.float32), stamps[5:])
    assert 95 <= len(color) <= 101
    assert later - color == set()


def test_what_is_published_once_may_be_old_and_comes_again():
    info = CameraInfo(stamp_ns=0, frame_id="camera_optical", width=1, height=1, intrinsics=np.eye(3))
    one = adapter("camera_info")
    assert [one.adapt(info, NOW).stamp_ns for _ in range(2)] == [0, 0]


def test_without_a_robot_nothing_is_changed():
    edges = DriverEdges(FLOW, "guard")
    state, command = joint_state(stamp_ns=0), Float64Array(data=np.arange(6.0))
    assert edges.to_flow("joint_states", state, NOW) is state
    assert edges.to_robot("command", command) is command
    assert (edges.inputs, edges.outputs) == ({}, {})


def test_only_what_leads_to_a_driver_is_adapted():
    edges = DriverEdges(flow(namespace="/left"), "guard")
    assert {name: topic.topic for name, topic in edges.inputs.items()} == {
        "joint_states": "/left/joint_states"
    }
    assert {n: t.topic for n, t in edges.outputs.items()} == {
        "command": "/left/forward_velocity_controller/commands"
    }
    assert actuator_topic(flow(inputs={"command": {"topic": "/c"}}), "command").topic == "/c"
