import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.modules.guard import Guard
from reflexarc.control.ports import MessageType, Port
from reflexarc.control.values import JointState, JointTrajectory

TICK_NS = 10_000_000
PARAMETERS = {
    "joints": ["a", "b"],
    "rate_hz": 100.0,
    "position_low_rad": [-1.0, -1.0],
    "position_high_rad": [1.0, 1.0],
    "velocity_limit": [3.0, 3.0],
    "acceleration_limit": [15.0, 15.0],
    "staleness_s": 0.1,
}
PORTS = {
    "command": Port(type=MessageType.FLOAT64_ARRAY, topic="command", shape=(2,), unit="rad/s"),
    "commanded": Port(type=MessageType.JOINT_TRAJECTORY, topic="commanded", shape=(2,), unit="rad/s"),
}


def guard(**changes):
    return Guard({**PARAMETERS, **changes}, PORTS, None)


def command(velocities, stamp_ns, names=("a", "b")):
    return JointTrajectory(
        stamp_ns=stamp_ns,
        names=names,
        positions=np.empty((1, 0)),
        velocities=np.array([velocities], dtype=np.float64),
        time_from_start_ns=np.zeros(1, dtype=np.int64),
    )


def joints(stamp_ns, position=(0.0, 0.0), names=("a", "b")):
    return JointState(stamp_ns=stamp_ns, names=names, position=np.array(position), velocity=np.zeros(2))


def step(module, tick, velocities=None, position=(0.0, 0.0)):
    now_ns = tick * TICK_NS
    commands = () if velocities is None else (command(velocities, now_ns),)
    measured = () if position is None else (joints(now_ns, position),)
    return module.step({"command": commands, "joint_states": measured}, now_ns)["command"].data


def test_a_modest_command_passes_unchanged():
    assert np.array_equal(step(guard(), 1, (0.1, -0.15)), [0.1, -0.15])


def test_what_was_commanded_is_published_back_with_its_cause():
    module = guard()
    outputs = module.step({"command": (command((9.0, 0.0), 7),), "joint_states": (joints(7),)}, TICK_NS)
    assert outputs["commanded"].stamp_ns == 7
    assert np.array_equal(outputs["commanded"].velocities[0], outputs["command"].data)


def test_acceleration_and_velocity_are_limited():
    module = guard()
    sent = [step(module, tick, (100.0, -100.0)) for tick in range(1, 40)]
    differences = np.abs(np.diff([np.zeros(2), *sent], axis=0))
    assert differences.max() <= 0.15 + 1e-12
    assert np.allclose(sent[-1], (np.sqrt(2 * 15.0), -np.sqrt(2 * 15.0)), atol=3.0)
    assert np.abs(sent).max() <= 3.0


def test_two_commands_in_one_period_change_no_more_than_one():
    module = guard()
    step(module, 1, (1.0, 1.0))
    before = step(module, 2, (1.0, 1.0))
    assert np.array_equal(step(module, 2, (1.0, 1.0)), before)
    after_silence = step(module, 6, (1.0, 1.0))
    assert np.allclose(after_silence - before, 0.15)


def test_a_silent_policy_leads_to_a_stop_by_a_ramp():
    module = guard()
    for tick in range(1, 20):
        step(module, tick, (1.0, 1.0))
    sent = [step(module, tick) for tick in range(20, 60)]
    assert np.array_equal(sent[-1], [0.0, 0.0])
    assert np.abs(np.diff(sent, axis=0)).max() <= 0.15 + 1e-12
    assert module.rejections["held still: stale command"] > 0


def test_nothing_moves_before_joints_are_measured():
    module = guard()
    assert np.array_equal(step(module, 1, (1.0, 1.0), position=None), [0.0, 0.0])
    assert module.rejections == {"held still: no joint state yet": 1}


def test_nothing_moves_without_a_command():
    module = guard()
    assert np.array_equal(step(module, 1), [0.0, 0.0])
    assert module.rejections == {"held still: no command yet": 1}


def test_stale_joints_lead_to_a_stop():
    module = guard()
    step(module, 1, (0.1, 0.1))
    for tick in range(2, 30):
        sent = step(module, tick, (0.1, 0.1), position=None)
    assert np.array_equal(sent, [0.0, 0.0])
    assert module.rejections["held still: stale joint state"] > 0


def test_a_command_for_other_joints_is_not_followed():
    module = guard()
    inputs = {"command": (command((1.0, 1.0), 0, names=("b", "a")),), "joint_states": (joints(0),)}
    assert np.array_equal(module.step(inputs, 0)["command"].data, [0.0, 0.0])


def test_joint_states_in_another_order_are_understood():
    module = guard(position_high_rad=[1.0, 5.0], position_low_rad=[-1.0, -5.0])
    swapped = joints(TICK_NS, position=(4.0, 0.0), names=("b", "a"))
    sent = module.step({"command": (command((0.1, 0.1), TICK_NS),), "joint_states": (swapped,)}, TICK_NS)
    assert np.array_equal(sent["command"].data, [0.1, 0.1])


def test_a_joint_at_its_limit_is_not_driven_further():
    module = guard()
    for tick in range(1, 30):
        sent = step(module, tick, (1.0, -1.0), position=(1.0, -1.0))
    assert np.array_equal(sent, [0.0, 0.0])
    assert np.array_equal(step(module, 31, (-0.1, 0.1), position=(1.0, -1.0)), [-0.1, 0.1])


WORKSPACE = {
    "kinematics": {"a_m": [1.0, 0.5], "d_m": [0.0, 0.0], "alpha_rad": [0.0, 0.0]},
    "low_m": [-2.0, -0.3, -1.0],
    "high_m": [2.0, 0.3, 1.0],
}


def test_the_tool_stays_in_its_workspace():
    module = guard(workspace=WORKSPACE)
    angle = 0.0
    for tick in range(1, 200):
        angle += 0.01 * step(module, tick, (1.0, 0.0), position=(angle, 0.0))[0]
    assert 0.2 < 1.5 * np.sin(angle) <= 0.3 + 1e-9
    assert module.rejections["held still: leaving the workspace"] > 0
    inside = [step(module, tick, (-1.0, 0.0), position=(angle, 0.0))[0] for tick in range(200, 210)]
    assert inside[-1] < -0.5


def test_halt_stands_still():
    module = guard()
    step(module, 1, (0.1, 0.1))
    assert np.array_equal(module.halt(TICK_NS)["command"].data, [0.0, 0.0])


@given(arrays(np.float64, (30, 2), elements=st.floats(-1e6, 1e6)))
def test_any_sequence_of_commands_stays_in_the_limits(commands):
    module = guard()
    angle, last = np.zeros(2), np.zeros(2)
    for tick, wanted in enumerate(commands, start=1):
        sent = step(module, tick, wanted, position=angle)
        assert (np.abs(sent) <= 3.0).all()
        assert (np.abs(sent - last) <= 0.15 + 1e-9).all()
        angle, last = angle + 0.01 * sent, sent
        assert (np.abs(angle) <= 1.0 + 0.02).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"velocity_limit": [3.0]},
            "guard: parameter parameters: Value error, velocity_limit has 1 entries for 2",
        ),
        (
            {"velocity_limit": [3.0, -1.0]},
            "guard: parameter velocity_limit.1: Input should be greater than 0.",
        ),
        ({"position_low_rad": [2.0, 0.0]}, "a lower position limit is not below the upper one"),
        ({"speed": 1}, "guard: parameter speed: Extra inputs are not permitted."),
    ],
)
def test_bad_parameters_are_refused_by_name(changes, message):
    with pytest.raises(ValueRefusedError) as caught:
        guard(**changes)
    assert message in str(caught.value)


def test_held_from_outside_it_ramps_down_and_stays_still_whatever_comes():
    module = guard()
    for tick in range(1, 20):
        step(module, tick, (1.0, -1.0))
    module.hold("emergency stop")
    sent = [step(module, tick, (3.0, 3.0)) for tick in range(20, 60)]
    assert np.abs(np.diff([(1.0, -1.0), *sent], axis=0)).max() <= 0.15 + 1e-12
    assert np.abs(sent[0]).max() < 1.0, "at once"
    assert np.array_equal(sent[7:], np.zeros((33, 2)))
    assert module.is_still
    assert module.rejections["held still: emergency stop"] == 40
    module.reset()
    assert not step(module, 60, (1.0, 1.0)).any(), "a reset does not end it"
    module.hold(None)
    assert step(module, 61, (0.1, 0.1)).tolist() == [0.1, 0.1]
