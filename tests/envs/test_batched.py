import gymnasium
import numpy as np
import pytest

import reflexarc.envs  # noqa: F401 registers the ids
from reflexarc.envs.batched import BatchedEnv
from reflexarc.envs.randomization import episode_seeds
from reflexarc.envs.registry import TASKS


@pytest.mark.parametrize("task_id", TASKS)
def test_one_step_of_the_batch_and_of_the_single_environment_are_the_same_numbers(task_id):
    count, steps = 5, 60
    batch = BatchedEnv(task_id, count, seed=3)
    actions = np.random.default_rng(0).uniform(-1, 1, (steps, count, 6)).astype(np.float32)
    observations = [batch.reset()]
    rewards = []
    for action in actions:
        batch.step_async(action)
        observation, reward, done, _ = batch.step_wait()
        assert not done.any()
        observations.append(observation)
        rewards.append(reward)
    seeds = episode_seeds(batch._env_seeds, np.zeros(count, dtype=np.int64))
    for index in range(count):
        single = gymnasium.make(task_id).unwrapped
        assert np.array_equal(single.reset(seed=int(seeds[index]))[0], observations[0][index])
        for step in range(steps):
            observation, reward, *_ = single.step(actions[step, index])
            assert np.array_equal(observation, observations[step + 1][index])
            assert np.float32(reward) == rewards[step][index]


def test_an_episode_that_ends_is_told_and_started_anew():
    env = BatchedEnv("reflexarc/ArmCatch-v0", 16, seed=0)
    env.reset()
    ended = []
    for _ in range(140):
        env.step_async(np.zeros((16, 6), dtype=np.float32))
        observation, _, done, infos = env.step_wait()
        for index in np.flatnonzero(done):
            ended.append(infos[index])
            assert infos[index]["terminal_observation"].shape == (19,)
            assert not np.array_equal(infos[index]["terminal_observation"], observation[index])
        assert all(info == {} for info, is_done in zip(infos, done, strict=True) if not is_done)
    assert len(ended) >= 16
    assert all(set(info) >= {"is_success", "catch_rate", "TimeLimit.truncated"} for info in ended)


def test_episodes_do_not_repeat():
    env = BatchedEnv("reflexarc/ArmCatch-v0", 8, seed=0)
    first = env.reset()
    second = env.reset()
    assert len({row.tobytes() for row in np.concatenate([first, second])}) == 16


def test_the_truncation_of_a_time_limit_is_said():
    env = BatchedEnv("reflexarc/ArmTrack-v0", 2, seed=0)
    env.reset()
    for _ in range(1000):
        env.step_async(np.zeros((2, 6), dtype=np.float32))
        _, _, done, infos = env.step_wait()
    assert done.all()
    assert all(info["TimeLimit.truncated"] for info in infos)


class Echo:
    """An estimator that gives the truth of the step before, known from the third step on."""

    def __init__(self, count):
        self.age = np.zeros(count, dtype=int)

    def reset(self, ids):
        self.age[ids] = 0

    def update(self, truth):
        self.age += 1
        return truth.position, truth.velocity, self.age >= 3


def test_an_estimator_stands_between_truth_and_observation():
    env = BatchedEnv("reflexarc/ArmCatch-v0", 4, seed=0, estimator=Echo(4))
    assert not env.reset()[:, 12:].any()
    for step in range(1, 5):
        env.step_async(np.zeros((4, 6), dtype=np.float32))
        observation = env.step_wait()[0]
        assert (observation[:, 18] == float(step >= 3)).all()
    assert np.allclose(observation[:, 12:15], env.task.ball_position(), atol=1e-6)
