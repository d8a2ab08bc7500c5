import time
from collections import Counter

import pytest

from reflexarc.control.nodes.health import NO_DRIVER, Edge, Health

pytestmark = pytest.mark.ros


def test_a_silence_counts_once_a_value_has_ended_it():
    edge = Edge()
    edge.missed()  # before the first value nothing is expected
    edge.arrived()
    assert (edge.missed_deadlines, edge.is_silent) == (0, False)
    edge.missed(2)
    assert (edge.missed_deadlines, edge.is_silent) == (0, True)
    edge.arrived()
    assert (edge.missed_deadlines, edge.is_silent) == (2, False)


def test_the_pause_between_episodes_is_no_fault():
    edge = Edge()
    edge.arrived()
    edge.missed()
    edge.pause()
    edge.missed()
    edge.lost(1)
    edge.arrived()
    assert (edge.missed_deadlines, edge.lost_producers) == (0, 0)
    edge.lost(1)
    assert edge.lost_producers == 1


def test_a_driver_is_watched_where_the_middleware_does_not():
    edge = Edge()
    edge.arrived()
    edge.watch(limit_s=60.0)
    assert not edge.is_silent
    edge.watch(limit_s=0.0)
    assert edge.is_silent


def test_a_report_gives_rate_step_time_and_every_fault_with_its_reason():
    health = Health("guard", ("command", "joint_states"))
    for duration_ms in range(1, 101):
        health.stepped(duration_ms * 1_000_000)
    health.edges["command"].arrived()
    health.edges["command"].missed()
    health.edges["command"].arrived()
    time.sleep(0.01)  # a rate needs time
    faults = health.faults({"command: shape": 3}, late_steps=1)
    assert faults == {"command: shape": 3, "command: deadline missed": 1, "stepped by deadline": 1}
    (entry,) = health.report(5, faults, {"episode": "2"}).entries
    figures = dict(entry.figures)
    assert (entry.name, entry.level) == ("guard", 1)
    assert entry.message == "command: shape, command: deadline missed, stepped by deadline"
    assert float(figures["rate_hz"]) > 100
    assert (figures["step_p50_ms"], figures["step_p99_ms"]) == ("50.500", "99.010")
    assert (figures["episode"], figures["command: shape"]) == ("2", "3")

    (entry,) = health.report(6, faults, {}).entries
    assert (entry.level, entry.message) == (0, "ok"), "what was reported before is no news"
    assert dict(entry.figures)["command: shape"] == "3"

    health.edges["command"].missed()
    (entry,) = health.report(7, faults, {}).entries
    assert (entry.level, entry.message) == (2, "silent: command")


def test_a_driver_that_is_not_there_is_an_error_and_named():
    (entry,) = Health("perception", ["color", "depth"]).report(0, Counter(), {}, absent=["depth"]).entries
    assert (entry.level, entry.message) == (2, "no driver: depth")
    assert dict(entry.figures)[NO_DRIVER] == "depth"
