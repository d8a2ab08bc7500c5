import numpy as np
import pytest

from reflexarc.envs.registry import task_class
from reflexarc.envs.robot import NET_RADIUS
from reflexarc.envs.task import TICK_S

COUNT = 200
SEEDS = np.arange(COUNT, dtype=np.uint64) + np.uint64(10)


@pytest.fixture
def task():
    made = task_class("reflexarc/ArmCatch-v0")(COUNT, nthread=1)
    made.reset(np.arange(COUNT), SEEDS)
    return made


def test_balls_are_thrown_from_the_box_through_the_workspace_in_time(task):
    start, velocity, drag, goal, time_s = task.throw(SEEDS)
    assert np.array_equal(task.ball_position(), start)
    assert np.array_equal(task.ball_velocity(), velocity)
    for array, low, high in (
        (start, (1.8, -0.6, 0.6), (2.4, 0.6, 1.2)),
        (goal, (0.35, -0.40, 0.30), (0.70, 0.40, 0.80)),
        (time_s[:, None], (0.6,), (0.9,)),
        (drag[:, None], (0.01,), (0.03,)),
    ):
        assert (array >= low).all()
        assert (array <= high).all()


def test_balls_really_pass_the_point_that_was_drawn(task):
    _, _, _, goal, time_s = task.throw(SEEDS)
    nearest = np.full(COUNT, np.inf)
    for tick in range(1, 92):
        task.advance(np.zeros((COUNT, 6)))
        late = tick * TICK_S - time_s
        at_goal_time = task.ball_position() - task.ball_velocity() * late[:, None]
        distance = np.linalg.norm(at_goal_time - goal, axis=1)
        nearest = np.where(np.abs(late) <= TICK_S, np.minimum(nearest, distance), nearest)
    assert nearest.max() < 0.02


def place(task, index, offset, velocity):
    """Put a ball at an offset in the net's frame, with a velocity in that frame."""
    rotation = task.tcp_rotation[index]
    task._qpos[index, 6:9] = task.tcp_position[index] + rotation @ np.array(offset)
    task._qvel[index, 6:9] = rotation @ np.array(velocity)


@pytest.mark.parametrize(
    ("offset", "velocity", "caught"),
    [
        ((0.0, 0.0, 0.02), (0.0, 0.0, -4.0), True),
        ((0.9 * NET_RADIUS, 0.0, 0.02), (0.0, 0.0, -4.0), True),
        ((1.1 * NET_RADIUS, 0.0, 0.02), (0.0, 0.0, -4.0), False),
        ((0.0, 0.0, -0.02), (0.0, 0.0, 4.0), False),
        ((0.0, 0.0, 0.06), (0.0, 0.0, -4.0), False),
    ],
    ids=["center", "inside the rim", "outside the rim", "from behind", "not there yet"],
)
def test_caught_means_through_the_ring_from_the_front(task, offset, velocity, caught):
    place(task, 0, offset, velocity)
    task.batch.forward()
    task._after_reset(np.arange(COUNT))
    outcome = task.advance(np.zeros((COUNT, 6)))
    assert task.is_success()[0] == caught
    assert bool(outcome.terminated[0]) == caught
    assert task.score(0)["catch_rate"] == float(caught)
    assert (outcome.reward[0] > 4.0) == caught


def test_a_ball_that_falls_ends_the_episode_as_missed(task):
    task._qpos[0, 6:9] = (1.0, 0.0, 0.001)
    task._qvel[0, 6:9] = (0.0, 0.0, -1.0)
    task.batch.forward()
    outcome = task.advance(np.zeros((COUNT, 6)))
    assert outcome.terminated[0]
    assert not task.is_success()[0]


def test_every_episode_ends(task):
    ended = np.zeros(COUNT, dtype=bool)
    for _ in range(task.max_steps):
        outcome = task.advance(np.zeros((COUNT, 6)))
        ended |= outcome.terminated | outcome.truncated
    assert ended.all()
