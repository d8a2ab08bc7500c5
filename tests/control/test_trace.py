import numpy as np

from reflexarc.control.trace import StepRecord, frame_ages_s, hop_latencies_s, newest_stamps, output_stamp
from reflexarc.control.values import Float64Array, JointState

MS = 1_000_000
PATH = (("guard", "command"), ("perception", "color"))


def joints(stamp_ns):
    return JointState(stamp_ns=stamp_ns, names=("a",), position=np.zeros(1), velocity=np.zeros(1))


def record(now_ms, inputs, output_ms=None, published_ms=0.0):
    """A step; what it published has the newest stamp that it read, unless said otherwise."""
    newest = max(inputs.values(), default=now_ms)
    return StepRecord(
        now_ns=now_ms * MS,
        output_stamp_ns=(newest if output_ms is None else output_ms) * MS,
        input_stamps_ns={port: stamp * MS for port, stamp in inputs.items()},
        received_ns=0,
        published_ns=round(published_ms * MS),
    )


def test_newest_stamps_of_what_has_a_stamp():
    inputs = {
        "joints": (joints(3), joints(7), joints(5)),
        "nothing": (),
        "command": (Float64Array(data=np.zeros(1)),),
    }
    assert newest_stamps(inputs) == {"joints": 7}


def test_output_stamp_is_that_of_the_first_that_has_one():
    command = Float64Array(data=np.zeros(1))
    assert output_stamp({"command": command, "first": joints(3), "second": joints(4)}, 9) == 3
    assert output_stamp({"command": command}, 9) == 9
    assert output_stamp({}, 9) == 9


def test_hop_latencies_are_from_trigger_to_output():
    records = [record(0, {}, published_ms=2.5), record(10, {}, published_ms=4.0)]
    np.testing.assert_allclose(hop_latencies_s(records), [2.5e-3, 4e-3])
    assert hop_latencies_s([]).shape == (0,)


def test_frame_age_in_flow_time():
    records = {
        "perception": [record(0, {"color": 0}), record(20, {"color": 20})],
        "guard": [record(10, {"command": 0}), record(40, {"command": 20})],
    }
    np.testing.assert_allclose(frame_ages_s(PATH, records), [0.010, 0.020])


def test_frame_age_by_the_clock():
    records = {
        "perception": [record(0, {"color": 0}), record(20, {"color": 20})],
        "guard": [
            record(10, {"command": 0}, published_ms=1007.5),
            record(30, {"command": 20}, published_ms=1031),
        ],
    }
    np.testing.assert_allclose(frame_ages_s(PATH, records, {0: 1000 * MS}), [0.0075])


def test_only_the_first_command_that_used_a_frame_counts():
    records = {
        "perception": [record(0, {"color": 0}), record(20, {"color": 20})],
        "guard": [
            record(now, {"command": stamp}) for now, stamp in ((10, 0), (20, 0), (30, 20), (40, 0), (50, 20))
        ],
    }
    np.testing.assert_allclose(frame_ages_s(PATH, records), [0.010, 0.010])


def test_commands_that_no_frame_led_to_do_not_count():
    records = {
        "perception": [record(0, {"color": 0}), record(20, {})],
        "guard": [
            record(10, {}),  # nothing new
            record(20, {"joint_states": 20}),  # something else
            record(30, {"command": 7}),  # by nobody's step
            record(40, {"command": 20}),  # by a step without a frame
        ],
    }
    assert frame_ages_s(PATH, records).shape == (0,)
    assert frame_ages_s(PATH, {}).shape == (0,)


def test_a_longer_way_is_followed_by_the_stamps():
    path = (
        ("guard", "command"),
        ("policy", "odometry"),
        ("estimation", "detection"),
        ("perception", "color"),
    )
    records = {
        "perception": [record(0, {"color": 0})],
        "estimation": [record(10, {"joint_states": 10}), record(20, {"detection": 0, "joint_states": 20})],
        "policy": [record(10, {"odometry": 10}), record(20, {"odometry": 20})],
        "guard": [record(10, {"command": 10}), record(20, {"command": 20})],
    }
    np.testing.assert_allclose(frame_ages_s(path, records), [0.020])
