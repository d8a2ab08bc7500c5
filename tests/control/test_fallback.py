import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.fallback import Fallback, base_port, fallback_port

TICK_NS = 10_000_000
SILENT = 50_000_000
PORTS = ("odometry", "odometry~1", "odometry~2")


def choice():
    return Fallback(dict.fromkeys(PORTS, SILENT))


def run(made, ticks, speaking, first=0):
    """Which port is read after each tick in which some of them speak."""
    read = []
    for tick in range(first, first + ticks):
        came = [port for port in speaking if made.arrived(port, tick * TICK_NS)]
        read.append(came[-1] if came else None)
    return read


def test_names_of_further_sources_lead_back_to_their_input():
    assert fallback_port("odometry", 2) == "odometry~2"
    assert base_port("odometry~2") == base_port("odometry") == "odometry"


def test_the_first_is_read_while_it_speaks():
    assert set(run(choice(), 30, PORTS)) == {"odometry"}


def test_when_it_is_silent_the_next_is_read_and_after_a_while_of_speaking_it_again():
    made = choice()
    run(made, 10, PORTS)
    read = run(made, 20, PORTS[1:], first=10)
    assert read[:4] == [None] * 4, "its last was at tick 9; until tick 14 it may speak"
    assert set(read[5:]) == {"odometry~1"}
    back = run(made, 40, PORTS, first=30)
    assert set(back[:19]) == {"odometry~1"}
    assert set(back[19:]) == {"odometry"}


def test_a_source_that_comes_and_goes_is_not_gone_back_to():
    made = choice()
    run(made, 10, PORTS)
    read = []
    for tick in range(10, 200):
        speaking = PORTS if tick % 16 < 8 else PORTS[1:]
        read += run(made, 1, speaking, first=tick)
    assert set(read[10:]) == {"odometry~1"}


def test_a_refused_value_begins_the_proof_anew():
    made = choice()
    run(made, 10, PORTS)
    run(made, 10, PORTS[1:], first=10)
    run(made, 15, PORTS, first=20)
    made.refused("odometry")
    assert set(run(made, 10, PORTS, first=35)) == {"odometry~1"}


def test_what_is_not_as_in_training_is_left_and_gone_back_to():
    made = choice()
    run(made, 10, PORTS)
    made.trust("odometry", is_trusted=False)
    assert run(made, 2, PORTS, first=10) == ["odometry~1", "odometry~1"]
    made.trust("odometry", is_trusted=True)
    assert run(made, 30, PORTS, first=12)[-1] == "odometry"


def test_if_nobody_is_trusted_what_was_read_is_read():
    made = choice()
    run(made, 10, PORTS)
    for port in PORTS:
        made.trust(port, is_trusted=False)
    assert set(run(made, 10, PORTS, first=10)) == {"odometry"}


def test_a_reset_gives_all_the_time_to_speak_and_keeps_who_was_read():
    made = choice()
    run(made, 10, PORTS)
    run(made, 10, PORTS[1:], first=10)
    made.reset(1000 * TICK_NS)
    assert run(made, 1, PORTS[2:], first=1001) == [None]
    assert run(made, 1, PORTS[1:2], first=1002) == ["odometry~1"]


@given(st.lists(st.sets(st.sampled_from(PORTS)), max_size=200))
def test_whoever_speaks_at_every_tick_is_read_when_nobody_before_it_does(ticks):
    made = choice()
    for tick, speaking in enumerate(ticks):
        for port in PORTS:
            if port in speaking:
                made.arrived(port, tick * TICK_NS)
    last = run(made, 30, PORTS[1:], first=len(ticks))
    assert last[-1] == "odometry~1"


@pytest.mark.parametrize("silence_ns", [None, SILENT])
def test_what_may_pause_for_ever_is_never_left(silence_ns):
    made = Fallback({"info": silence_ns, "info~1": silence_ns})
    assert made.arrived("info", 0)
    assert made.arrived("info~1", 10**12) is (silence_ns is not None)
