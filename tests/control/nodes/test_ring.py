import pytest
from bags import BEGIN_NS, LATCHED, message, read_by_rosbags

from reflexarc.control.nodes import ring as ring_module
from reflexarc.control.nodes.bag_writer import BagWriter
from reflexarc.control.nodes.ring import Ring

SECOND = 100  # messages


@pytest.fixture
def made(tmp_path):
    """A ring of one second before and one after, and the bags that it closed."""
    closed = []

    def open_bag(what: str) -> BagWriter:
        folder = tmp_path / f"{what}"
        folder.mkdir()
        return BagWriter(folder, {})

    return Ring(1.0, 1.0, open_bag, closed.append), closed


def at(number: int) -> int:
    return BEGIN_NS + number * 10_000_000


def test_the_seconds_before_and_after_are_kept_and_no_more(made):
    ring, closed = made
    for number in range(1000):
        ring.write(message(number))
        if number == 500:
            ring.save("it", at(500))
    (bag,) = closed
    assert read_by_rosbags(bag.folder) == list(range(400, 601))


def test_one_more_incident_makes_it_longer(made):
    ring, closed = made
    for number in range(1000):
        ring.write(message(number))
        if number in (500, 580):
            ring.save("it", at(number))
    (bag,) = closed
    assert read_by_rosbags(bag.folder) == list(range(400, 681))


def test_what_was_latched_long_ago_is_kept_too(made):
    ring, closed = made
    ring.write(message(0, LATCHED))
    for number in range(1, 400):
        ring.write(message(number))
    ring.save("it", at(399))
    ring.close()
    assert read_by_rosbags(closed[0].folder) == [0, *range(299, 400)]


def test_nothing_is_written_without_an_incident(made, tmp_path):
    ring, closed = made
    for number in range(300):
        ring.write(message(number))
    assert ring.size == 101 * 12
    ring.flush()
    ring.close()
    assert closed == []
    assert list(tmp_path.iterdir()) == []


def test_a_flow_that_has_fallen_silent_ends_its_incident_as_well(made, monkeypatch):
    ring, closed = made
    ring.write(message(0))
    ring.save("it", at(0))
    monkeypatch.setattr(ring_module.time, "time_ns", lambda: at(50))
    ring.flush()
    assert closed == []
    monkeypatch.setattr(ring_module.time, "time_ns", lambda: at(101))
    ring.flush()
    assert read_by_rosbags(closed[0].folder) == [0]
