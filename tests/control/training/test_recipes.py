import dataclasses

import pytest

from reflexarc.control.errors import TrainingError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.training.recipes import RECIPES, Job, settings_for
from reflexarc.control.training.sequence import SequenceSettings

FLOW = load_flow("arm_catch")


def job(module, tmp_path):
    return Job(
        flow=FLOW,
        spec=FLOW.modules[module],
        upstream={},
        seed=0,
        changes={},
        log_dir=tmp_path,
        progress=lambda *_: None,
    )


def test_there_is_a_recipe_for_every_trainer_of_the_flows():
    assert {spec.training.trainer for spec in FLOW.modules.values() if spec.training} == set(RECIPES)


def test_settings_are_changed_by_name_and_an_int_is_good_for_a_float():
    changed = settings_for("estimation", SequenceSettings(), {"hidden": 8, "learning_rate": 1})
    assert changed == dataclasses.replace(SequenceSettings(), hidden=8, learning_rate=1)


@pytest.mark.parametrize("value", [-1, 0, 1.5, "8", None])
def test_what_is_no_size_is_refused(value):
    with pytest.raises(TrainingError, match="setting 'hidden' is"):
        settings_for("estimation", SequenceSettings(), {"hidden": value})


def test_a_need_that_the_flow_does_not_name_is_said(tmp_path):
    with pytest.raises(TrainingError, match="estimation: its training needs one module of kind 'perception'"):
        job("estimation", tmp_path).need("perception")


def test_detections_come_as_the_flow_and_the_camera_say(tmp_path):
    delivery = job("estimation", tmp_path).delivery()
    assert delivery.latency_ticks == FLOW.latency_ticks("perception") == 1
    assert delivery.delay_s == (0.015, 0.040)
    assert delivery.loss == 0.05
    assert delivery.step_s == 0.01
