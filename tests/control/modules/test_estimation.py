import numpy as np
import pytest

from reflexarc.control.errors import ArtifactError
from reflexarc.control.modules.estimation import Estimation, measurement_row
from reflexarc.control.ports import MessageType, Port
from reflexarc.control.values import JointState, PoseWithCovariance, unknown_covariance

MS = 1_000_000
OUTPUTS = {
    "odometry": Port(type=MessageType.ODOMETRY, topic="odometry", shape=(3,), unit="m", frame="base_link")
}
POSITION_SIGMA, VELOCITY_SIGMA = 0.02, 0.3


@pytest.fixture
def made(network, written):
    """Makes an estimation whose state is the sum of (seen, age, x, y, z) over all detections.

    It is known once something was seen, the position is (x, y, z), and the velocity is (age, 0, 0).
    """

    def make(gain=1.0):
        take = np.zeros((8, 5))
        take[:5] = gain * np.eye(5)
        read = np.zeros((5, 13))
        read[0, 0] = read[1, 4] = 1.0
        read[2:5, 1:4] = np.eye(3)
        sigma = np.zeros(13)
        sigma[7:10], sigma[10:13] = POSITION_SIGMA, VELOCITY_SIGMA
        model = network(
            {"state": 5, "measurement": 8},
            {"next": 5, "estimate": 13},
            [
                ("MatMul", ["measurement", "take"], "taken"),
                ("Add", ["state", "taken"], "next"),
                ("MatMul", ["next", "read"], "mean"),
                ("Add", ["mean", "sigma"], "estimate"),
            ],
            {"take": take, "read": read, "sigma": sigma},
        )
        constants = {"state_size": 5, "longest_age_s": 0.1}
        return Estimation({}, OUTPUTS, written(model, constants, "estimation"))

    return make


def joints(stamp_ms):
    return JointState(stamp_ns=stamp_ms * MS, names=("a",), position=np.zeros(1), velocity=np.zeros(1))


def detection(stamp_ms, position=(1.0, 2.0, 3.0), known=True):
    return PoseWithCovariance(
        stamp_ns=stamp_ms * MS,
        frame_id="base_link",
        position=np.array(position) if known else np.full(3, np.nan),
        covariance=1e-4 * np.eye(6) if known else unknown_covariance(),
    )


def step(estimation, now_ms, *detections):
    inputs = {"joint_states": (joints(now_ms),), "detection": detections}
    return estimation.step(inputs, now_ms * MS)["odometry"]


def test_rows_of_measurements():
    position = np.array([[0.1, -0.2, 0.3], [np.nan, 0.0, 0.0]])
    sigma = np.array([[0.01, 0.02, 1e-9], [0.01, 0.01, 0.01]])
    rows = measurement_row(position, sigma, np.array([0.03, 0.04]))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(
        rows[0], [1, 0.03, 0.1, -0.2, 0.3, 0, np.log(2), np.log(0.01)], rtol=1e-6, atol=1e-7
    )
    assert not rows[1].any()  # 'no detection', whatever else is said of it


def test_nothing_is_known_until_something_was_seen(made):
    estimation = made()
    for estimate in (step(estimation, 0), step(estimation, 10, detection(0, known=False))):
        assert not estimate.is_known
        assert np.isnan(estimate.position).all()
        assert np.isnan(estimate.linear_velocity).all()
        assert estimate.twist_covariance[0, 0] == -1.0
    assert not estimation.rejections


def test_a_detection_makes_an_estimate_for_the_time_of_the_joints(made):
    estimate = step(made(), 40, detection(10))
    assert estimate.is_known
    assert estimate.stamp_ns == 40 * MS
    assert estimate.frame_id == estimate.child_frame_id == "base_link"
    np.testing.assert_allclose(estimate.position, [1, 2, 3])
    np.testing.assert_allclose(estimate.linear_velocity, [0.03, 0, 0], rtol=1e-6)  # the age
    variances = np.diag([*3 * [POSITION_SIGMA**2], 0, 0, 0])
    np.testing.assert_allclose(estimate.pose_covariance, variances, rtol=1e-6)
    variances = np.diag([*3 * [VELOCITY_SIGMA**2], 0, 0, 0])
    np.testing.assert_allclose(estimate.twist_covariance, variances, rtol=1e-6)


def test_the_state_is_carried_from_step_to_step_until_a_reset(made):
    estimation = made()
    step(estimation, 10, detection(0))
    np.testing.assert_allclose(step(estimation, 20).position, [1, 2, 3])
    np.testing.assert_allclose(step(estimation, 30, detection(20)).position, [2, 4, 6])
    estimation.reset()
    assert not step(estimation, 40).is_known
    assert step(estimation, 50, detection(10)).is_known  # older than the last one before the reset


def test_joints_give_the_pace(made):
    inputs = {"joint_states": (), "detection": (detection(0),)}
    assert made().step(inputs, 0) == {}
    both = {"joint_states": (joints(10), joints(20)), "detection": ()}
    assert made().step(both, 20 * MS)["odometry"].stamp_ns == 20 * MS


def test_of_two_detections_the_newer_one_counts(made):
    estimate = step(made(), 40, detection(10, (9.0, 9.0, 9.0)), detection(20))
    np.testing.assert_allclose(estimate.position, [1, 2, 3])


@pytest.mark.parametrize(
    ("stamp_ms", "reason"),
    [(100, "out of order"), (90, "out of order"), (201, "from the future"), (99, "out of order")],
)
def test_detections_that_cannot_be_used_are_counted(made, stamp_ms, reason):
    estimation = made()
    step(estimation, 110, detection(100))
    np.testing.assert_allclose(step(estimation, 200, detection(stamp_ms)).position, [1, 2, 3])
    assert estimation.rejections == {f"detection: {reason}": 1}


@pytest.mark.parametrize(("stamp_ms", "is_used"), [(99, False), (100, True), (200, True)])
def test_a_detection_may_be_as_old_as_in_the_training(made, stamp_ms, is_used):
    estimation = made()
    assert step(estimation, 200, detection(stamp_ms)).is_known == is_used
    assert estimation.rejections == ({} if is_used else {"detection: too old": 1})


def test_an_output_that_is_not_finite_resets_the_state(made):
    estimation = made(gain=1e20)
    assert not step(estimation, 10, detection(0, (1e25, 0.0, 0.0))).is_known
    assert estimation.rejections == {"odometry: network output not finite, state reset": 1}
    assert not step(estimation, 20).is_known
    assert step(estimation, 30, detection(20)).is_known
    assert estimation.rejections == {"odometry: network output not finite, state reset": 1}


def test_an_estimation_needs_an_artifact():
    with pytest.raises(ArtifactError, match="estimation: needs a trained artifact"):
        Estimation({}, OUTPUTS, None)
