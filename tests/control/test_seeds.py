import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.seeds import FIRST_EVALUATION_SEED, MAX_EPISODES, evaluation_seeds


def test_seeds_are_those_that_the_reports_were_made_with() -> None:
    assert evaluation_seeds(0, 3) == (1_000_000_000, 1_000_000_001, 1_000_000_002)
    assert evaluation_seeds(2, 1) == (1_002_000_000,)


@given(st.integers(0, 10**9), st.integers(1, 50))
def test_no_seed_is_one_of_training_or_too_large_for_json(seed: int, episodes: int) -> None:
    seeds = evaluation_seeds(seed, episodes)
    assert len(seeds) == episodes
    assert min(seeds) >= FIRST_EVALUATION_SEED
    assert max(seeds) < 2**53


def test_neighbouring_seeds_share_no_episode() -> None:
    assert evaluation_seeds(4, MAX_EPISODES)[-1] + 1 == evaluation_seeds(5, 1)[0]


@pytest.mark.parametrize(
    ("seed", "episodes", "message"),
    [
        (-1, 1, r"seed is -1\. Give a whole number from 0 to 1000000000\."),
        (10**9 + 1, 1, r"seed is 1000000001\."),
        (0, 0, r"episodes is 0\. Give a whole number from 1 to 1000000\."),
        (0, 10**6 + 1, r"episodes is 1000001\."),
    ],
)
def test_what_is_out_of_range_is_refused(seed: int, episodes: int, message: str) -> None:
    with pytest.raises(ValueRefusedError, match=message):
        evaluation_seeds(seed, episodes)
