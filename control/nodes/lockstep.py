"""Lock step over a network: which values belong to which tick, whatever order they arrive in.

A conservative distributed simulation (Chandy and Misra, Asynchronous distributed simulation via a sequence
of parallel computations, CACM 24(4), 1981). On every tick each node ends with a marker, the null message
of that scheme: 'tick k is done, and this is what I published in it'. A node works on tick k when it
has the marker of tick k - L of every producer, L being the producer's declared latency, and every value that
those markers announce. So the steps, and with them the trajectory, are those of `LocalRuntime`, bit for bit,
while nodes whose latency allows it work side by side.

A marker names each value by a fingerprint. That tells the values of the flow's own producer from those of
any stranger who publishes on the same topic: in lock step such a value is refused.

Pure logic, no ROS: `module_node` and `twin_node` put messages in and ask whether to work.
"""

import zlib
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from reflexarc.control.errors import ValueRefusedError
from reflexarc.control.values import Value

__all__ = ["Gate", "Marker", "Wire", "fingerprint", "marker_topic"]


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
    """What a node says when it is done with a tick.

    Args:
        tick: Which tick, counted since the flow came up.
        published: Per output port, in the flow's order of ports, the fingerprints of what was published.
    """

    tick: int
    published: tuple[tuple[int, ...], ...]

    def encode(self) -> list[int]:
        """As plain integers: the tick, then for each port a count and that many fingerprints."""
        return [self.tick, *(number for port in self.published for number in (len(port), *port))]

    @staticmethod
    def decode(data: Sequence[int], ports: int) -> "Marker":
        """The marker of a node with this many output ports.

        Raises:
            ValueRefusedError: The numbers are not such a marker.
        """
        published = []
        position = 1
        for _ in range(ports):
            count = data[position] if position < len(data) else -1
            if not 0 <= count < len(data) - position:
                raise ValueRefusedError(f"{len(data)} numbers are no marker of {ports} ports")
            published.append(tuple(data[position + 1 : position + 1 + count]))
            position += 1 + count
        if position != len(data):
            raise ValueRefusedError(f"{len(data)} numbers are no marker of {ports} ports")
        return Marker(data[0], tuple(published))


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
        self._first_tick = 0
        self.tick = 0
        """The tick to work on next."""

    @property
    def strangers(self) -> Counter[str]:
        """Per input port, how many values came that no producer of the flow had announced."""
        return Counter(
            {port: channel.strangers for port, channel in self._channels.items() if channel.strangers}
        )

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
        for port, wire in self._wires.items():
            if wire.producer == producer:
                channel = self._channels[port]
                channel.announced.extend((marker.tick, mark) for mark in marker.published[wire.index])
                channel.match()

    def open(self) -> dict[str, tuple[Value, ...]] | None:
        """The values of the next tick per input port, oldest first; None while some are still to come."""
        if any(self._done[producer] < self._due(producer) for producer in self._lags):
            return None
        if not all(c.is_complete(self._due(self._wires[p].producer)) for p, c in self._channels.items()):
            return None
        values = {
            port: channel.take(self._first_tick, self._due(self._wires[port].producer))
            for port, channel in self._channels.items()
        }
        self.tick += 1
        return values

    def has_all_done(self, tick: int) -> bool:
        """Whether every producer has finished a tick."""
        return all(done >= tick for done in self._done.values())

    def start_episode(self) -> None:
        """Begin anew with the next tick: no value of an earlier tick reaches it."""
        self._first_tick = self.tick

    def _due(self, producer: str) -> int:
        """The newest tick of a producer that the next tick needs; -1 where it needs none of this episode."""
        due = self.tick - self._lags[producer]
        return due if due >= self._first_tick else -1
