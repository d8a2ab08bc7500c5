import numpy as np
import pytest

from reflexarc.envs.registry import task_class
from reflexarc.envs.task import TICK_S

COUNT = 50


@pytest.fixture(scope="module")
def path():
    """Positions, velocities and hidden flags of 50 episodes: (T, B, 3), (T, B, 3), (T, B)."""
    task = task_class("reflexarc/ArmTrack-v0")(COUNT, nthread=1)
    task.reset(np.arange(COUNT), np.arange(COUNT, dtype=np.uint64))
    seen = []
    for _ in range(task.max_steps):
        seen.append((task.ball_position(), task.ball_velocity(), task.is_hidden()))
        outcome = task.advance(np.zeros((COUNT, 6)))
        assert not outcome.terminated.any()
    assert outcome.truncated.all()
    return [np.stack(column) for column in zip(*seen, strict=True)]


def test_the_ball_stays_in_the_workspace_and_below_its_speed(path):
    position, velocity, _ = path
    assert (position >= (0.35, -0.40, 0.30)).all()
    assert (position <= (0.70, 0.40, 0.80)).all()
    speed = np.linalg.norm(velocity, axis=2)
    assert speed.max() <= 0.5
    assert speed.max(axis=0).mean() > 0.3


def test_velocity_is_the_derivative_of_position(path):
    position, velocity, _ = path
    numeric = (position[2:] - position[:-2]) / (2 * TICK_S)
    assert np.abs(numeric - velocity[1:-1]).max() < 1e-3


def test_the_ball_is_hidden_for_up_to_half_a_second_every_few_seconds(path):
    _, _, hidden = path
    for episode in hidden.T:
        edges = np.flatnonzero(np.diff(np.concatenate([[0], episode, [0]]).astype(int)))
        starts, ends = edges[::2], edges[1::2]
        assert 2 <= len(starts) <= 4
        assert ((ends - starts) <= 51).all()
        assert ((starts[1:] - ends[:-1]) >= 199).all()


def test_a_hidden_ball_is_behind_the_screen():
    task = task_class("reflexarc/ArmTrack-v0")(1, nthread=1, has_camera=True)
    only = np.zeros(1, dtype=np.int64)
    task.reset(only, np.array([3], dtype=np.uint64))
    pixels = {True: [], False: []}
    for _ in range(900):
        task.advance(np.zeros((1, 6)))
        hidden = bool(task.is_hidden()[0])
        if hidden or task.steps[0] % 100 == 0:
            pixels[hidden].append(int((task.render(only).geom == task.ball_geom_id).sum()))
    assert max(pixels[True]) <= 2
    assert np.median(pixels[False]) >= 8
