import pytest

MS = 1_000_000
S = 1000 * MS
START = 100 * S


@pytest.fixture
def faults(import_example):
    return import_example("standin_faults")


def leaving(faults, kind, count=20, group=5, period=2 * MS):
    """(now, stamp, content) of what leaves of samples that are measured every 2 ms, with a fault from the start."""
    driver = faults.DriverFault(group)
    left = [(START, sample) for sample in driver.become(kind, START)]
    for k in range(count):
        now = START + k * period
        left += [(now, sample) for sample in driver.overdue(now)]
        left += [(now, sample) for sample in driver.out(faults.Sample(now, k), now)]
    return [(now - START, sample.stamp_ns - START, sample.content) for now, sample in left]


def test_what_is_well_leaves_at_once(faults):
    assert leaving(faults, "none", 3) == [(0, 0, 0), (2 * MS, 2 * MS, 1), (4 * MS, 4 * MS, 2)]


def test_a_stopped_driver_says_nothing(faults):
    assert leaving(faults, "stop") == []


def test_lag_keeps_order_and_stamps(faults):
    left = leaving(faults, "lag", 30)
    assert [content for _, _, content in left] == list(range(5))
    assert all(now - stamp == 50 * MS for now, stamp, _ in left)


def test_what_lagged_leaves_when_the_driver_heals(faults):
    driver = faults.DriverFault(5)
    driver.become("lag", START)
    for k in range(3):
        assert driver.out(faults.Sample(START + k, k), START + k) == []
    assert [sample.content for sample in driver.become("none", START + 3)] == [0, 1, 2]
    assert driver.out(faults.Sample(START + 4, 4), START + 4) == [faults.Sample(START + 4, 4)]


def test_disorder_loses_nothing_and_changes_no_stamp(faults):
    left = leaving(faults, "disorder", 20)
    assert [content for _, _, content in left[:10]] == [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]
    assert sorted(content for _, _, content in left) == list(range(20))
    assert all(stamp == content * 2 * MS for _, stamp, content in left)
    frames = [content for _, _, content in leaving(faults, "disorder", 6, group=1)]
    assert frames == [1, 0, 3, 2, 5, 4]


def test_every_second_stamp_is_repeated(faults):
    stamps = [stamp // MS for _, stamp, _ in leaving(faults, "repeat", 7)]
    assert stamps == [0, 0, 4, 4, 8, 8, 12]


def test_stamps_stand_still(faults):
    assert {stamp for _, stamp, _ in leaving(faults, "freeze")} == {0}


@pytest.mark.parametrize(("kind", "offset"), [("jump_forward", 5 * S), ("jump_back", -5 * S)])
def test_time_jumps(faults, kind, offset):
    left = leaving(faults, kind)
    assert len(left) == 20
    assert all(stamp - now == offset for now, stamp, _ in left)


def test_a_restart_takes_a_second_and_counts_from_zero(faults):
    left = leaving(faults, "restart", 10, period=200 * MS)
    assert [(now // MS, (stamp + START) // MS) for now, stamp, _ in left] == [
        (1000, 0),
        (1200, 200),
        (1400, 400),
        (1600, 600),
        (1800, 800),
    ]


def test_every_fault_heals(faults):
    for kind in faults.FAULTS:
        driver = faults.DriverFault(5)
        driver.become(kind, START)
        for k in range(7):
            driver.out(faults.Sample(START + k, k), START + k)
        driver.become("none", START + 7)
        assert driver.out(faults.Sample(START + 8, 8), START + 8) == [faults.Sample(START + 8, 8)]
