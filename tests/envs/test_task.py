import numpy as np
import pytest

from reflexarc.envs.registry import TASKS, task_class
from reflexarc.envs.robot import ACCELERATION_LIMIT, JOINT_NAMES, READY_POSITION, VELOCITY_LIMIT
from reflexarc.envs.task import OBSERVATION_LAYOUT, TICK_S

COUNT = 20


@pytest.fixture(params=TASKS)
def task(request):
    made = task_class(request.param)(COUNT, nthread=1)
    made.reset(np.arange(COUNT), np.arange(COUNT, dtype=np.uint64))
    return made


def test_episodes_start_near_the_ready_position_and_at_rest(task):
    assert np.abs(task._qpos[:, :6] - READY_POSITION).max() <= 0.05
    assert not task.command.any()
    assert len(np.unique(task._qpos[:, 0])) == COUNT


def test_servos_differ_from_episode_to_episode_within_a_fifth(task):
    nominal = task.model.actuator_gainprm[:, 0]
    ratio = task._gain[:, :, 0] / nominal
    assert ratio.min() >= 0.8
    assert ratio.max() <= 1.2
    assert np.array_equal(task._bias[:, :, 2], -task._gain[:, :, 0])


def test_a_command_is_limited_and_followed(task):
    for step in range(1, 20):
        task.advance(np.full((COUNT, 6), 100.0))
        assert np.allclose(task.command, min(step * ACCELERATION_LIMIT * TICK_S, VELOCITY_LIMIT))
    for _ in range(30):
        task.advance(np.full((COUNT, 6), 0.3))
    assert np.abs(task._qvel[:, :6] - 0.3).max() < 0.1


def test_an_observation_follows_its_layout_and_hides_what_is_not_known(task):
    ball, velocity = np.full((COUNT, 3), 0.7), np.full((COUNT, 3), -1.5)
    known = np.arange(COUNT) % 2 == 0
    observation = task.observation(ball, velocity, known)
    assert observation.dtype == np.float32
    assert observation.shape == (COUNT, sum(size for _, size in OBSERVATION_LAYOUT))
    joints = len(JOINT_NAMES)
    assert np.abs(observation[:, :joints] - task._qpos[:, :joints]).max() < 0.01
    assert np.array_equal(observation[:, -1], known.astype(np.float32))
    assert (observation[known, 12:15] == np.float32(0.7)).all()
    assert not observation[~known, 12:18].any()


def test_a_part_can_be_reset_and_the_rest_goes_on(task):
    for _ in range(5):
        task.advance(np.zeros((COUNT, 6)))
    before = task._qpos.copy()
    task.reset(np.array([2, 7]), np.array([100, 101], dtype=np.uint64))
    changed = (task._qpos != before).any(axis=1)
    assert set(np.flatnonzero(changed)) == {2, 7}
    assert task.steps.tolist() == [0 if index in (2, 7) else 5 for index in range(COUNT)]


def test_displacements_toward_the_ball_bring_the_tool_there(task):
    before = np.linalg.norm(task.ball_position() - task.tcp_position, axis=1)
    for _ in range(10):
        task.advance(4.0 * task.toward_ball())
    assert (np.linalg.norm(task.ball_position() - task.tcp_position, axis=1) < before).all()
