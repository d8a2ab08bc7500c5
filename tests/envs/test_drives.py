import numpy as np
import pytest

from reflexarc.envs.drives import Drives
from reflexarc.envs.robot import ACCELERATION_LIMIT
from reflexarc.envs.task import SUBSTEPS, TICK_S

STEP = ACCELERATION_LIMIT * TICK_S
"""What a guard of 100 Hz may change from one command to the next, rad/s."""


def fine():
    """Drives that look for a command every 2 ms, as those of a robot do."""
    return Drives(period_ticks=SUBSTEPS, jitter_ticks=SUBSTEPS)


def follow(drives, commands, ticks):
    """What acts in each tick, where commands come at some of them."""
    acting = []
    for tick in range(ticks):
        if tick in commands:
            drives.take(np.full(6, commands[tick]))
        acting.append(drives.follow(tick)[0])
    return acting


@pytest.mark.parametrize(
    ("changes", "unsafe"), [([1, 1, -1], 0), ([1, 1.05], 1), ([1, -1.05, 0.5], 1), ([1] * 15 + [0.9], 1)]
)
def test_a_command_every_tick_may_change_by_one_step(changes, unsafe):
    drives = Drives()
    follow(drives, dict(enumerate(np.cumsum(changes) * STEP)), len(changes))
    assert drives.unsafe == unsafe


@pytest.mark.parametrize(
    ("changes", "unsafe"),
    [([1, 1, -1], 0), ([1] + [1.05] * 9, 0), ([1, -2.05, 0.5], 1), ([0.5, 1.6, 1.5], 1)],
)
def test_in_shorter_ticks_one_step_more_may_be_jitter(changes, unsafe):
    drives = fine()
    commands = {SUBSTEPS * k: v for k, v in enumerate(np.cumsum(changes) * STEP)}
    follow(drives, commands, SUBSTEPS * len(changes))
    assert drives.unsafe == unsafe


def test_jitter_of_the_way_is_nobodys_fault():
    rng = np.random.default_rng(0)
    drives, velocity, commands = fine(), 0.0, {}
    for period in range(400):
        velocity += STEP if (period // 15) % 2 == 0 else -STEP
        commands[SUBSTEPS * period + int(rng.integers(0, SUBSTEPS))] = velocity
    follow(drives, commands, 400 * SUBSTEPS)
    assert drives.unsafe == 0


def test_who_commands_twice_as_often_as_the_limit_allows_is_found_out():
    drives = fine()
    follow(drives, {tick: STEP * k for k, tick in enumerate(range(0, 20, 2))}, 20)
    assert drives.unsafe >= 6, "after what jitter may explain, each one counts"


def test_where_it_is_known_when_a_command_was_sent_the_way_does_not_matter():
    drives = fine()
    for k in range(8):
        drives.take(np.full(6, STEP * (k + 1)), sent_at=SUBSTEPS * k)
        drives.follow(100 + k)
    assert drives.unsafe == 0
    for k in range(4):
        drives.take(np.full(6, STEP * (9 + k)), sent_at=36 + k)
        drives.follow(200 + SUBSTEPS * k)
    assert drives.unsafe == 3, "sent every 2 ms, whenever they came"


def test_lateness_is_not_hoarded():
    drives = fine()
    late = {0: STEP, 100: STEP}
    follow(drives, {**late, 101: 4 * STEP}, 102)
    assert drives.unsafe == 1, "two periods and the two milliseconds that have passed are less than three"


@pytest.mark.parametrize(("make", "ticks"), [(Drives, 1), (fine, SUBSTEPS)], ids=["10 ms", "2 ms"])
def test_without_commands_the_drives_stop_after_50_ms_at_the_limit(make, ticks):
    drives = make()
    acting = follow(drives, {0: STEP, ticks: 2 * STEP}, 12 * ticks)
    assert acting[: 6 * ticks + 1] == [STEP] * ticks + [2 * STEP] * (5 * ticks + 1)
    assert np.diff(acting[6 * ticks :]).min() >= -STEP / ticks - 1e-12
    assert acting[-1] == pytest.approx(0.0, abs=1e-12)
    assert drives.unsafe == 0


@pytest.mark.parametrize("bad", [np.full(5, 0.1), np.full((1, 6), 0.1), np.array([0.1] * 5 + [np.nan])])
def test_what_no_driver_would_take_stops_the_joints(bad):
    drives = Drives()
    follow(drives, {0: 0.1}, 1)
    drives.take(bad)
    assert not drives.follow(1).any()
    assert drives.unsafe == 1
    drives.reset()
    assert drives.unsafe == 0
