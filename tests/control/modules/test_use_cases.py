from pathlib import Path

import numpy as np
import pytest

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow_checks import check_flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.modules.use_cases import AGREED, UseCaseRecorder, with_recorders
from reflexarc.control.redundancy.use_case_store import read_case, stored_cases
from reflexarc.control.values import PoseWithCovariance, unknown_covariance

FRAME_NS = 20_000_000
APPROACHES = ("color", "depth", "classical")
NINE = Path(__file__).parents[1] / "redundancy" / "nine_estimators.yaml"


def detection(stamp_ns, position):
    covariance = unknown_covariance() if position is None else 1e-4 * np.eye(6)
    place = np.full(3, np.nan) if position is None else np.asarray(position, dtype=float)
    return PoseWithCovariance(stamp_ns=stamp_ns, frame_id="base_link", position=place, covariance=covariance)


@pytest.fixture
def recorder(tmp_path):
    voter = {
        "approaches": dict.fromkeys(APPROACHES, 1),
        "position_tolerance_m": 0.01,
        "approach_tolerance": 16.3,
    }
    parameters = {"job": "perception", "voter": voter, "folder": str(tmp_path), "limit_mb": 1.0}
    return UseCaseRecorder(parameters, {}, None)


def run(recorder, frames, says):
    """Frames in which each approach says what `says(approach, frame)` gives; `agreed` is one of its keys, too."""
    for frame in frames:
        stamp = frame * FRAME_NS
        values = {f"{name}_1": (detection(stamp, says(name, frame)),) for name in APPROACHES}
        recorder.step({**values, AGREED: (detection(stamp, says(AGREED, frame)),)}, stamp)


def at(frame):
    return [1.0 + 0.001 * frame, 0.0, 0.8]


def test_who_departs_for_a_while_is_recorded_with_what_was_before_and_after(recorder, tmp_path):
    run(recorder, range(60), lambda name, frame: None if name == "depth" and 30 <= frame < 34 else at(frame))
    (case,) = stored_cases(tmp_path)
    assert (case.job, case.approach, case.situation) == ("perception", "depth", "10_0_8")
    columns = read_case(case.path)
    assert set(columns) >= {"agreed/position", "color_1/position", "depth_1/covariance"}
    stamps = columns["agreed/stamp_ns"] // FRAME_NS
    assert (stamps[0], stamps[-1]) == (12, 37), "0.4 s before the third frame of it, and 0.1 s after"
    unseen = columns["depth_1/covariance"][:, 0, 0] < 0
    assert (stamps[unseen] == [30, 31, 32, 33]).all()
    assert recorder.rejections == {"depth: use case kept": 1}


def test_a_single_frame_is_no_use_case(recorder, tmp_path):
    run(recorder, range(60), lambda name, frame: None if name == "depth" and frame % 3 else at(frame))
    assert stored_cases(tmp_path) == []


def test_where_no_two_agree_nobody_departs(recorder, tmp_path):
    away = {"color": [0.5, 0, 0], "depth": [0, 0.5, 0], "classical": [0, 0, 0.5], AGREED: [0.5, 0, 0]}
    run(recorder, range(60), lambda name, frame: away[name])
    assert stored_cases(tmp_path) == []


def test_what_an_episode_ends_is_kept(recorder, tmp_path):
    run(recorder, range(5), lambda name, frame: [2.0, 0, 0] if name == "classical" else at(frame))
    assert stored_cases(tmp_path) == []
    recorder.reset()
    (case,) = stored_cases(tmp_path)
    assert case.approach == "classical"
    run(recorder, range(100, 103), lambda name, frame: at(frame))
    recorder.reset()
    assert len(stored_cases(tmp_path)) == 1


def test_what_is_known_is_counted_and_not_kept(recorder, tmp_path):
    for _ in range(10):
        run(recorder, range(4), lambda name, frame: None if name == "depth" else [1.05, 0.05, 0.85])
        recorder.reset()
    assert len(stored_cases(tmp_path)) == 1, "the same bits each time"
    assert recorder.rejections["depth: use case not kept: known already"] == 9


@pytest.mark.parametrize(("name", "value"), [("limit_mb", 0), ("before_s", -1), ("size", 1)])
def test_parameters_that_cannot_be_are_refused(recorder, tmp_path, name, value):
    parameters = recorder._parameters.model_dump(mode="json") | {name: value}
    with pytest.raises(ValueRefusedError, match=f"use cases: parameter {name}"):
        UseCaseRecorder(parameters, {}, None)


def test_a_flow_gets_a_recorder_beside_each_job_of_three_approaches(tmp_path):
    flow = with_recorders(load_flow(str(NINE)), tmp_path, 1.0)
    spec = flow.modules["estimation_use_cases"]
    assert spec.trigger == (AGREED,)
    assert str(spec.inputs[AGREED]) == "estimation.odometry"
    assert str(spec.inputs["first_2"]) == "estimation_first_2.odometry"
    assert str(spec.inputs["detection"]) == "perception.detection"
    assert len(spec.inputs) == 1 + 9 + 2
    assert flow.order.index("estimation_use_cases") > flow.order.index("estimation")
    assert [problem for problem in check_flow(flow) if "use_cases" not in problem.message] == []


def test_a_flow_without_such_a_job_has_no_use_cases(tmp_path):
    with pytest.raises(ValueRefusedError, match="arm_catch: no job is done by three approaches"):
        with_recorders(load_flow("arm_catch"), tmp_path, 1.0)
