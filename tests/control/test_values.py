from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from reflexarc.control.values import (
    Diagnostic,
    Diagnostics,
    Float64Array,
    JointState,
    Odometry,
    PoseWithCovariance,
    unknown_covariance,
)


def pose(covariance):
    return PoseWithCovariance(stamp_ns=0, frame_id="base_link", position=np.zeros(3), covariance=covariance)


def odometry(pose_covariance, twist_covariance):
    return Odometry(
        stamp_ns=0,
        frame_id="base_link",
        child_frame_id="base_link",
        position=np.zeros(3),
        linear_velocity=np.zeros(3),
        pose_covariance=pose_covariance,
        twist_covariance=twist_covariance,
    )


def test_unknown_covariance_is_minus_one_in_element_0_alone():
    covariance = unknown_covariance()
    assert covariance[0, 0] == -1.0
    assert covariance.shape == (6, 6)
    assert np.count_nonzero(covariance) == 1


def test_each_unknown_covariance_is_its_own():
    unknown_covariance()[0, 0] = 1.0
    assert unknown_covariance()[0, 0] == -1.0


def test_what_is_known_follows_from_the_covariance():
    assert not pose(unknown_covariance()).is_known
    assert pose(np.zeros((6, 6))).is_known
    assert not odometry(unknown_covariance(), np.eye(6)).is_known
    assert odometry(np.eye(6), unknown_covariance()).is_known


def test_a_covariance_that_is_not_a_number_is_not_known():
    assert not pose(np.full((6, 6), np.nan)).is_known


def test_what_is_left_out_is_not_turned_and_does_not_turn():
    assert pose(np.eye(6)).orientation_xyzw.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert odometry(np.eye(6), np.eye(6)).orientation_xyzw.tolist() == [0.0, 0.0, 0.0, 1.0]
    assert odometry(np.eye(6), np.eye(6)).angular_velocity.tolist() == [0.0, 0.0, 0.0]
    joints = JointState(stamp_ns=0, names=("a",), position=np.zeros(1), velocity=np.zeros(1))
    assert joints.effort.shape == (0,)


def test_values_cannot_be_written_to():
    value = Float64Array(data=np.zeros(1))
    with pytest.raises(FrozenInstanceError):
        value.data = np.ones(1)


def test_values_of_arrays_are_equal_only_to_themselves():
    # Arrays have no truth value, so a comparison by content could only raise.
    value = Float64Array(data=np.zeros(2))
    assert value == value  # noqa: PLR0124
    assert value != Float64Array(data=np.zeros(2))


def test_health_is_compared_by_content():
    entry = Diagnostic(name="guard", level=0, message="ok", figures=(("steps", "3"),))
    assert Diagnostics(stamp_ns=1, entries=(entry,)) == Diagnostics(stamp_ns=1, entries=(entry,))
