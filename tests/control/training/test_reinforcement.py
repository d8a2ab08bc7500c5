from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import DummyVecEnv

from reflexarc.control.flow_file import load_flow
from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.control.training import reinforcement
from reflexarc.control.training.checkpoints import Checkpoints
from reflexarc.control.training.reinforcement import PolicySettings, actor, train_policy

TABLE = DenavitHartenberg.model_validate(load_flow("arm_catch").modules["policy"].parameters["kinematics"])
SETTINGS = PolicySettings(environments=8, steps=12_000, rollout=64, batch=128, hidden=32, discount=0.5)

SHORT = replace(SETTINGS, steps=3000, rollout=16, epochs=2)


class IdentityEnv(gymnasium.Env):
    """The action has to be the first six numbers of the observation."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (19,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (6,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._steps = 0
        self._observation = self.observation_space.low * 0
        self._draw()
        return self._observation.copy(), {}

    def step(self, action):
        reward = -float(((np.clip(action, -1, 1) - self._observation[:6]) ** 2).sum())
        self._draw()
        self._steps += 1
        return self._observation.copy(), reward, False, self._steps >= 20, {}

    def _draw(self):
        self._observation[:6] = self.np_random.uniform(-0.8, 0.8, 6)


def make_env(seed):
    env = DummyVecEnv([IdentityEnv] * SETTINGS.environments)
    env.seed(seed)
    return env


def train(settings, checkpoints, on_progress):
    return train_policy(make_env, TABLE, settings, 0, None, checkpoints, on_progress)


def test_it_learns_the_identity_and_the_actor_acts_alike(checkpoints):
    seen = []
    model = train(SETTINGS, checkpoints, lambda *progress: seen.append(progress) or True)
    assert seen[-1][0] == SETTINGS.steps
    assert seen[-1][2] > 0.6 * seen[0][2]  # returns are negative: nearer to nought
    observation = np.zeros((64, 19), dtype=np.float32)
    observation[:, :6] = np.random.default_rng(0).uniform(-0.8, 0.8, (64, 6))
    action, _ = model.predict(observation, deterministic=True)
    with torch.no_grad():
        same = actor(model)(torch.from_numpy(observation)).numpy()
    assert np.allclose(np.clip(same, -1, 1), action, atol=1e-5)
    assert np.corrcoef(action.ravel(), observation[:, :6].ravel())[0, 1] > 0.8


@pytest.mark.parametrize("crash_after", [200, 1100, 2400])
def test_a_policy_that_was_interrupted_has_the_weights_of_one_that_was_not(
    tmp_path, checkpoints, crashing_after, goes_on, crash, crash_after, monkeypatch
):
    monkeypatch.setattr(reinforcement, "_SEGMENT_ROLLOUTS", 8)
    with pytest.raises(crash):
        train(SHORT, checkpoints, crashing_after(crash_after))
    set_random_seed(99)  # another process starts with other random numbers
    begun = []
    one = train(SHORT, checkpoints, lambda done, *_: begun.append(done) or True)
    assert begun[0] == crash_after // 1024 * 1024 + 128  # no segment twice, none left out
    other = train(SHORT, Checkpoints(tmp_path / "others"), goes_on)
    for first, second in zip(one.policy.parameters(), other.policy.parameters(), strict=True):
        assert torch.equal(first, second)


def test_an_answer_of_no_ends_it(checkpoints):
    seen = []
    train(SHORT, checkpoints, lambda *progress: seen.append(progress[0]) or len(seen) < 2)
    assert seen == [128, 256]
