import gymnasium
import numpy as np
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

from reflexarc.control.flow_file import load_flow
from reflexarc.control.kinematics import DenavitHartenberg
from reflexarc.control.training.reinforcement import PolicySettings, actor, train_policy

TABLE = DenavitHartenberg.model_validate(load_flow("arm_catch").modules["policy"].parameters["kinematics"])
SETTINGS = PolicySettings(environments=8, steps=12_000, rollout=64, batch=128, hidden=32, discount=0.5)


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


def trained():
    torch.set_num_threads(1)
    env = DummyVecEnv([IdentityEnv] * SETTINGS.environments)
    env.seed(0)
    seen = []
    model = train_policy(env, TABLE, SETTINGS, 0, None, lambda *progress: seen.append(progress))
    return model, seen


def test_it_learns_the_identity_and_the_actor_acts_alike():
    model, seen = trained()
    assert seen[-1][0] == SETTINGS.steps
    assert seen[-1][2] > 0.6 * seen[0][2]  # returns are negative: nearer to nought
    observation = np.zeros((64, 19), dtype=np.float32)
    observation[:, :6] = np.random.default_rng(0).uniform(-0.8, 0.8, (64, 6))
    action, _ = model.predict(observation, deterministic=True)
    with torch.no_grad():
        same = actor(model)(torch.from_numpy(observation)).numpy()
    assert np.allclose(np.clip(same, -1, 1), action, atol=1e-5)
    assert np.corrcoef(action.ravel(), observation[:, :6].ravel())[0, 1] > 0.8


def test_the_same_seed_gives_the_same_policy():
    first, second = trained()[0], trained()[0]
    for one, other in zip(first.policy.parameters(), second.policy.parameters(), strict=True):
        assert torch.equal(one, other)
