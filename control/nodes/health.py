"""Health: what a node counts about itself, and the line that it publishes of it once per second.

Everything that is bad in a running flow ends here: a value that was refused, a step that the deadline had
to cause, an edge that fell silent. It is counted under its reason and published, never raised.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from reflexarc.control.values import Diagnostic, Diagnostics

__all__ = ["HEALED", "NO_DRIVER", "PERIOD_S", "Edge", "Health"]

HEALED = "healed"
"""What is said of a finding that is over."""

NO_DRIVER = "no driver"
"""Figure of a report: the ports at whose other end no driver of the robot is."""

PERIOD_S = 1.0
"""Wall time between two reports, the rate that `diagnostic_aggregator` expects."""

_OK, _WARNING, _ERROR = 0, 1, 2  # diagnostic_msgs/DiagnosticStatus

_KEPT = 2000
"""Step times of one report: more than a period holds at 1 kHz."""


class Edge:
    """One input as its consumer sees it: does its producer live, does it speak in time?

    Only a silence within an episode is a fault. Before the first value and between episodes the plant
    pauses, so a silence counts once a value has ended it, or while it lasts.
    """

    def __init__(self) -> None:
        self.missed_deadlines = 0
        self.lost_producers = 0
        self._missed_now = 0
        self._is_expected = False
        self._arrived_at = 0.0

    @property
    def is_silent(self) -> bool:
        """Whether it should speak, and does not."""
        return self._missed_now > 0

    def arrived(self) -> None:
        """A value came."""
        self._is_expected = True
        self._arrived_at = time.monotonic()
        self.missed_deadlines += self._missed_now
        self._missed_now = 0

    def missed(self, count: int = 1) -> None:
        """The time that the stream's deadline allows passed without a value."""
        if self._is_expected:
            self._missed_now += count

    def watch(self, limit_s: float) -> None:
        """Look for silence where the middleware does not: at a driver that offers no deadline."""
        if time.monotonic() - self._arrived_at > limit_s:
            self.missed()

    def lost(self, count: int) -> None:
        """Producers that were alive are no more."""
        if self._is_expected:
            self.lost_producers += count

    def pause(self) -> None:
        """An episode ended: silence is no fault until the next value."""
        self._is_expected = False
        self._missed_now = 0


class Health:
    """Counts of one node.

    Args:
        node: Its name.
        inputs: Its input ports.
    """

    def __init__(self, node: str, inputs: Iterable[str]) -> None:
        self._node = node
        self.edges = {port: Edge() for port in inputs}
        self._step_ms: deque[float] = deque(maxlen=_KEPT)
        self._steps = 0
        self._reported_steps = 0
        self._reported_at = time.monotonic()
        self._reported_faults: Counter[str] = Counter()
        self._reported_findings: Mapping[str, str] = {}

    def stepped(self, duration_ns: int) -> None:
        """A step was done, from complete trigger to published outputs."""
        self._steps += 1
        self._step_ms.append(duration_ns * 1e-6)

    def pause(self) -> None:
        """An episode ended."""
        for edge in self.edges.values():
            edge.pause()

    def faults(self, refused: Mapping[str, int], late_steps: int) -> Counter[str]:
        """All counts since the node was configured, under their reasons.

        Args:
            refused: Count of refused values, by `port: reason`.
            late_steps: Steps that the deadline caused.
        """
        counts = Counter(dict(refused))
        for port, edge in self.edges.items():
            counts[f"{port}: deadline missed"] += edge.missed_deadlines
            counts[f"{port}: producer lost"] += edge.lost_producers
        counts["stepped by deadline"] += late_steps
        return +counts

    def report(
        self,
        stamp_ns: int,
        faults: Counter[str],
        figures: Mapping[str, str],
        findings: Mapping[str, str] = MappingProxyType({}),
        absent: Sequence[str] = (),
    ) -> Diagnostics:
        """The line to publish now, and one for each finding; it starts the next period.

        Args:
            stamp_ns: Time of publication.
            faults: What `faults` gives.
            figures: More to publish, name to text.
            findings: What is wrong with others, name to what; one that is over is told once as healed.
            absent: Ports at whose other end a driver should be.
        """
        now = time.monotonic()
        rate = (self._steps - self._reported_steps) / max(now - self._reported_at, 1e-9)
        p50, p99 = np.percentile(self._step_ms, [50, 99]) if self._step_ms else (0.0, 0.0)
        new = faults - self._reported_faults
        silent = [port for port, edge in self.edges.items() if edge.is_silent]
        level = _ERROR if silent or absent else _WARNING if new else _OK
        message = f"silent: {', '.join(silent)}" if silent else ", ".join(new) or "ok"
        if absent:
            message = f"{NO_DRIVER}: {', '.join(absent)}"
        self._reported_steps, self._reported_at, self._reported_faults = self._steps, now, faults
        self._step_ms.clear()
        values = {
            "rate_hz": f"{rate:.1f}",
            "step_p50_ms": f"{p50:.3f}",
            "step_p99_ms": f"{p99:.3f}",
            **figures,
            **({NO_DRIVER: ", ".join(absent)} if absent else {}),
            **{reason: str(count) for reason, count in sorted(faults.items())},
        }
        entry = Diagnostic(name=self._node, level=level, message=message, figures=tuple(values.items()))
        told = {**dict.fromkeys(self._reported_findings, HEALED), **findings}
        self._reported_findings = dict(findings)
        others = tuple(
            Diagnostic(name=f"{self._node}/{name}", level=_OK if what == HEALED else _ERROR, message=what)
            for name, what in told.items()
        )
        return Diagnostics(stamp_ns=stamp_ns, entries=(entry, *others))
