import pytest

from reflexarc.control.redundancy.departures import DepartureLog
from reflexarc.control.redundancy.voter import Departure, Member

REPLICA = Departure(Member("kalman", 2), "silent")
APPROACH = Departure(Member("kalman"), "differs")
UNSURE = Departure(Member("kalman"), "differs", is_attributed=False)


@pytest.fixture
def log():
    return DepartureLog(report_after=3, heal_after=2)


def test_what_lasts_is_told_once(log):
    assert [log.take([REPLICA]) for _ in range(5)] == [[], [], ["kalman_2: fault: silent"], [], []]
    assert log.open == {REPLICA.member: "fault: silent"}


def test_what_does_not_last_is_not_told(log):
    for _ in range(5):
        assert log.take([REPLICA]) == log.take([REPLICA]) == log.take([]) == []


def test_what_comes_again_before_it_has_healed_is_the_same(log):
    for _ in range(3):
        log.take([REPLICA])
    assert log.take([]) == log.take([REPLICA]) == []


def test_it_is_over_when_it_has_healed_and_is_then_told_again(log):
    for _ in range(3):
        log.take([REPLICA])
    log.take([])
    assert log.open
    log.take([])
    assert not log.open
    assert [log.take([REPLICA]) for _ in range(3)][-1] == ["kalman_2: fault: silent"]


@pytest.mark.parametrize(
    ("departure", "said"),
    [(APPROACH, "kalman: use case"), (UNSURE, "kalman: differs, and nobody knows who is wrong")],
)
def test_replicas_have_faults_and_approaches_use_cases(log, departure, said):
    log.take([departure])
    log.take([departure])
    assert log.take([departure]) == [said]


def test_a_reset_forgets(log):
    for _ in range(3):
        log.take([REPLICA])
    log.reset()
    assert not log.open
    assert log.take([REPLICA]) == []
