import hashlib

import numpy as np
import pytest

from reflexarc.control.flow import PLANT, Flow, ModuleSpec, PlantSpec, Source
from reflexarc.control.local import LocalRuntime
from reflexarc.control.module import Module
from reflexarc.control.ports import MessageType, Port
from reflexarc.control.values import Float64Array, JointState

TICK_NS = 10_000_000
EPISODE = 8
"""Ticks of an episode."""


class Counter:
    """A plant whose only joint stands at 100 times its seed plus its tick, and says so at each tick."""

    tick_ns = TICK_NS

    def __init__(self, events):
        self._events = events
        self._digest = hashlib.sha256()
        self.accepted = []

    @property
    def is_over(self):
        return self._tick == EPISODE

    def reset(self, seed, now_ns):
        self._seed, self._start_ns, self._tick = seed, now_ns, 0
        self._events.append("plant.reset")

    def sense(self):
        self._events.append("plant.sense")
        stamp_ns = self._start_ns + self._tick * TICK_NS
        position = np.array([100.0 * self._seed + self._tick])
        if self._tick == 6:  # which a port for one joint refuses
            position = np.zeros(2)
        value = JointState(stamp_ns=stamp_ns, names=("a",), position=position, velocity=np.zeros(1))
        return [("joints", value)]

    def accept(self, port, value):
        assert port == "command"
        self._events.append("plant.accept")
        self.accepted.append((self._tick, float(value.data[0])))
        self._digest.update(value.data.tobytes())

    def advance(self):
        self._events.append("plant.advance")
        self._tick += 1

    def score(self):
        return {"last": self.accepted[-1][1], "unsafe_commands": 0.0}

    def trajectory_digest(self):
        return self._digest.hexdigest()


class Sum(Module):
    """Publishes the sum of all joint positions since its reset."""

    def __init__(self, events):
        self._events = events
        self.reset()

    def reset(self):
        self._sum = 0.0

    def step(self, inputs, now_ns):
        self._events.append("sum.step")
        (joints,) = inputs["joints"]
        self._sum += joints.position[0]
        return {
            "sum": JointState(
                stamp_ns=joints.stamp_ns, names=("a",), position=np.array([self._sum]), velocity=np.zeros(1)
            )
        }


class Last(Module):
    """Commands what it read last, or -1 where its deadline passed; counts the negative."""

    def __init__(self, events):
        self._events = events

    def reset(self):
        self._events.append("last.reset")

    def step(self, inputs, now_ns):
        self._events.append("last.step")
        if not inputs["sum"]:
            self.rejections["sum: silent"] += 1
            return {"command": Float64Array(data=np.array([-1.0]))}
        return {"command": Float64Array(data=inputs["sum"][-1].position)}


def flow(sum_latency_s=0.02, last_latency_s=0.01, deadline_s=None):
    joints = {"type": MessageType.JOINT_STATE, "shape": (1,), "rate_hz": 100}
    return Flow(
        name="sums",
        plant=PlantSpec(
            env="any",
            rate_hz=100,
            outputs={"joints": Port(topic="joints", **joints)},
            inputs={"command": Source(node="last", port="command")},
        ),
        modules={
            "last": ModuleSpec(
                name="last",
                kind="any",
                trigger=("sum",),
                deadline_s=deadline_s,
                latency_s=last_latency_s,
                inputs={"sum": Source(node="sum", port="sum")},
                outputs={"command": Port(type=MessageType.FLOAT64_ARRAY, topic="command", shape=(1,))},
            ),
            "sum": ModuleSpec(
                name="sum",
                kind="any",
                trigger=("joints",),
                latency_s=sum_latency_s,
                inputs={"joints": Source(node=PLANT, port="joints")},
                outputs={"sum": Port(topic="sum", **joints)},
            ),
        },
    )


def made(**changes):
    """A runtime, its plant, and what happens in both, in order."""
    events = []
    plant = Counter(events)
    runtime = LocalRuntime(flow(**changes), {"last": Last(events), "sum": Sum(events)}, plant)
    return runtime, plant, events


def test_a_tick_delivers_senses_works_in_the_order_of_the_data_and_advances():
    runtime, _, events = made(sum_latency_s=0.0)
    runtime.run_episode(0)
    first, second = (
        events.index("plant.advance"),
        events.index("plant.advance", events.index("plant.advance") + 1),
    )
    assert events[:first] == ["last.reset", "plant.reset", "plant.sense", "sum.step", "last.step"]
    assert events[first + 1 : second] == ["plant.accept", "plant.sense", "sum.step", "last.step"]


@pytest.mark.parametrize(
    ("sum_latency_s", "last_latency_s", "ticks"), [(0.0, 0.01, 1), (0.02, 0.01, 3), (0.01, 0.03, 4)]
)
def test_declared_latencies_add_up(sum_latency_s, last_latency_s, ticks):
    runtime, plant, _ = made(sum_latency_s=sum_latency_s, last_latency_s=last_latency_s)
    runtime.run_episode(0)
    sums = [0.0, 1.0, 3.0, 6.0, 10.0, 15.0]  # of 0, 1, 2, ...; the sixth is refused
    expected = [(tick + ticks, value) for tick, value in enumerate(sums) if tick + ticks < EPISODE]
    assert plant.accepted == expected


def test_a_value_that_its_port_refuses_is_counted_and_not_stepped_on():
    runtime, _, events = made()
    result = runtime.run([0])
    assert events.count("plant.sense") == EPISODE
    assert events.count("sum.step") == EPISODE - 1
    assert result.rejections == {"last": {}, "sum": {"joints: position of shape (2,), expected (1,)": 1}}


def test_an_episode_starts_from_nothing_and_its_seed_alone():
    runtime, plant, _ = made()
    runtime.run([3, 0, 3])
    starts = [number for number, (tick, _) in enumerate(plant.accepted) if tick == 3]
    first, second, third = (plant.accepted[a:b] for a, b in zip(starts, [*starts[1:], None], strict=True))
    assert first == third  # the module's sum began again, and nothing in flight came through
    assert first[0] == (3, 300.0)
    assert second[0] == (3, 0.0)


def test_flow_time_goes_on_over_episodes():
    runtime, _, _ = made()
    records = runtime.run([0, 0]).records["sum"]
    assert [record.now_ns for record in records] == [
        tick * TICK_NS for tick in range(2 * EPISODE) if tick % EPISODE != 6
    ]


def test_a_silent_trigger_is_stepped_over_by_the_deadline():
    runtime, plant, _ = made(deadline_s=0.02)
    result = runtime.run([0])
    # The first sum is there at tick 2, as the deadline passes. The one of tick 6 is missing at tick 8.
    assert plant.accepted[0] == (3, 0.0)
    assert result.rejections["last"] == {}
    slow, plant, _ = made(sum_latency_s=0.05, deadline_s=0.02)
    assert slow.run([0]).rejections["last"] == {"sum: silent": 3}
    assert plant.accepted == [(3, -1.0), (4, -1.0), (5, -1.0), (6, 0.0), (7, 1.0)]


def test_the_deadline_counts_from_the_start_of_the_episode():
    runtime, plant, _ = made(sum_latency_s=0.05, deadline_s=0.02)
    runtime.run([0, 0])
    half = len(plant.accepted) // 2
    assert plant.accepted[:half] == plant.accepted[half:]


def test_records_of_steps():
    runtime, _, _ = made()
    records = runtime.run([0]).records
    assert [record.now_ns // TICK_NS for record in records["last"]] == [2, 3, 4, 5, 6, 7]
    assert [record.input_stamps_ns for record in records["last"]] == [
        {"sum": tick * TICK_NS} for tick in range(6)
    ]
    assert [record.output_stamp_ns for record in records["sum"]] == [
        tick * TICK_NS for tick in (0, 1, 2, 3, 4, 5, 7)
    ]
    # A command has no stamp: it has the time of its step.
    assert [record.output_stamp_ns for record in records["last"]] == [
        record.now_ns for record in records["last"]
    ]
    assert all(record.received_ns <= record.published_ns for record in records["sum"])


def test_what_a_run_comes_to():
    runtime, plant, _ = made()
    told = []
    result = runtime.run([4, 5], told.append)
    assert list(result.episodes) == told
    assert [episode.seed for episode in told] == [4, 5]
    assert [episode.ticks for episode in told] == [EPISODE, EPISODE]
    assert told[1].score == {"last": plant.accepted[-1][1], "unsafe_commands": 0.0}
    assert result.trajectory_sha256 == plant.trajectory_digest()
    assert result.missed_deadlines == 0
    assert result.clock_at is None
    assert set(result.records) == {"sum", "last"}


def test_the_same_seeds_have_the_same_trajectory():
    digests = [made()[0].run(seeds).trajectory_sha256 for seeds in ([1, 2], [1, 2], [2, 1])]
    assert digests[0] == digests[1] != digests[2]
