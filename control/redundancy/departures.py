"""Departures: which differences last long enough to be told, and when they are over."""

from collections.abc import Sequence

from reflexarc.control.redundancy.voter import Departure, Member

__all__ = ["DepartureLog"]


class DepartureLog:
    """Tells a departure once, when it has lasted for some stamps, and again only after it has healed.

    Args:
        report_after: Stamps in a row with a departure until it is told.
        heal_after: Stamps in a row without it until it is over.
    """

    def __init__(self, report_after: int, heal_after: int) -> None:
        self._report_after, self._heal_after = report_after, heal_after
        self.open: dict[Member, str] = {}
        """Who departs now, and what is said of it."""
        self.reset()

    def reset(self) -> None:
        """Nobody departs."""
        self._bad: dict[Member, int] = {}
        self._good: dict[Member, int] = {}
        self.open.clear()

    def take(self, departures: Sequence[Departure]) -> list[str]:
        """Look at one vote; what is new to be told, as `member: what`."""
        now = {departure.member: departure for departure in departures}
        told = []
        for member, departure in now.items():
            self._bad[member] = self._bad.get(member, 0) + 1
            self._good.pop(member, None)
            if self._bad[member] >= self._report_after and member not in self.open:
                self.open[member] = _said(departure)
                told.append(f"{member}: {self.open[member]}")
        for member in [member for member in self._bad if member not in now]:
            self._good[member] = self._good.get(member, 0) + 1
            if member not in self.open or self._good[member] >= self._heal_after:
                del self._bad[member], self._good[member]
                self.open.pop(member, None)
        return told


def _said(departure: Departure) -> str:
    if not departure.is_attributed:
        return "differs, and nobody knows who is wrong"
    return f"fault: {departure.reason}" if departure.member.replica else "use case"
