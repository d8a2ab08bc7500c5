import numpy as np
import pytest

from reflexarc.control.errors import TrainingError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.frames import matrix_from_quaternion
from reflexarc.control.modules.perception import camera_pose
from reflexarc.control.redundancy.use_case_store import UseCaseStore
from reflexarc.control.training.data import check_data
from reflexarc.control.training.use_cases import _COUNTS, use_cases_as_data
from reflexarc.control.values import CameraInfo, Image, Odometry, PoseWithCovariance, unknown_covariance

FLOW = load_flow("arm_catch_3x3")
TICK_NS = FLOW.tick_ns
POSE = camera_pose(FLOW.modules["perception_depth"].parameters)
K = np.array([[64.0, 0.0, 39.5], [0.0, 64.0, 63.5], [0.0, 0.0, 1.0]])
IN_CAMERA = np.array([0.1, -0.2, 1.4])


def in_base(place):
    return np.array(POSE.position) + matrix_from_quaternion(np.array(POSE.orientation_xyzw)) @ place


def detection(stamp, position):
    covariance = unknown_covariance() if position is None else 1e-4 * np.eye(6)
    place = np.full(3, np.nan) if position is None else position
    return PoseWithCovariance(stamp_ns=stamp, frame_id="base_link", position=place, covariance=covariance)


def odometry(stamp, position):
    return Odometry(
        stamp_ns=stamp,
        frame_id="base_link",
        child_frame_id="base_link",
        position=position,
        linear_velocity=np.array([1.0, 2.0, 3.0]),
        pose_covariance=np.eye(6),
        twist_covariance=np.eye(6),
    )


def test_pixels_where_the_others_saw_the_ball_are_its(tmp_path):
    depth = np.full((128, 80), 3.0, dtype=np.float32)
    rows, columns = np.mgrid[0:128, 0:80]
    u, v = (K @ IN_CAMERA)[:2] / IN_CAMERA[2]
    ball = (columns - u) ** 2 + (rows - v) ** 2 <= (64 * 0.035 / IN_CAMERA[2]) ** 2
    depth[ball] = IN_CAMERA[2] - 0.025
    stamps = (0, 20_000_000, 40_000_000)
    color = np.zeros((128, 80, 3), dtype=np.uint8)
    ports = {
        "color": [Image(stamp_ns=s, frame_id="c", encoding="rgb8", data=color) for s in stamps],
        "depth": [Image(stamp_ns=s, frame_id="c", encoding="32FC1", data=depth) for s in stamps[:2]],
        "camera_info": [CameraInfo(stamp_ns=0, frame_id="c", width=80, height=128, intrinsics=K)],
        "agreed": [detection(0, in_base(IN_CAMERA)), detection(20_000_000, None)],
    }
    assert UseCaseStore(tmp_path, 10**7).keep("perception", "depth", IN_CAMERA, ports) == ""
    data = use_cases_as_data(tmp_path, FLOW, "perception_depth")
    assert np.array_equal(data["mask"], [ball, np.zeros_like(ball)] * _COUNTS)
    assert np.allclose(data["center"], [IN_CAMERA, np.zeros(3)] * _COUNTS)
    np.savez(tmp_path / "data.npz", **data)
    check_data("perception_depth", "supervised", tmp_path / "data.npz")


def test_estimates_of_the_others_are_what_an_estimator_is_to_come_to(tmp_path):
    store = UseCaseStore(tmp_path, 10**7)
    for episode, ticks in enumerate((30, 20)):
        first = 10**9 * episode
        ports = {
            "detection": [detection(first + 4 * TICK_NS, np.ones(3)), detection(first + 6 * TICK_NS, None)],
            "agreed": [odometry(first + t * TICK_NS, np.array([t, 0.0, episode])) for t in range(ticks)],
        }
        assert store.keep("estimation", "kalman", np.full(3, float(episode)), ports) == ""
    data = use_cases_as_data(tmp_path, FLOW, "estimation_kalman")
    assert data["seen"].shape == (2, 30, 3)
    assert np.isfinite(data["seen"][:, :, 0]).sum() == 2
    assert np.allclose(data["seen"][0, 4], 1.0)
    assert np.allclose(data["sigma"][0, 4], 0.01)
    assert data["position"][0, 29, 0] == 29.0
    assert data["is_valid"].sum(axis=1).tolist() == [30, 20]
    np.savez(tmp_path / "data.npz", **data)
    check_data("estimation_kalman", "sequence", tmp_path / "data.npz")


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        ("perception_classical", "no use cases of perception, approach classical. `reflexarc usecases"),
        ("policy", "policy: does its job alone"),
    ],
)
def test_where_there_are_none_it_says_so(tmp_path, module, complaint):
    with pytest.raises(TrainingError, match=complaint):
        use_cases_as_data(tmp_path, FLOW, module)
