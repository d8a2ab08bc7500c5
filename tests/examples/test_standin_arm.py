import itertools

import numpy as np
import pytest

from reflexarc.envs.robot import READY_POSITION
from reflexarc.envs.tasks.arm_catch import ArmCatch

TICK_NS = 2_000_000
SEEDS = (1_000_000_000, 1_000_000_001)


@pytest.fixture
def standin(import_example):
    return import_example("standin_arm")


_CLOCK = itertools.count(1_000_000)


def run(arm, ticks, command=None):
    """Joints of each tick, (age in ms, frame) of each frame, and the throw that is over with them."""
    joints, frames, over = [], [], None
    for tick in range(ticks):
        if command is not None and (data := command(tick)) is not None:
            arm.drives.take(data)
        now_ns = TICK_NS * next(_CLOCK)
        sensed, leaving = arm.sense()
        joints.append(sensed)
        frames += [(1e-6 * (now_ns - frame.stamp_ns), frame) for frame in leaving]
        over = arm.advance(now_ns) or over
        if over is not None:
            break
    return joints, frames, over


def test_between_throws_the_arm_is_held_and_the_ball_is_out_of_sight(standin):
    arm = standin.StandinArm(SEEDS)
    joints, frames, over = run(arm, 200, lambda tick: np.full(6, 0.04 * min(tick, 20)))
    position = np.array([sensed.position for sensed in joints])
    assert over is None
    assert np.abs(position - position[0]).max() < 0.005, "the noise of the encoders"
    assert len(np.unique(position[:, 0])) == 200, "which is drawn anew every 2 ms"
    assert np.abs(position[0] - READY_POSITION).max() < 0.06
    assert 14 <= len(frames) <= 20
    task = ArmCatch(1, nthread=1, has_camera=True)
    task.reset(np.zeros(1, dtype=int), np.array([SEEDS[0]], dtype=np.uint64))
    with_ball = task.render(np.zeros(1, dtype=int))
    is_ball = with_ball.geom[0] == task.ball_geom_id
    assert is_ball.any()
    here = frames[0][1]
    same = np.abs(here.depth - with_ball.depth[0]) < 1e-6
    assert same[~is_ball].all()
    assert not same[is_ball].any()


def test_a_throw_is_that_of_the_twin_and_is_scored_as_there(standin):
    arm = standin.StandinArm(SEEDS)
    arm.throw()
    assert not arm.is_free
    _, frames, over = run(arm, 700)
    assert over["seed"] == SEEDS[0]
    task = ArmCatch(1, nthread=1)
    task.reset(np.zeros(1, dtype=int), np.array([SEEDS[0]], dtype=np.uint64))
    while not any(map(np.any, task.advance(np.zeros((1, 6)))[1:])):
        pass
    assert over["ticks"] == pytest.approx(task.steps[0], abs=1)
    assert over["score"]["catch_rate"] == 0.0
    assert over["score"]["unsafe_commands"] == 0.0
    # Drag acts every 2 ms here and every 10 ms there.
    assert over["score"]["miss_distance_m"] == pytest.approx(task.score(0)["miss_distance_m"], abs=0.01)
    ages = [age_ms for age_ms, _ in frames]
    assert 15 <= min(ages) <= max(ages) <= 42
    assert len(frames) < len(range(0, over["ticks"], 2)), "some are lost, and the last are on their way"
    assert arm.is_free
    assert arm.left == 1


def test_commands_act_within_2_ms_and_no_faster_than_the_drives_can(standin):
    arm = standin.StandinArm(SEEDS)
    arm.throw()
    run(arm, 1)
    acting = []
    for _tick in range(6):
        arm.drives.take(np.full(6, 0.2))
        run(arm, 1)
        acting.append(arm.task.command[0, 0])
    assert np.allclose(acting, [0.04, 0.08, 0.12, 0.16, 0.2, 0.2])
    joints, _, over = run(arm, 700, lambda tick: np.full(6, 0.2) if tick % 5 == 0 and tick < 200 else None)
    assert joints[150].velocity[0] == pytest.approx(0.2, abs=0.05)
    assert over["score"]["unsafe_commands"] == 0.0


def test_unsafe_commands_are_counted_for_their_throw(standin):
    arm = standin.StandinArm(SEEDS)
    arm.drives.take(np.full(6, np.nan))
    run(arm, 10)
    assert arm.drives.unsafe == 1
    arm.throw()
    run(arm, 20, lambda tick: np.full(6, 0.1) if tick % 5 == 0 else None)
    arm.drives.take(np.full(6, 3.0))
    run(arm, 1)
    arm.drives.take(np.zeros(5))
    _, _, over = run(arm, 700)
    assert over["score"]["unsafe_commands"] == 2.0
    assert over["unsafe_while_held"] == 1


def test_after_the_last_throw_the_arm_is_still_there(standin):
    arm = standin.StandinArm(SEEDS[:1])
    arm.throw()
    run(arm, 700)
    assert not arm.is_free
    joints, frames, _ = run(arm, 50)
    assert len(joints) == 50
    assert frames
