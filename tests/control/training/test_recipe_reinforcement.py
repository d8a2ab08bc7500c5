import pytest

from reflexarc.control.artifacts.store import load_pinned
from reflexarc.control.errors import TrainingError
from reflexarc.control.training.job import Job
from reflexarc.control.training.recipe_reinforcement import train_control_policy
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
