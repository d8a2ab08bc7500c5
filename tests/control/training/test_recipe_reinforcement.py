import numpy as np
import pytest

from reflexarc.control.artifacts.store import load_pinned
from reflexarc.control.errors import TrainingError
from reflexarc.control.training.job import Job
from reflexarc.control.training.recipe_reinforcement import _trained_under, _Witness, train_control_policy
from reflexarc.envs.registry import task_class
from reflexarc.envs.task import OBSERVATION_LAYOUT


def test_a_policy_says_what_it_was_trained_under(trained):
    artifact = load_pinned(trained.flow, "policy", trained.store)
    manifest = artifact.manifest
    assert set(manifest.assumes) == {"odometry"}
    assert {"unknown_share", "rmse_m", "normalized_error_squared"} <= set(manifest.assumes["odometry"].bounds)
    assert "speed_m_s" in manifest.assumes["odometry"].seen
    assert manifest.guarantees == {}
    assert manifest.constants["observation"] == [list(entry) for entry in OBSERVATION_LAYOUT]
    assert set(manifest.upstream) == {"perception", "estimation"}
    assert artifact.metrics["tracking_rmse_m"] > 0


def test_an_arm_without_its_table_is_refused(trained, tmp_path, checkpoints, goes_on):
    spec = trained.flow.modules["policy"]
    job = Job(
        flow=trained.flow,
        spec=spec.model_copy(update={"parameters": {}}),
        upstream={},
        seed=0,
        changes={},
        data={},
        log_dir=tmp_path,
        checkpoints=checkpoints,
        progress=goes_on,
    )
    with pytest.raises(TrainingError, match="policy: parameter kinematics: "):
        train_control_policy(job)


class _Blind:
    """An estimator that never knows anything."""

    sigma = np.ones((2, 3))

    def update(self, truth):
        return np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2, dtype=bool)


def test_nothing_is_learned_behind_an_estimator_that_knows_nothing():
    task = task_class("reflexarc/ArmCatch-v0")(2, nthread=1)
    task.reset(np.arange(2), np.arange(2, dtype=np.uint64))
    witness = _Witness(_Blind())
    for _ in range(3):
        witness.update(task.truth())
    with pytest.raises(TrainingError, match="the frozen estimator knew nothing in 2 episodes"):
        _trained_under(witness, [3, 3], 1)
