from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.inbox import Inbox
from reflexarc.control.ports import MessageType, Port
from reflexarc.control.values import Float64Array, JointState

PORT = Port(type=MessageType.JOINT_STATE, topic="joints", shape=(1,), unit="rad")


def joints(stamp_ns):
    return JointState(stamp_ns=stamp_ns, names=("a",), position=np.zeros(1), velocity=np.zeros(1))


def inbox(trigger, deadline_ns=None):
    return Inbox({"left": PORT, "right": PORT, "other": PORT}, trigger, deadline_ns)


def stamps(inputs):
    return {name: [value.stamp_ns for value in values] for name, values in inputs.items()}


def test_one_trigger_takes_all_that_came():
    box = inbox(["left"])
    box.deliver("other", joints(1), 0)
    assert not box.is_ready(0)
    box.deliver("left", joints(2), 0)
    box.deliver("left", joints(3), 0)
    assert box.is_ready(0)
    assert stamps(box.take(0)) == {"left": [2, 3], "right": [], "other": [1]}
    assert not box.is_ready(0)


def test_two_triggers_are_paired_by_stamp_and_the_unpaired_are_counted():
    box = inbox(["left", "right"])
    for stamp in (1, 2, 3):
        box.deliver("left", joints(stamp), 0)
    box.deliver("right", joints(2), 0)
    assert stamps(box.take(0)) == {"left": [2], "right": [2], "other": []}
    assert box.rejections == {"left: unpaired": 1}
    box.deliver("right", joints(3), 0)
    assert stamps(box.take(0)) == {"left": [3], "right": [3], "other": []}


@given(st.permutations([("left", k) for k in range(6)] + [("right", k) for k in range(6)]))
def test_pairs_come_in_order_whatever_the_order_of_arrival(arrivals):
    box = inbox(["left", "right"])
    for port, stamp in arrivals:
        box.deliver(port, joints(stamp), 0)
    steps = []
    while box.is_ready(0):
        taken = stamps(box.take(0))
        assert taken["left"] == taken["right"]
        steps += taken["left"]
    assert steps == sorted(steps)
    assert steps[-1] == 5


def test_a_silent_trigger_is_stepped_by_its_deadline():
    box = inbox(["left"], deadline_ns=20)
    box.reset(100)
    assert not box.is_ready(119)
    assert box.is_ready(120)
    assert stamps(box.take(120)) == {"left": [], "right": [], "other": []}
    assert box.late_steps == 1
    assert not box.is_ready(139)


def test_while_the_trigger_is_silent_steps_come_at_its_rate():
    port = PORT.model_copy(update={"rate_hz": 1e8})  # 10 ns
    box = Inbox({"left": port, "right": PORT}, ["left"], 20)
    box.reset(0)
    assert [now for now in range(0, 60, 5) if box.is_ready(now) and box.take(now) is not None] == [
        20,
        30,
        40,
        50,
    ]
    box.deliver("left", joints(1), 57)
    box.take(57)
    assert [now for now in range(60, 100, 5) if box.is_ready(now) and box.take(now) is not None] == [80, 90]


def test_a_bad_value_is_counted_and_not_kept():
    box = inbox(["left"])
    assert not box.deliver("left", Float64Array(data=np.zeros(1)), 0)
    assert box.rejections == {"left: type Float64Array, expected JointState": 1}
    assert not box.is_ready(0)


def test_what_waits_for_a_partner_is_bounded():
    box = inbox(["left", "right"])
    for stamp in range(100):
        box.deliver("left", joints(stamp), 0)
    assert box.rejections["left: unpaired"] == 84


def test_reset_drops_what_waits():
    box = inbox(["left"])
    box.deliver("left", joints(1), 0)
    box.reset(5)
    assert not box.is_ready(5)


def test_a_value_without_stamp_can_trigger():
    port = Port(type=MessageType.FLOAT64_ARRAY, topic="command", shape=(1,))
    box = Inbox({"command": port}, ["command"], None)
    box.deliver("command", Float64Array(data=np.zeros(1)), 0)
    assert box.is_ready(0)
    assert len(box.take(0)["command"]) == 1


@pytest.mark.parametrize("deadline_ns", [None, 10])
def test_nothing_is_ready_at_the_start(deadline_ns):
    assert not inbox(["left"], deadline_ns).is_ready(0)


def lacking():
    return Inbox({"left": PORT, "right": PORT, "other": PORT}, ["left", "right"], None, may_lack=True)


def test_a_set_that_may_lack_some_waits_until_no_more_is_to_come():
    box = lacking()
    assert not box.is_waiting
    box.deliver("left", joints(1), 0)
    assert box.is_waiting
    assert not box.is_ready(0)
    assert box.is_ready(0, is_final=True)
    assert stamps(box.take(0, is_final=True)) == {"left": [1], "right": [], "other": []}
    assert not box.is_waiting


def test_a_complete_set_is_not_waited_for():
    box = lacking()
    box.deliver("left", joints(1), 0)
    box.deliver("right", joints(1), 0)
    assert box.is_ready(0)
    assert stamps(box.take(0)) == {"left": [1], "right": [1], "other": []}


def test_nothing_comes_back_to_a_stamp_that_is_done():
    box = lacking()
    box.deliver("left", joints(1), 0)
    box.take(0, is_final=True)
    assert not box.deliver("right", joints(1), 0)
    assert box.rejections == {"right: late": 1}
    box.reset(0)
    assert box.deliver("right", joints(1), 0)


def test_who_has_been_missing_is_not_waited_for_until_it_speaks_in_time():
    box = lacking()
    for stamp in (1, 2, 3):
        box.deliver("left", joints(stamp), 0)
        assert not box.is_ready(0)
        box.take(0, is_final=True)
    box.deliver("left", joints(4), 0)
    assert box.is_ready(0)
    box.take(0)
    box.deliver("right", joints(5), 0)
    assert not box.is_ready(0)
    box.deliver("left", joints(5), 0)
    assert stamps(box.take(0)) == {"left": [5], "right": [5], "other": []}


@given(st.lists(st.tuples(st.sampled_from(["left", "right"]), st.integers(1, 6), st.booleans()), max_size=30))
def test_stamps_that_are_stepped_on_go_up_and_each_step_has_one(arrivals):
    box, done = lacking(), [0]
    for port, stamp, is_final in arrivals:
        box.deliver(port, joints(stamp), 0)
        while box.is_ready(0, is_final=is_final):
            taken = box.take(0, is_final=is_final)
            found = {value.stamp_ns for values in taken.values() for value in values}
            assert len(found) == 1
            done.append(found.pop())
    assert all(first < second for first, second in pairwise(done))


def test_an_input_with_two_sources_reads_one_at_a_time_and_counts_the_change():
    port = PORT.model_copy(update={"rate_hz": 100.0})
    box = Inbox({"left": port, "left~1": port}, ["left"], None)
    tick_ns = 10_000_000
    read = []
    for tick in range(40):
        now_ns = tick * tick_ns
        if tick < 10:
            box.deliver("left", joints(now_ns), now_ns)
        box.deliver("left~1", joints(now_ns + 1), now_ns)
        if box.is_ready(now_ns):
            taken = stamps(box.take(now_ns))
            assert set(taken) == {"left"}
            read += taken["left"]
    assert read[:10] == [tick * tick_ns for tick in range(10)]
    assert read[10:] == [tick * tick_ns + 1 for tick in range(15, 40)]
    assert box.rejections == {"left: changed to left~1": 1}
    assert box.sources == {"left": "left~1"}
