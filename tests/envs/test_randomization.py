import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.envs.randomization import Channel, bits, episode_seeds, in_ball, normal, uniform

seeds = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=5).map(
    lambda s: np.array(s, dtype=np.uint64)
)


@given(seeds, st.integers(0, 10**6), st.integers(1, 9))
def test_a_draw_depends_on_its_seed_alone_and_not_on_its_neighbours(many, step, count):
    together = uniform(many, step, Channel.BALL, count)
    alone = np.concatenate([uniform(one[None], step, Channel.BALL, count) for one in many])
    assert np.array_equal(together, alone)


@given(seeds)
def test_channels_and_steps_differ(many):
    first = bits(many, 0, Channel.BALL, 4)
    assert not np.array_equal(first, bits(many, 1, Channel.BALL, 4))
    assert not np.array_equal(first, bits(many, 0, Channel.LIGHT, 4))


def test_known_bits():
    """These numbers are part of every recorded result: if they change, all goldens and artifacts do."""
    drawn = bits(np.array([0, 1], dtype=np.uint64), 0, Channel.EPISODE, 2)
    assert drawn.tolist() == [
        [6235967106033911276, 4964577235801436555],
        [7982734928498899980, 7851527857629710090],
    ]


def test_uniform_is_uniform():
    draws = uniform(np.arange(2000, dtype=np.uint64), 3, Channel.COLOR, 50)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    counts = np.histogram(draws, bins=20, range=(0, 1))[0]
    assert np.abs(counts / draws.size - 0.05).max() < 0.003
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.08


def test_normal_has_unit_variance_and_is_bounded():
    draws = normal(np.arange(2000, dtype=np.uint64), 3, Channel.JOINT_NOISE, 50)
    assert abs(draws.mean()) < 0.02
    assert abs(draws.var() - 1.0) < 0.02
    assert np.abs(draws).max() < 3.47


def test_points_fill_the_ball():
    points = in_ball(np.arange(20000, dtype=np.uint64), 0, Channel.CAMERA_POSITION)
    radius = np.linalg.norm(points, axis=1)
    assert radius.max() <= 1.0
    assert abs((radius < 0.5).mean() - 0.125) < 0.01
    assert np.abs(points.mean(axis=0)).max() < 0.02


def test_every_episode_has_a_seed_of_its_own():
    made = episode_seeds(np.repeat(np.arange(50, dtype=np.uint64), 50), np.tile(np.arange(50), 50))
    assert len(set(made.tolist())) == 2500
    assert made.min() >= 2**63  # never one of evaluation's
