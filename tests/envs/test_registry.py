import gymnasium

import reflexarc.envs  # noqa: F401 registers the ids
from reflexarc.envs.registry import TASKS


def test_every_task_is_a_gymnasium_id():
    assert set(TASKS) <= set(gymnasium.registry)
