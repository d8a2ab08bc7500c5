"""Golden values: a short roll-out of both environments, field by field, each field with its own tolerance.

After a change that is meant to change them: `python tests/envs/test_golden.py`, and say in the commit why
they changed and by how much. What decides the numbers is integer hashes, IEEE arithmetic and MuJoCo, whose
compiled code may round differently from version to version and from processor to processor; hence
tolerances, and an image that is compared by the share of equal pixels.
"""

from pathlib import Path

import numpy as np
import pytest

from reflexarc.envs.batched import BatchedEnv
from reflexarc.envs.registry import TASKS
from reflexarc.envs.task import OBSERVATION_LAYOUT

FOLDER = Path(__file__).parent / "golden"
STEPS, COUNT = 40, 3
TOLERANCE = {  # rad, rad/s, m, m/s
    "joint_position": 1e-6,
    "joint_velocity": 1e-5,
    "ball_position": 1e-6,
    "ball_velocity": 1e-6,
    "is_known": 0.0,
}


def roll_out(task_id):
    env = BatchedEnv(task_id, COUNT, seed=7, nthread=1, has_camera=True)
    observations, rewards = [env.reset()], []
    for step in range(STEPS):
        env.step_async(0.6 * np.sin(0.2 * step + np.arange(COUNT * 6.0)).reshape(COUNT, 6).astype(np.float32))
        observation, reward, done, _ = env.step_wait()
        assert not done.any()
        observations.append(observation)
        rewards.append(reward)
    frames = env.task.render(np.arange(COUNT))
    return {
        "observation": np.stack(observations),
        "reward": np.stack(rewards),
        "tcp": env.task.tcp_position.copy(),
        "color": frames.color,
        "depth": frames.depth,
        "geom": frames.geom.astype(np.int16),
    }


def file_of(task_id):
    return FOLDER / f"{task_id.split('/')[1]}.npz"


@pytest.mark.parametrize("task_id", TASKS)
def test_a_roll_out_gives_the_golden_values(task_id):
    made = roll_out(task_id)
    with np.load(file_of(task_id)) as file:
        golden = dict(file)
    at = 0
    for name, size in OBSERVATION_LAYOUT:
        field = np.s_[..., at : at + size]
        worst = np.abs(made["observation"][field] - golden["observation"][field]).max()
        assert worst <= TOLERANCE[name], f"{name} differs by {worst}"
        at += size
    assert np.abs(made["reward"] - golden["reward"]).max() <= 1e-5
    assert np.abs(made["tcp"] - golden["tcp"]).max() <= 1e-7
    same = made["geom"] == golden["geom"]
    assert same.mean() > 0.9995
    assert np.abs(made["color"].astype(int) - golden["color"])[same].max() <= 1
    assert np.abs(made["depth"] - golden["depth"])[same].max() <= 1e-4


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for each in TASKS:
        np.savez_compressed(file_of(each), **roll_out(each))
        print(f"{file_of(each)} renewed")
