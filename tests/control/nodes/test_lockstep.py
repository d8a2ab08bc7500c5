import zlib
from collections import defaultdict, deque
from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.nodes.lockstep import Gate, Marker, Wire, fingerprint, marker_topic
from reflexarc.control.values import Float64Array, Image, JointState

EPISODES = (5, 1, 4)  # ticks of each


class Network:
    """Nodes that compute something from all they got, joined as a random flow, with a plant that closes it.

    `network[n]` lists, per node n, its producers; node 0 is the plant, and the last node commands it.
    """

    def __init__(self, upstream, latencies):
        self.upstream = upstream
        self.latencies = latencies
        self.count = len(upstream)

    def lag(self, producer):
        return 0 if producer == 0 else self.latencies[producer]

    def heard(self):
        """Whose markers the plant waits for: its commander's, and those that it does not depend on."""
        found, pending = set(), [0]
        while pending:
            sources = set(self.upstream[pending.pop()]) - found - {0}
            found |= sources
            pending += sources
        return {self.count - 1} | (set(range(1, self.count)) - found)

    def outputs(self, node, tick, inputs):
        """Two output ports with zero to two values each, a function of all that the node got this tick."""
        digest = zlib.crc32(repr((node, tick, inputs)).encode())
        return tuple(
            tuple(float(digest % 1000 + i) for i in range((digest >> (4 * port + 3)) % 3))
            for port in range(2)
        )

    def direct(self):
        """The inputs of every step when one loop does all, as LocalRuntime does."""
        steps = []
        tick = 0
        for length in EPISODES:
            sent = defaultdict(list)  # (node, port) -> (due tick, value)
            for _ in range(length):
                for node in range(self.count):
                    inputs = {}
                    for producer in self.upstream[node]:
                        for port in range(2):
                            due = [v for t, v in sent[node, producer, port] if t == tick]
                            inputs[f"{producer}/{port}"] = tuple(due)
                    steps.append((tick, node, inputs))
                    for port, values in enumerate(self.outputs(node, tick, inputs)):
                        for consumer in range(self.count):
                            if node in self.upstream[consumer]:
                                sent[consumer, node, port] += [(tick + self.lag(node), v) for v in values]
                tick += 1
        return steps


@st.composite
def networks(draw):
    count = draw(st.integers(2, 5))
    upstream = [[count - 1]]
    for node in range(1, count):
        sources = draw(st.sets(st.integers(0, node - 1), min_size=1, max_size=node))
        upstream.append(sorted(sources))
    latencies = [0] + [draw(st.integers(0, 2)) for _ in range(1, count)]
    latencies[-1] = max(1, latencies[-1])
    return Network(upstream, latencies)


def over_the_wire(network, choose, strangers):
    """The same with a gate per node, and every message under way until `choose` delivers it."""
    gates = []
    for node in range(network.count):
        wires = {f"{p}/{port}": Wire(str(p), port) for p in network.upstream[node] for port in range(2)}
        # Everyone waits for the plant, or a node behind a slow one would run ahead of the episode's end.
        lags = {"0": 0, **{str(p): network.lag(p) for p in network.upstream[node]}}
        if node == 0:  # the plant waits for everyone, so that nobody is overrun
            lags = {str(n): network.lag(n) if n in network.upstream[0] else 3 for n in network.heard()}
        gates.append(Gate(wires, lags, dict.fromkeys(lags, 2)))
    under_way = defaultdict(deque)
    steps = []
    beginnings = list(accumulate(EPISODES, initial=0))

    def send(node, tick, inputs, begins):
        steps.append((tick, node, inputs))
        published = []
        for port, numbers in enumerate(network.outputs(node, tick, inputs)):
            values = [Float64Array(data=np.array([number])) for number in numbers]
            published.append(tuple(fingerprint(value) for value in values))
            for consumer in range(network.count):
                if node in network.upstream[consumer]:
                    under_way[consumer, f"{node}/{port}"].extend(values)
        marker = Marker(tick, tuple(published), begins).encode()
        for consumer in range(network.count):
            if str(node) in gates[consumer].producers:
                under_way[consumer, node].append(marker)

    def work(node):
        while True:
            if node == 0:
                if gates[0].tick == beginnings[-1]:
                    return
                if gates[0].tick in beginnings:
                    gates[0].begin_episode(gates[0].tick)
            opened = gates[node].open()
            if opened is None:
                return
            inputs = {p: tuple(float(v.data[0]) for v in got) for p, got in opened.values.items()}
            send(node, opened.number, inputs, node == 0 and opened.begins_episode)

    work(0)
    while ready := [key for key, queue in under_way.items() if queue]:
        consumer, channel = ready[choose(len(ready))]
        message = under_way[consumer, channel].popleft()
        if isinstance(channel, int):
            gates[consumer].announce(str(channel), message)
        else:
            if strangers and choose(3) == 0:
                gates[consumer].arrive(channel, Float64Array(data=np.array([-1.0])))
            gates[consumer].arrive(channel, message)
        work(consumer)
    return steps, gates


@given(network=networks(), data=st.data(), strangers=st.booleans())
def test_any_order_of_delivery_gives_the_steps_of_one_loop(network, data, strangers):
    random = data.draw(st.randoms(use_true_random=False))
    steps, gates = over_the_wire(network, random.randrange, strangers)
    assert sorted(steps, key=lambda s: s[:2]) == sorted(network.direct(), key=lambda s: s[:2])
    if not strangers:
        assert not any(gate.strangers.total() for gate in gates)


def test_a_value_that_nobody_announced_is_counted_and_dropped():
    gate = Gate({"command": Wire("guard", 0)}, {"guard": 0}, {"guard": 1})
    ours, theirs = Float64Array(data=np.ones(6)), Float64Array(data=np.full(6, 9.0))
    gate.arrive("command", theirs)
    gate.arrive("command", ours)
    assert gate.open() is None
    gate.announce("guard", Marker(0, ((fingerprint(ours),),)).encode())
    assert gate.open() == (0, False, {"command": (ours,)})
    assert gate.strangers == {"command": 1}


def test_nobody_falls_behind_over_many_short_episodes():
    gate = Gate({"command": Wire("guard", 0)}, {"guard": 1}, {"guard": 1})
    for tick in range(9):
        gate.begin_episode(tick)
    opened = [gate.open() for _ in range(9)]
    assert [tick.number for tick in opened if tick] == list(range(8))
    gate.announce("guard", Marker(0, ((),)).encode())
    assert gate.open() == (8, True, {"command": ()})


def test_a_marker_out_of_turn_or_of_another_shape_is_refused():
    gate = Gate({"command": Wire("guard", 0)}, {"guard": 0}, {"guard": 1})
    with pytest.raises(ValueRefusedError, match="marker of tick 4 after that of -1"):
        gate.announce("guard", [4, 0, 0])
    for data in ([], [0], [0, 0], [0, 0, 2, 1], [0, 0, 1], [0, 0, -1], [0, 0, 0, 0]):
        with pytest.raises(ValueRefusedError, match="are no marker of 1 ports"):
            gate.announce("guard", data)
    assert gate.open() is None


@given(
    marker=st.builds(
        Marker,
        st.integers(0, 2**40),
        st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=3).map(tuple), max_size=4).map(tuple),
        st.booleans(),
    )
)
def test_a_marker_there_and_back_is_the_same(marker):
    assert Marker.decode(marker.encode(), len(marker.published)) == marker


def test_a_fingerprint_sees_every_field():
    def state(**changes):
        fields = {"stamp_ns": 1, "names": ("a",), "position": np.zeros(1), "velocity": np.zeros(1)}
        return fingerprint(JointState(**{**fields, **changes}))

    assert state() == state()
    changes = ({"stamp_ns": 2}, {"names": ("b",)}, {"frame_id": "x"}, {"position": np.array([-0.0])})
    assert len({state(), *(state(**change) for change in changes)}) == 5


def test_a_fingerprint_does_not_see_memory_layout():
    image = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    wide = np.zeros((2, 8, 3), np.uint8)
    wide[:, ::2] = image
    marks = {
        fingerprint(Image(stamp_ns=0, frame_id="c", encoding="rgb8", data=data))
        for data in (image, wide[:, ::2])
    }
    assert len(marks) == 1


def test_topics_are_relative():
    assert marker_topic("guard") == "lockstep/guard"
