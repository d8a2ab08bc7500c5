import numpy as np
import pytest
from pydantic import ValidationError

from reflexarc.control.redundancy.fault_kind import FaultKind
from reflexarc.control.redundancy.faults import Fault, FaultInjector
from reflexarc.control.values import Float64Array, JointTrajectory, Odometry, PoseWithCovariance

TICK_NS = 10_000_000
AT, FOR = 5, 10
"""Ticks."""


def odometry(tick):
    return Odometry(
        stamp_ns=tick * TICK_NS,
        frame_id="base_link",
        child_frame_id="base_link",
        position=np.array([1.0 + tick, 2.0, 3.0]),
        linear_velocity=np.array([1.0, 0.0, 0.0]),
        pose_covariance=np.eye(6),
        twist_covariance=np.eye(6),
    )


def run(kind, ticks=25, **changes):
    fault = Fault(kind=kind, at_s=AT * 0.01, for_s=FOR * 0.01, **changes)
    injector = FaultInjector(fault, 0)
    return [injector.apply({"odometry": odometry(tick)}, tick * TICK_NS) for tick in range(ticks)]


def during(outputs):
    return outputs[AT : AT + FOR]


@pytest.mark.parametrize("kind", FaultKind)
def test_before_and_after_nothing_is_changed_and_twice_it_is_the_same(kind):
    first, second = run(kind), run(kind)
    for tick, (one, other) in enumerate(zip(first, second, strict=True)):
        assert one.keys() == other.keys()
        if one:
            assert np.array_equal(one["odometry"].position, other["odometry"].position, equal_nan=True)
        if not AT <= tick < AT + FOR:
            assert np.array_equal(one["odometry"].position, odometry(tick).position)
    assert any(
        not out or not np.array_equal(out["odometry"].position, odometry(AT + k).position)
        for k, out in enumerate(during(first))
    )


@pytest.mark.parametrize("kind", [FaultKind.KILL, FaultKind.FREEZE])
def test_who_is_killed_or_frozen_is_silent(kind):
    assert not any(during(run(kind)))


def test_only_who_was_killed_forgets():
    for kind in FaultKind:
        injector = FaultInjector(Fault(kind=kind, at_s=0.05, for_s=0.1), 0)
        assert not injector.forgets(0)
        assert not injector.forgets(10 * TICK_NS)
        assert injector.forgets(15 * TICK_NS) is (kind is FaultKind.KILL)


def test_a_delay_keeps_the_stamps():
    outputs = during(run(FaultKind.DELAY, magnitude=0.03))
    assert not any(outputs[:3])
    assert [out["odometry"].stamp_ns for out in outputs[3:]] == [(AT + k) * TICK_NS for k in range(FOR - 3)]


def test_some_are_dropped():
    outputs = FaultInjector(Fault(kind=FaultKind.DROP, for_s=10.0, magnitude=0.3), 0)
    came = sum(bool(outputs.apply({"odometry": odometry(t)}, t * TICK_NS)) for t in range(900))
    assert 550 < came < 700


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (FaultKind.NAN, [np.nan] * 3),
        (FaultKind.BIAS, [1.0 + AT + 0.2, 2.2, 3.2]),
        (FaultKind.FLIP, [-1.0 - AT, -2.0, -3.0]),
        (FaultKind.STUCK, [1.0 + AT - 1, 2.0, 3.0]),
    ],
)
def test_the_payload_goes_wrong_and_the_stamp_does_not(kind, expected):
    value = during(run(kind))[0]["odometry"]
    assert value.stamp_ns == AT * TICK_NS
    assert value.position == pytest.approx(expected, nan_ok=True)
    assert value.is_known


def test_bits_flip():
    values = [out["odometry"].position for out in during(run(FaultKind.CORRUPT, magnitude=0.5))]
    assert not any(np.array_equal(v, odometry(AT + k).position) for k, v in enumerate(values))


@pytest.mark.parametrize(
    "value",
    [
        PoseWithCovariance(stamp_ns=0, frame_id="b", position=np.ones(3), covariance=np.eye(6)),
        JointTrajectory(
            stamp_ns=0,
            names=("a",),
            positions=np.empty((1, 0)),
            velocities=np.ones((1, 1)),
            time_from_start_ns=np.zeros(1, dtype=np.int64),
        ),
        Float64Array(data=np.ones(2)),
    ],
)
def test_whatever_a_module_publishes_can_go_wrong(value):
    out = FaultInjector(Fault(kind=FaultKind.FLIP), 0).apply({"port": value}, 0)["port"]
    arrays = [getattr(out, name) for name in ("position", "velocities", "data") if hasattr(out, name)]
    assert (arrays[0] == -1).all()


@pytest.mark.parametrize(
    "change", [{"kind": "melt"}, {"at_s": -1}, {"for_s": 0}, {"magnitude": float("nan")}]
)
def test_what_is_no_fault_is_refused(change):
    with pytest.raises(ValidationError):
        Fault(**{"kind": "nan", **change})
