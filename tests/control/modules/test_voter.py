import numpy as np
import pytest

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow import ModuleSpec
from reflexarc.control.modules import make_module
from reflexarc.control.modules.voter import Voter
from reflexarc.control.ports import MessageType, Port
from reflexarc.control.values import JointTrajectory, Odometry, PoseWithCovariance, unknown_covariance

TICK_NS = 10_000_000
PARAMETERS = {
    "approaches": {"a": 3, "b": 1, "c": 1},
    "position_tolerance_m": 0.001,
    "approach_tolerance": 22.5,
    "hold_s": 0.05,
}
ODOMETRY = {"odometry": Port(type=MessageType.ODOMETRY, topic="o", shape=(3,), unit="m", frame="base_link")}
DETECTION = {
    "detection": Port(
        type=MessageType.POSE_WITH_COVARIANCE, topic="d", shape=(3,), unit="m", frame="base_link"
    )
}
MEMBERS = ("a_1", "a_2", "a_3", "b_1", "c_1")


def odometry(tick, x=0.0, *, known=True):
    covariance = np.diag([1e-4] * 3 + [0.0] * 3) if known else unknown_covariance()
    return Odometry(
        stamp_ns=tick * TICK_NS,
        frame_id="base_link",
        child_frame_id="base_link",
        position=np.array([x, 0.0, 0.0]) if known else np.full(3, np.nan),
        linear_velocity=np.array([1.0, 0.0, 0.0]) if known else np.full(3, np.nan),
        pose_covariance=covariance,
        twist_covariance=covariance,
    )


def detection(tick, x=0.0):
    return PoseWithCovariance(
        stamp_ns=tick * TICK_NS,
        frame_id="base_link",
        position=np.array([x, 0.0, 0.0]),
        covariance=np.diag([1e-4] * 3 + [0.0] * 3),
    )


COMMAND = {"command": Port(type=MessageType.JOINT_TRAJECTORY, topic="c", shape=(2,), unit="rad/s")}


def command(tick, speed=0.5):
    return JointTrajectory(
        stamp_ns=tick * TICK_NS,
        names=("a", "b"),
        positions=np.empty((1, 0)),
        velocities=np.array([[speed, -speed]]),
        time_from_start_ns=np.zeros(1, dtype=np.int64),
    )


def step(voter, tick, make=odometry, **said):
    """One step in which all members say the same, but for those that are named; None is silence."""
    values = {member: make(tick) for member in MEMBERS} | said
    inputs = {member: () if value is None else (value,) for member, value in values.items()}
    return voter.step(inputs, tick * TICK_NS)


@pytest.fixture
def voter():
    return Voter(PARAMETERS, ODOMETRY, None)


def test_what_all_say_goes_out_with_its_stamp(voter):
    out = step(voter, 7)["odometry"]
    assert (out.stamp_ns, out.frame_id, out.child_frame_id) == (7 * TICK_NS, "base_link", "base_link")
    assert out.position == pytest.approx(np.zeros(3))
    assert out.linear_velocity == pytest.approx([1.0, 0.0, 0.0])
    assert np.diagonal(out.pose_covariance)[:3] == pytest.approx([1e-4] * 3)
    assert not voter.rejections


def test_detections_are_voted_on_too():
    voter = Voter(PARAMETERS, DETECTION, None)
    out = step(voter, 1, detection, a_2=detection(1, 5.0))["detection"]
    assert out.position == pytest.approx(np.zeros(3))
    assert out.is_known


def test_commands_are_voted_on_too_and_without_a_majority_there_is_none():
    parameters = {"approaches": {"a": 3}, "command_tolerance_rad_s": 0.01, "approach_tolerance": 22.5}
    voter = Voter(parameters, COMMAND, None)

    def out(tick, *speeds):
        said = {f"a_{n}": (command(tick, speed),) for n, speed in enumerate(speeds, start=1)}
        return voter.step(said, tick * TICK_NS)

    found = out(1, 0.5, 3.0, 0.505)["command"]
    assert found.velocities.tolist() == [[0.5, -0.5]]
    assert (found.names, found.stamp_ns) == (("a", "b"), TICK_NS)
    assert out(2, 0.5, float("nan"), 0.5)["command"].velocities.tolist() == [[0.5, -0.5]]
    assert out(3, 0.1, 0.5, 1.0) == {}
    assert voter.rejections["no majority: no command"] == 1


@pytest.mark.parametrize(
    ("outputs", "missing"), [(COMMAND, "command_tolerance_rad_s"), (ODOMETRY, "position_tolerance_m")]
)
def test_what_equal_means_has_to_be_said(outputs, missing):
    with pytest.raises(ValueRefusedError, match=f"voter: parameter {missing} is missing"):
        Voter.needs({"approaches": {"a": 3}, "approach_tolerance": 22.5}, outputs)


def test_a_replica_that_departs_is_counted_once_under_its_name(voter):
    for tick in range(6):
        out = step(voter, tick, a_1=odometry(tick, 0.5))["odometry"]
        assert out.position[0] == pytest.approx(0.0)
    assert voter.rejections == {"a_1: fault: differs": 1}


def test_a_late_value_is_not_taken_for_one_of_this_stamp(voter):
    for tick in range(1, 5):
        step(voter, tick, a_3=odometry(tick - 1, 0.3))
    assert voter.rejections == {"a_3: fault: silent": 1}


def test_an_approach_that_departs_is_a_use_case_and_not_in_the_output(voter):
    for tick in range(4):
        out = step(voter, tick, c_1=odometry(tick, 1.0))["odometry"]
        assert out.position[0] == pytest.approx(0.0)
    assert voter.rejections == {"c: use case": 1}
    assert voter.verdict.distance > 22.5**0.5


def test_without_a_majority_it_predicts_with_growing_covariance_and_then_knows_nothing(voter):
    step(voter, 0)
    found = []
    for tick in range(1, 9):
        out = step(voter, tick, b_1=odometry(tick, 1.0), c_1=odometry(tick, 2.0))["odometry"]
        found.append((out.is_known, out.position[0], out.pose_covariance[0, 0]))
    assert [known for known, _, _ in found] == [True] * 5 + [False] * 3
    assert [x for _, x, _ in found[:5]] == pytest.approx([0.01 * tick for tick in range(1, 6)])
    spreads = [spread for _, _, spread in found[:5]]
    assert spreads == sorted(spreads)
    assert voter.rejections["no majority: predicted"] == 5
    assert voter.rejections["no majority: unknown"] == 3
    assert step(voter, 9)["odometry"].is_known


def test_a_detection_is_not_predicted():
    voter = Voter(PARAMETERS, DETECTION, None)
    step(voter, 0, detection)
    assert not step(voter, 1, detection, b_1=detection(1, 1.0), c_1=detection(1, 2.0))["detection"].is_known


def test_nobody_speaks(voter):
    assert voter.step({member: () for member in MEMBERS}, TICK_NS) == {}
    assert voter.rejections == {"no member speaks": 1}


def test_a_reset_forgets_who_was_wrong(voter):
    for tick in range(4):
        step(voter, tick, c_1=odometry(tick, 1.0))
    voter.reset()
    step(voter, 0)
    assert len(voter.verdict.sources) == 3


def test_a_flow_can_ask_what_its_members_have_to_be():
    inputs, _ = Voter.needs(PARAMETERS, ODOMETRY)
    assert tuple(inputs) == MEMBERS
    assert {need.type for need in inputs.values()} == {MessageType.ODOMETRY}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"approaches": {}}, "voter: parameter approaches: "),
        ({"approaches": {"a": 0}}, r"voter: parameter approaches\.a: "),
        ({"position_tolerance_m": 1e-12}, "voter: parameter position_tolerance_m: .* 0.000000001"),
        ({"approach_tolerance": float("nan")}, "voter: parameter approach_tolerance: "),
        ({"holds": 1}, "voter: parameter holds: "),
    ],
)
def test_what_cannot_be_a_vote_is_refused(change, complaint):
    with pytest.raises(ValueRefusedError, match=complaint):
        Voter({**PARAMETERS, **change}, ODOMETRY, None)


def test_it_is_a_kind_that_flow_files_know():
    spec = ModuleSpec(
        name="estimation", kind="voter", trigger=("a_1",), inputs={}, outputs=ODOMETRY, parameters=PARAMETERS
    )
    assert isinstance(make_module(spec, None), Voter)
