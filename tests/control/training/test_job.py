import dataclasses

import pytest

from reflexarc.control.errors import TrainingError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.training.job import Job, settings_for
from reflexarc.control.training.sequence import SequenceSettings
from reflexarc.envs.sensors import FRAMES

FLOW = load_flow("arm_catch")


@pytest.fixture
def job(tmp_path, checkpoints, goes_on):
    """A training of the estimation, without what it needs."""
    return Job(
        flow=FLOW,
        spec=FLOW.modules["estimation"],
        upstream={},
        seed=0,
        changes={},
        data={},
        log_dir=tmp_path,
        checkpoints=checkpoints,
        progress=goes_on,
    )


def test_settings_are_changed_by_name_and_an_int_is_good_for_a_float():
    changed = settings_for("estimation", SequenceSettings(), {"hidden": 8, "learning_rate": 1})
    assert changed == dataclasses.replace(SequenceSettings(), hidden=8, learning_rate=1)


@pytest.mark.parametrize("value", [-1, 0, 1.5, "8", None, True, float("nan")])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(TrainingError, match="setting 'hidden' is"):
        settings_for("estimation", SequenceSettings(), {"hidden": value})


@pytest.mark.parametrize("value", [-0.1, 0.0, "fast", True, float("nan"), float("inf")])
def test_what_is_no_rate_is_refused(value):
    with pytest.raises(TrainingError, match="setting 'learning_rate' is"):
        settings_for("estimation", SequenceSettings(), {"learning_rate": value})


def test_a_setting_that_is_not_known_brings_the_nearest():
    with pytest.raises(TrainingError, match=r"has no setting 'hiden'\. Did you mean 'hidden'"):
        settings_for("estimation", SequenceSettings(), {"hiden": 8})


def test_a_need_that_the_flow_does_not_name_is_said(job):
    with pytest.raises(TrainingError, match="needs a module of kind 'perception', and names none"):
        job.needs("perception")


def test_detections_come_as_the_flow_and_the_camera_say(job):
    delivery = job.delivery()
    assert delivery.latency_ticks == FLOW.latency_ticks("perception") == 1
    assert delivery.delay_s == (0.015, 0.040)
    assert delivery.loss == 0.05
    assert delivery.step_s == 0.01
    assert delivery.frame_ticks == FRAMES.every_ticks == 2


@pytest.mark.parametrize("value", ["kalmann", 3, True])
def test_what_is_no_network_is_refused(value):
    with pytest.raises(TrainingError):
        settings_for("estimation", SequenceSettings(), {"network": value})


def test_a_network_is_chosen_by_its_name():
    assert settings_for("estimation", SequenceSettings(), {"network": "kalman"}).network == "kalman"
