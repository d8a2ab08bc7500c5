import math
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.contracts import Assumption
from reflexarc.control.module import Module
from reflexarc.control.ports import MessageType, Port
from reflexarc.control.succession import (
    SLOW_LIMIT,
    UNKNOWN_LIMIT,
    WARM_STEPS,
    WATCH_NS,
    Phase,
    Succession,
)
from reflexarc.control.values import Float64Array, JointTrajectory, PoseWithCovariance, unknown_covariance

TICK_NS = 10_000_000
OUTPUTS = {"command": Port(type=MessageType.FLOAT64_ARRAY, topic="command", shape=(2,))}
BAD = ("nan", "shape", "raises", "missing", "stranger", "refuses")


class Counting(Module):
    """Gives its name and how often it was stepped; `trouble` maps a step to how that step goes wrong."""

    input_needs: ClassVar = {}
    output_needs: ClassVar = {}

    def __init__(self, name: float = 0.0, trouble: Any = None) -> None:
        self.name = name
        self.trouble = {} if trouble is None else trouble
        self.steps = 0
        self.total = 0.0
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def step(self, inputs, now_ns):
        self.steps += 1
        for value in inputs["joints"]:
            self.total += float(value.data.sum())
            value.data[:] = math.inf  # no other may see what a module does to its inputs
        trouble = self.trouble.get(self.steps)
        if trouble == "raises":
            raise KeyError("weights")
        if trouble == "missing":
            return {}
        if trouble == "refuses":
            self.rejections["command: not finite"] += 1
        data = np.array([self.name, self.steps], dtype=float)
        if trouble == "nan":
            data[0] = np.nan
        value = Float64Array(data=data[:1] if trouble == "shape" else data)
        return {"stranger" if trouble == "stranger" else "command": value}


class Run:
    """A succession, stepped tick by tick on joints of 1."""

    def __init__(self, old, **changes: Any) -> None:
        self.succession = Succession(old, changes.pop("outputs", OUTPUTS), TICK_NS, **changes)
        self.tick = 0
        self.published = []

    def steps(self, count: int) -> list:
        for _ in range(count):
            self.tick += 1
            outputs = self.succession.step({"joints": (Float64Array(data=np.ones(1)),)}, self.tick * TICK_NS)
            self.published.append(outputs)
            self.succession.settle()
        return self.published[-count:]

    def names(self) -> list[float]:
        return [outputs["command"].data[0] for outputs in self.published]


WATCH_STEPS = WATCH_NS // TICK_NS


def test_a_good_newcomer_takes_over_after_the_warm_up_and_stays_after_the_watch() -> None:
    old, new = Counting(1.0), Counting(2.0)
    run = Run(old)
    run.steps(5)
    run.succession.begin(new)
    assert (run.succession.phase, run.succession.is_under_way) == (Phase.WARMING, True)
    run.steps(WARM_STEPS)
    assert run.succession.phase is Phase.WATCHING
    run.steps(WATCH_STEPS)
    assert (run.succession.phase, run.succession.is_under_way) == (Phase.DONE, False)
    assert run.names() == [1.0] * (5 + WARM_STEPS) + [2.0] * WATCH_STEPS
    assert old.steps == 5 + WARM_STEPS + WATCH_STEPS
    run.steps(3)
    assert old.steps == 5 + WARM_STEPS + WATCH_STEPS, "the old one rests"
    assert new.total == new.steps, "each saw the inputs as they came"
    assert +run.succession.rejections == {}


@pytest.mark.parametrize("trouble", BAD)
def test_a_bad_step_in_the_shadow_is_refused_and_never_published(trouble: str) -> None:
    run = Run(Counting(1.0))
    run.succession.begin(Counting(2.0, {7: trouble}))
    run.steps(WARM_STEPS + 5)
    assert run.succession.phase is Phase.REFUSED
    assert run.succession.reason
    assert run.names() == [1.0] * (WARM_STEPS + 5)
    assert run.succession.rejections == {f"swap refused: {run.succession.reason}": 1}


@given(
    bad_at=st.integers(1, WARM_STEPS + WATCH_STEPS + 20),
    trouble=st.sampled_from(BAD),
    resets=st.sets(st.integers(1, WARM_STEPS + WATCH_STEPS), max_size=3),
)
def test_nothing_bad_goes_out_and_nothing_is_missed_whenever_it_fails(bad_at, trouble, resets) -> None:
    old, new = Counting(1.0), Counting(2.0, {bad_at: trouble})
    run = Run(old)
    run.succession.begin(new)
    last = WARM_STEPS + WATCH_STEPS
    for step in range(1, last + 1):
        run.steps(1)
        if step in resets:
            run.succession.reset()
    assert all(
        np.isfinite(o["command"].data).all() and o["command"].data.shape == (2,) for o in run.published
    )
    if bad_at <= last:
        assert old.steps == last, "it steps on every input, so that it can take back at any"
        assert old.total == last
        assert run.names()[bad_at - 1 :] == [1.0] * (last - bad_at + 1)
        expected = Phase.REFUSED if bad_at <= WARM_STEPS else Phase.ROLLED_BACK
        assert run.succession.phase is expected
    else:
        assert run.succession.phase is Phase.DONE
    assert old.resets == len(resets)


def test_a_port_that_the_old_one_leaves_out_too_is_no_fault() -> None:
    silent = {step: "missing" for step in range(1, 1000, 2)}
    run = Run(Counting(1.0, silent))
    run.succession.begin(Counting(2.0, silent))
    run.steps(WARM_STEPS + WATCH_STEPS)
    assert run.succession.phase is Phase.DONE


@pytest.mark.parametrize(("old_ms", "expected"), [(1, Phase.ROLLED_BACK), (20, Phase.WATCHING)])
def test_steps_that_are_too_long_roll_back_unless_the_machine_is_slow(old_ms: int, expected: Phase) -> None:
    now_ns = 0

    class Slow(Counting):
        ms = 1

        def step(self, inputs, now):
            nonlocal now_ns
            now_ns += self.ms * 1_000_000
            return super().step(inputs, now)

    old, new = Slow(1.0), Slow(2.0)
    run = Run(old, clock=lambda: now_ns)
    run.succession.begin(new)
    run.steps(WARM_STEPS)
    new.ms = 20
    run.steps(SLOW_LIMIT - 1)
    new.ms = 1
    run.steps(1)
    assert run.succession.phase is Phase.WATCHING, "not in a row"
    new.ms, old.ms = 20, old_ms
    run.steps(SLOW_LIMIT)
    assert run.succession.phase is expected
    if expected is Phase.ROLLED_BACK:
        assert run.succession.reason == f"{SLOW_LIMIT} steps in a row took longer than 10 ms"


def test_a_blind_newcomer_is_refused() -> None:
    class Seeing(Counting):
        def step(self, inputs, now_ns):
            known = self.name == 1.0
            return {
                "detection": PoseWithCovariance(
                    stamp_ns=now_ns,
                    frame_id="base_link",
                    position=np.zeros(3) if known else np.full(3, np.nan),
                    covariance=np.eye(6) if known else unknown_covariance(),
                )
            }

    run = Run(
        Seeing(1.0), outputs={"detection": Port(type=MessageType.POSE_WITH_COVARIANCE, topic="detection")}
    )
    run.succession.begin(Seeing(2.0))
    run.steps(UNKNOWN_LIMIT)
    assert run.succession.phase is Phase.REFUSED
    assert run.succession.reason.startswith("detection: unknown")


@pytest.mark.parametrize(("good_steps", "phase"), [(0, Phase.REFUSED), (WARM_STEPS, Phase.ROLLED_BACK)])
def test_a_newcomer_that_leaves_what_its_reader_was_trained_under_is_dropped(good_steps, phase) -> None:
    class Placing(Counting):
        def step(self, inputs, now_ns):
            self.steps += 1
            return {
                "detection": PoseWithCovariance(
                    stamp_ns=now_ns,
                    frame_id="base_link",
                    position=np.full(3, self.name if self.steps > good_steps else 1.0),
                    covariance=np.eye(6),
                )
            }

    run = Run(
        Placing(1.0), outputs={"detection": Port(type=MessageType.POSE_WITH_COVARIANCE, topic="detection")}
    )
    seen = Assumption(seen={"x_m": (0.0, 2.0)})
    run.succession.begin(Placing(5.0), {"detection": {"estimation": seen}})
    run.steps(good_steps + 11)
    assert run.succession.phase is phase
    assert run.succession.reason == "detection: x_m is not as estimation was trained under"


def test_every_number_of_an_output_is_checked() -> None:
    class Second(Counting):
        def step(self, inputs, now_ns):
            velocities = np.zeros((2, 2))
            velocities[1, 1] = np.nan if self.name == 2.0 else 0.0
            times = np.zeros(2, dtype=np.int64)
            trajectory = JointTrajectory(
                stamp_ns=0, names=("a", "b"), positions=np.zeros((2, 0)), velocities=velocities,
                time_from_start_ns=times,
            )  # fmt: skip
            return {"command": trajectory}

    port = Port(type=MessageType.JOINT_TRAJECTORY, topic="command", shape=(2,))
    run = Run(Second(1.0), outputs={"command": port})
    run.succession.begin(Second(2.0))
    run.steps(1)
    assert run.succession.reason == "command: not finite"


def test_the_newcomer_gets_what_came_once_before_it_was_there() -> None:
    seen = []

    class Calibrated(Counting):
        def step(self, inputs, now_ns):
            seen.append((self.name, len(inputs["camera_info"])))
            return {"command": Float64Array(data=np.zeros(2))}

    succession = Succession(Calibrated(1.0), OUTPUTS, TICK_NS)
    succession.step({"camera_info": (Float64Array(data=np.ones(1)),)}, 0)
    succession.begin(Calibrated(2.0))
    for now_ns in (1, 2):
        succession.step({"camera_info": ()}, now_ns)
        succession.settle()
    assert seen == [(1.0, 1), (1.0, 0), (2.0, 1), (1.0, 0), (2.0, 0)]


def test_counts_are_those_of_who_serves_and_never_shrink() -> None:
    old, new = Counting(1.0), Counting(2.0)
    run = Run(old)
    old.rejections["joints: late"] += 2
    run.succession.begin(new)
    new.rejections["joints: late"] += 50  # in the shadow it is heard by nobody
    run.steps(WARM_STEPS)
    assert run.succession.rejections == {"joints: late": 2}
    new.rejections["joints: late"] += 3
    assert run.succession.rejections == {"joints: late": 5}
    run.succession.abandon("the node stops")
    assert (run.succession.phase, run.succession.reason) == (Phase.ROLLED_BACK, "the node stops")
    old.rejections["joints: late"] += 1
    assert run.succession.rejections == {"joints: late": 6}


def test_an_old_one_that_fails_in_the_watch_leaves_the_newcomer() -> None:
    run = Run(Counting(1.0, {WARM_STEPS + 2: "raises"}))
    run.succession.begin(Counting(2.0))
    run.steps(WARM_STEPS + 5)
    assert run.succession.phase is Phase.DONE
    assert run.names()[WARM_STEPS:] == [2.0] * 5


def test_a_newcomer_whose_reset_fails_is_dropped() -> None:
    class Stuck(Counting):
        def reset(self) -> None:
            raise OSError("no")

    old = Counting(1.0)
    run = Run(old)
    run.succession.begin(Stuck(2.0))
    run.steps(1)
    run.succession.reset()
    assert (run.succession.phase, run.succession.reason) == (Phase.REFUSED, "reset raised OSError: no")
    assert old.resets == 1


def test_one_swap_at_a_time() -> None:
    run = Run(Counting(1.0))
    run.succession.begin(Counting(2.0))
    with pytest.raises(RuntimeError, match="under way"):
        run.succession.begin(Counting(3.0))
