import numpy as np
import pytest

from reflexarc.control.contracts import Assumption
from reflexarc.control.values import Image, Odometry, PoseWithCovariance, unknown_covariance
from reflexarc.control.watch import InputWatch, SuccessorWatch

WINDOW = 50


def image(brightness):
    return Image(stamp_ns=0, frame_id="c", encoding="rgb8", data=np.full((4, 4, 3), brightness, np.uint8))


def pose(x, covariance=None):
    matrix = 0.01**2 * np.eye(6) if covariance is None else covariance
    return PoseWithCovariance(stamp_ns=0, frame_id="b", position=np.array([x, 0, 0]), covariance=matrix)


@pytest.fixture
def watch():
    return InputWatch(Assumption(seen={"brightness": (50.0, 150.0)}))


def take(watch, *brightness):
    for value in brightness:
        watch.take(image(value))


def test_what_is_as_in_training_is_no_departure(watch):
    take(watch, *[50, 100, 150] * WINDOW)
    assert watch.departures() == ()


def test_some_values_outside_are_none_and_more_are(watch):
    take(watch, *[200] * 10, *[100] * 40)
    assert watch.departures() == ()
    take(watch, *[200] * 11)
    assert watch.departures() == ("brightness",)


def test_nothing_is_said_before_the_window_is_full_nor_after_a_reset(watch):
    take(watch, *[200] * (WINDOW - 1))
    assert watch.departures() == ()
    take(watch, 200)
    assert watch.departures() == ("brightness",)
    watch.reset()
    take(watch, *[200] * (WINDOW - 1))
    assert watch.departures() == ()


def test_it_comes_to_rest_when_all_is_well_again(watch):
    take(watch, *[200] * WINDOW)
    take(watch, *[100] * WINDOW)
    assert watch.departures() == ()


def test_places_and_covariances_are_watched_and_what_is_not_known_is_not():
    watch = InputWatch(Assumption(seen={"x_m": (0.0, 1.0), "sigma_m": (0.0, 0.05)}))
    for _ in range(WINDOW):
        watch.take(pose(np.nan, unknown_covariance()))
    for _ in range(WINDOW - 1):
        watch.take(pose(2.0))
    assert watch.departures() == ()
    watch.take(pose(2.0, 0.1**2 * np.eye(6)))
    assert watch.departures() == ("x_m",)
    for _ in range(WINDOW):
        watch.take(pose(0.5, 0.1**2 * np.eye(6)))
    assert watch.departures() == ("sigma_m",)


def test_speed_is_watched_too():
    watch = InputWatch(Assumption(seen={"speed_m_s": (0.0, 5.0)}))
    fast = Odometry(
        stamp_ns=0,
        frame_id="b",
        child_frame_id="b",
        position=np.zeros(3),
        linear_velocity=np.array([0.0, 4.0, 4.0]),
        pose_covariance=np.eye(6),
        twist_covariance=np.eye(6),
    )
    for _ in range(WINDOW):
        watch.take(fast)
    assert watch.departures() == ("speed_m_s",)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_not_finite_is_outside(value):
    watch = InputWatch(Assumption(seen={"x_m": (0.0, 1.0)}))
    for _ in range(WINDOW):
        watch.take(pose(value))
    assert watch.departures() == ("x_m",)


def test_a_successor_that_leaves_what_a_reader_was_trained_under_is_named():
    watch = SuccessorWatch({"detection": {"estimation": Assumption(seen={"x_m": (0.0, 1.0)})}})
    for _ in range(10):
        assert watch.take("detection", pose(0.5), pose(2.0)) is None
    assert watch.take("detection", pose(0.5), pose(2.0)) == "x_m is not as estimation was trained under"


def test_where_the_old_one_leaves_it_too_it_is_not_the_successor():
    watch = SuccessorWatch({"detection": {"estimation": Assumption(seen={"x_m": (0.0, 1.0)})}})
    assert not any(watch.take("detection", pose(3.0), pose(2.0)) for _ in range(WINDOW))
    assert not any(watch.take("another", pose(0.5), pose(2.0)) for _ in range(WINDOW))
