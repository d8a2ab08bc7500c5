"""Fallback: which of several sources an input reads; the consumer decides that by itself.

The flow file gives an input its sources in order: the first is read while it is good. When it falls silent, or
leaves what the consumer was trained under, the next good one is read instead, and when it has been good again for a
while, the first is again. Values that a port does not allow are nobody's: a source that gives no others is silent.
"""

from collections.abc import Mapping

__all__ = ["SEPARATOR", "Fallback", "base_port", "fallback_port"]

SEPARATOR = "~"
"""Between the name of an input port and the number of a further source of it: no flow file can name a port so."""

_BACK_AFTER = 20
"""Good values in a row until a source that was left is read again: a fifth of a second at 100 Hz."""


def fallback_port(port: str, number: int) -> str:
    """Name under which the n-th further source of an input, from 1 on, is connected."""
    return f"{port}{SEPARATOR}{number}"


def base_port(port: str) -> str:
    """The input that a connected port belongs to: itself, unless it is a further source of one."""
    return port.partition(SEPARATOR)[0]


class Fallback:
    """The choice for one input.

    Args:
        silence_ns: Per connected port, in order of preference, after how long it counts as silent; None for never.
    """

    def __init__(self, silence_ns: Mapping[str, int | None]) -> None:
        self._silence_ns = dict(silence_ns)
        self._last_ns = dict.fromkeys(silence_ns, 0)
        self._good = dict.fromkeys(silence_ns, 0)
        self._distrusted: set[str] = set()
        self.chosen = next(iter(silence_ns))
        """The port that is read now."""

    def reset(self, now_ns: int) -> None:
        """An episode begins: nobody has had time to speak. Who was read last is read first."""
        self._last_ns = dict.fromkeys(self._last_ns, now_ns)

    def arrived(self, port: str, now_ns: int) -> bool:
        """A good value came; whether it is to be read."""
        if self._is_silent(port, now_ns):
            self._good[port] = 0
        self._last_ns[port] = now_ns
        self._good[port] += 1
        self._choose(now_ns)
        return port == self.chosen

    def refused(self, port: str) -> None:
        """A value came that its port does not allow."""
        self._good[port] = 0

    def trust(self, port: str, *, is_trusted: bool) -> None:
        """Say whether what comes is as it was in training."""
        if is_trusted:
            self._distrusted.discard(port)
        elif port not in self._distrusted:
            self._distrusted.add(port)
            self._good[port] = 0

    def _choose(self, now_ns: int) -> None:
        ports = list(self._silence_ns)
        # While what is read is good, only one that is preferred takes its place, and has to prove itself first.
        is_good = self._is_good(self.chosen, now_ns)
        others, least = (ports[: ports.index(self.chosen)], _BACK_AFTER) if is_good else (ports, 1)
        found = (port for port in others if self._good[port] >= least and self._is_good(port, now_ns))
        self.chosen = next(found, self.chosen)

    def _is_good(self, port: str, now_ns: int) -> bool:
        return port not in self._distrusted and not self._is_silent(port, now_ns)

    def _is_silent(self, port: str, now_ns: int) -> bool:
        silence_ns = self._silence_ns[port]
        return silence_ns is not None and now_ns - self._last_ns[port] > silence_ns
