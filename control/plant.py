"""What closes the loop, as the runtimes see it: a twin here, a robot's drivers elsewhere.

A tick `k` at time `t_k` is: `accept` the commands that are due, `sense`, let the modules work, `advance` to
`t_(k+1)`. A command that was computed from what was sensed at `t_k` is therefore accepted at `t_(k+1)` at the
earliest: a flow's latency of one tick is the least that a real machine can have.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from reflexarc.control.values import Value

__all__ = ["Plant"]


class Plant(Protocol):
    """A machine that is simulated or stood in for, on the ports that the flow file gives its plant."""

    @property
    def tick_ns(self) -> int:
        """Length of a tick, in ns."""

    @property
    def is_over(self) -> bool:
        """Whether the episode has ended."""

    def reset(self, seed: int, now_ns: int) -> None:
        """Start the episode that `seed` alone decides; its first tick is at `now_ns`, flow time."""

    def sense(self) -> Sequence[tuple[str, Value]]:
        """What leaves the sensors at this tick: (output port, value), in order of publication."""

    def accept(self, port: str, value: Value) -> None:
        """Take a command, to act from this tick until another one is accepted."""

    def advance(self) -> None:
        """Let one tick pass."""

    def score(self) -> Mapping[str, float]:
        """What the episode came to, by name."""

    def trajectory_digest(self) -> str:
        """sha256 (hex) over all accepted commands and all states since construction."""
