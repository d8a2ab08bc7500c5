"""Lock step over a network: which values belong to which tick, whatever order they arrive in.

A conservative distributed simulation (Chandy and Misra, Asynchronous distributed simulation via a sequence
of parallel computations, CACM 24(4), 1981). On every tick each node sends a marker, the null message of
that scheme: 'this is all that I publish in tick k'. A node works on tick k when it has the marker of tick
k - L of every producer, L being the producer's declared latency, and every value that those markers
announce. So the steps, and with them the trajectory, are those of `LocalRuntime`, bit for bit, while nodes
whose latency allows it work side by side. The plant's marker also says where an episode begins.

A marker names each value by a fingerprint. That tells the values of the flow's own producer from those of
any stranger who publishes on the same topic: in lock step such a value is refused.

Pure logic, no ROS: `module_node` and `twin_node` put messages in and ask whether to work.
"""

import zlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np

from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.flow import PLANT, Flow
from reflexarc.control.values import Value

__all__ = ["Gate", "Marker", "Tick", "Wire", "fingerprint", "make_gate", "marker_topic"]

_LEEWAY_TICKS = 8
"""How far a module may fall behind that the plant does not hear of otherwise; far less than queues hold."""


def marker_topic(node: str) -> str:
    """Topic of a node's markers, relative as all topics are."""
    return f"lockstep/{node}"


def fingerprint(value: Value) -> int:
    """CRC-32 over all fields of a value, to be taken of what comes out of the codec.

    Both ends take it of the decoded message, so a producer's array of another dtype or layout does not
    matter. 17 us for a depth image of 41 kB.
    """
    checksum = 0
    for field in fields(value):
        content: Any = getattr(value, field.name)
        data = (
            np.ascontiguousarray(content).data if isinstance(content, np.ndarray) else repr(content).encode()
        )
        checksum = zlib.crc32(data, checksum)
    return checksum


@dataclass(frozen=True)
class Marker:
    """What a node says of a tick that it is done with.

    Args:
        tick: Which tick, counted since the flow came up.
        published: Per output port, in the flow's order of ports, the fingerprints of what was published.
        begins_episode: Whether the plant was reset before this tick.
    """

    tick: int
    published: tuple[tuple[int, ...], ...]
    begins_episode: bool = False

    def encode(self) -> list[int]:
        """As plain integers: tick, whether an episode begins, then per port a count and its fingerprints."""
        counted = (number for port in self.published for number in (len(port), *port))
        return [self.tick, int(self.begins_episode), *counted]

    @staticmethod
    def decode(data: Sequence[int], ports: int) -> "Marker":
        """The marker of a node with this many output ports.

        Raises:
            ValueRefusedError: The numbers are not such a marker.
        """
        published = []
        position = 2
        for _ in range(ports):
            count = data[position] if position < len(data) else -1
            if not 0 <= count < len(data) - position:
                raise ValueRefusedError(f"{len(data)} numbers are no marker of {ports} ports")
            published.append(tuple(data[position + 1 : position + 1 + count]))
            position += 1 + count
        if position != len(data):
            raise ValueRefusedError(f"{len(data)} numbers are no marker of {ports} ports")
        return Marker(data[0], tuple(published), bool(data[1]))


@dataclass(frozen=True)
class Wire:
    """Where an input port's values come from.

    Args:
        producer: Name of the node.
        index: Which of the producer's output ports, counted in the flow's order.
    """

    producer: str
    index: int


class _Channel:
    """One input port: what was announced, what arrived, and the two matched in order."""

    def __init__(self) -> None:
        self.announced: deque[tuple[int, int]] = deque()  # (tick, fingerprint) that has not arrived
        self.arrived: deque[tuple[int, Value]] = deque()  # (fingerprint, value) that is not announced
        self.matched: deque[tuple[int, Value]] = deque()  # (tick, value)
        self.strangers = 0

    def match(self) -> None:
        """Pair what arrived with what was announced.

        A producer's values arrive in the order in which it published them, so what arrived first and is
        not what was announced first came from someone else.
        """
        while self.announced and self.arrived:
            mark, value = self.arrived.popleft()
            tick, expected = self.announced[0]
            if mark == expected:
                self.announced.popleft()
                self.matched.append((tick, value))
            else:
                self.strangers += 1

    def is_complete(self, last_tick: int) -> bool:
        return not self.announced or self.announced[0][0] > last_tick

    def take(self, first_tick: int, last_tick: int) -> tuple[Value, ...]:
        taken = []
        while self.matched and self.matched[0][0] <= last_tick:
            tick, value = self.matched.popleft()
            if tick >= first_tick:  # an older one was under way when the episode ended
                taken.append(value)
        return tuple(taken)


class Tick(NamedTuple):
    """A tick that a node may work on.

    Attributes:
        number: Counted since the flow came up.
        begins_episode: Whether everything of before is to be forgotten.
        values: Per input port, what arrives in it, oldest first.
    """

    number: int
    begins_episode: bool
    values: Mapping[str, tuple[Value, ...]]


class Gate:
    """Opens a node's ticks, one after another, each when all that belongs to it is there.

    Args:
        wires: Per input port, where its values come from.
        lags: Per producer to wait for, how many ticks later its values are due: its latency, or for a
            node that is only not to fall behind, how far it may.
        ports: Per producer, how many output ports its markers count.
    """

    def __init__(self, wires: Mapping[str, Wire], lags: Mapping[str, int], ports: Mapping[str, int]) -> None:
        self._wires = dict(wires)
        self._lags = dict(lags)
        self._ports = dict(ports)
        self._channels = {port: _Channel() for port in wires}
        self._done = dict.fromkeys(lags, -1)
        self._beginnings: deque[int] = deque()
        self._first_tick = 0
        self.tick = 0
        """The tick to work on next."""

    @property
    def producers(self) -> tuple[str, ...]:
        """Whose markers it waits for."""
        return tuple(self._lags)

    @property
    def strangers(self) -> Counter[str]:
        """Per input port, how many values came that no producer of the flow had announced."""
        return Counter({port: channel.strangers for port, channel in self._channels.items()})

    def arrive(self, port: str, value: Value) -> None:
        """A value came in at an input port."""
        channel = self._channels[port]
        channel.arrived.append((fingerprint(value), value))
        channel.match()

    def announce(self, producer: str, data: Sequence[int]) -> None:
        """A marker came from a producer.

        Raises:
            ValueRefusedError: It is not its next marker.
        """
        marker = Marker.decode(data, self._ports[producer])
        if marker.tick != self._done[producer] + 1:
            raise ValueRefusedError(f"marker of tick {marker.tick} after that of {self._done[producer]}")
        self._done[producer] = marker.tick
        if marker.begins_episode:
            self.begin_episode(marker.tick)
        for port, wire in self._wires.items():
            if wire.producer == producer:
                channel = self._channels[port]
                channel.announced.extend((marker.tick, mark) for mark in marker.published[wire.index])
                channel.match()

    def begin_episode(self, tick: int) -> None:
        """No value of an earlier tick is to reach this tick or a later one."""
        self._beginnings.append(tick)

    def open(self) -> Tick | None:
        """The next tick, or None while something of it is still to come."""
        begins = bool(self._beginnings) and self._beginnings[0] == self.tick
        first_tick = self.tick if begins else self._first_tick
        due = {}
        for producer, lag in self._lags.items():
            # Of an earlier episode nothing is due; still nobody may fall behind until queues overflow.
            is_of_episode = self.tick - lag >= first_tick
            due[producer] = self.tick - lag if is_of_episode else -1
            if self._done[producer] < (due[producer] if is_of_episode else self.tick - _LEEWAY_TICKS):
                return None
        if not all(c.is_complete(due[self._wires[port].producer]) for port, c in self._channels.items()):
            return None
        values = {
            port: channel.take(first_tick, due[self._wires[port].producer])
            for port, channel in self._channels.items()
        }
        if begins:
            self._beginnings.popleft()
        self._first_tick = first_tick
        self.tick += 1
        return Tick(self.tick - 1, begins, values)

    def has_all_done(self, tick: int) -> bool:
        """Whether every producer has finished a tick."""
        return all(done >= tick for done in self._done.values())


def make_gate(flow: Flow, node: str) -> Gate:
    """The gate of a module, or of the plant, in its flow."""
    inputs = flow.inputs(node)
    lags = {source.node: flow.latency_ticks(source.node) for source in inputs.values()}
    if node == PLANT:
        # A module that the plant would never hear of could fall behind until its queues overflow.
        unheard = set(flow.modules) - _upstream_of_plant(flow)
        lags = {**dict.fromkeys(sorted(unheard), _LEEWAY_TICKS), **lags}
    else:
        # Everyone keeps the plant's time, or what is behind a slow module would run past an episode's end.
        lags[PLANT] = 0
    order = {producer: list(flow.outputs(producer)) for producer in lags}
    wires = {
        port: Wire(source.node, order[source.node].index(source.port)) for port, source in inputs.items()
    }
    return Gate(wires, lags, {producer: len(ports) for producer, ports in order.items()})


def _upstream_of_plant(flow: Flow) -> set[str]:
    """Modules that the plant's commands depend on, so that it waits for them in any case."""
    found: set[str] = set()
    pending = [PLANT]
    while pending:
        sources = {source.node for source in flow.inputs(pending.pop()).values()} - found - {PLANT}
        found |= sources
        pending += sources
    return found
