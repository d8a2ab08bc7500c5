"""What can be wrong with a driver, as plain data: it stands between what was measured and what leaves."""

from collections import deque
from typing import Any, NamedTuple

__all__ = ["FAULTS", "DriverFault", "Sample"]

FAULTS = {
    "none": "nothing is wrong",
    "stop": "nothing leaves any more",
    "lag": "everything leaves 50 ms later",
    "disorder": "of every two groups the first leaves after the second: five joint states, or one frame",
    "repeat": "every second stamp is that of the sample before",
    "freeze": "stamps stand still",
    "jump_forward": "stamps are 5 s ahead",
    "jump_back": "stamps are 5 s behind",
    "restart": "nothing leaves for 1 s, then stamps count from 0",
}
"""What each of them does."""

_LAG_NS = 50_000_000
_JUMP_NS = 5_000_000_000
_DOWN_NS = 1_000_000_000


class Sample(NamedTuple):
    """One thing that a driver measured.

    Attributes:
        stamp_ns: When, by the system's clock.
        content: What.
    """

    stamp_ns: int
    content: Any


class DriverFault:
    """A driver's way out.

    Args:
        group: How many samples are overtaken at once when they leave out of order.
    """

    def __init__(self, group: int) -> None:
        self._group = group
        self._fault = "none"
        self._since_ns = 0
        self._held: deque[tuple[int, Sample]] = deque()
        """What leaves later, and when."""
        self._count = 0
        self._last_stamp_ns = 0

    def become(self, fault: str, now_ns: int) -> list[Sample]:
        """Have another fault from now on; what leaves now because of that.

        Args:
            fault: One of `FAULTS`.
            now_ns: The system's clock.
        """
        left = [sample for _, sample in self._held]
        self._held.clear()
        self._fault, self._since_ns, self._count = fault, now_ns, 0
        return left

    def out(self, sample: Sample, now_ns: int) -> list[Sample]:
        """What leaves now that this was measured."""
        stamp_ns = self._stamp(sample.stamp_ns)
        self._count += 1
        if stamp_ns is None:
            return []
        if self._fault == "lag":
            self._held.append((now_ns + _LAG_NS, sample))
            return self.overdue(now_ns)
        if self._fault == "disorder":
            return self._overtaken(sample)
        return [Sample(stamp_ns, sample.content)]

    def overdue(self, now_ns: int) -> list[Sample]:
        """What was held back until now."""
        due = []
        while self._fault == "lag" and self._held and self._held[0][0] <= now_ns:
            due.append(self._held.popleft()[1])
        return due

    def _overtaken(self, sample: Sample) -> list[Sample]:
        place = (self._count - 1) % (2 * self._group)
        if place < self._group:
            self._held.append((0, sample))
            return []
        if place < 2 * self._group - 1:
            return [sample]
        late = [held for _, held in self._held]
        self._held.clear()
        return [sample, *late]

    def _stamp(self, stamp_ns: int) -> int | None:
        """The stamp that it leaves with, or None if it does not leave."""
        up_ns = self._since_ns + _DOWN_NS
        stamps = {
            "stop": None,
            "repeat": self._last_stamp_ns if self._count % 2 else stamp_ns,
            "freeze": self._since_ns,
            "jump_forward": stamp_ns + _JUMP_NS,
            "jump_back": stamp_ns - _JUMP_NS,
            "restart": stamp_ns - up_ns if stamp_ns >= up_ns else None,
        }
        self._last_stamp_ns = stamp_ns
        return stamps.get(self._fault, stamp_ns)
