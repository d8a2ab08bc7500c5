import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as check_env_sb3

import reflexarc.envs
from reflexarc.control.errors import FlowError, ReflexarcError
from reflexarc.envs.registry import TASKS, task_class
from reflexarc.envs.robot import ACCELERATION_LIMIT
from reflexarc.envs.task import TICK_S


@pytest.mark.parametrize("task_id", TASKS)
def test_the_checkers_of_gymnasium_and_sb3_pass(task_id):
    env = gymnasium.make(task_id, render_mode="rgb_array").unwrapped
    check_env(env)
    check_env_sb3(env)


@pytest.mark.parametrize("task_id", TASKS)
def test_the_same_seed_gives_the_same_episode(task_id):
    def roll_out():
        env = gymnasium.make(task_id).unwrapped
        observations = [env.reset(seed=5)[0]]
        rng = np.random.default_rng(1)
        for _ in range(40):
            observation, reward, *_ = env.step(rng.uniform(-1, 1, 6).astype(np.float32))
            observations.append(np.append(observation, reward))
        second = env.reset()[0]
        return np.concatenate([*observations, second])

    assert np.array_equal(roll_out(), roll_out())


def test_an_action_acts_one_control_step_later():
    env = gymnasium.make("reflexarc/ArmCatch-v0").unwrapped
    env.reset(seed=0)
    env.step(np.ones(6, dtype=np.float32))
    assert np.array_equal(env.task.command, np.zeros((1, 6)))
    env.step(np.zeros(6, dtype=np.float32))
    assert np.allclose(env.task.command, ACCELERATION_LIMIT * TICK_S)


def test_an_unknown_task_is_named_with_the_nearest():
    with pytest.raises(FlowError, match="Did you mean 'reflexarc/ArmCatch-v0'"):
        task_class("reflexarc/ArmCach-v0")


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ReflexarcError, match="Use 'rgb_array' or none"):
        reflexarc.envs.single.ArmEnv("reflexarc/ArmCatch-v0", render_mode="human")
