"""Drives: what the joints make of velocity commands, and which commands nobody should have sent."""

import numpy as np

from reflexarc.control.values import FloatArray
from reflexarc.envs.robot import ACCELERATION_LIMIT, JOINT_NAMES, VELOCITY_LIMIT
from reflexarc.envs.task import TICK_S

__all__ = ["Drives"]

_TOLERANCE = 1e-6
"""By this a command may exceed a limit before it counts as unsafe: the rounding of one addition."""

_LATE_PERIODS = 2
"""A guard's usual deadline, 20 ms."""

_WATCHDOG_PERIODS = 5
"""After so long without a command the drives come to a stop by themselves, as those of a UR5e do: its controller ends
a motion whose commands stay away (Universal Robots, script manual, `read_timeout` of the reverse interface)."""


class Drives:
    """The joints' drives behind a forward command controller.

    The last command acts until another is taken; before the first one the joints stand still. A command that no
    driver would take (wrong length, not finite) stops the joints; it and any command beyond the limits count
    as unsafe.

    Args:
        period_ticks: Ticks from one command to the next, as whoever commands reckons with.
        jitter_ticks: By so many ticks a command may come before its time from the start on, since the first one
            may have been that late. In ticks as long as the period there is no before.
        late_periods: So late a command may come without its successor counting as unsafe.
    """

    def __init__(
        self, period_ticks: int = 1, jitter_ticks: int = 0, late_periods: int = _LATE_PERIODS
    ) -> None:
        self._late_ticks = late_periods * period_ticks
        self._period_ticks = period_ticks
        self._per_tick = ACCELERATION_LIMIT * (TICK_S / period_ticks)
        self._jitter_ticks = jitter_ticks
        self.reset()

    def reset(self) -> None:
        """The joints stand still and nothing was commanded yet."""
        self._command: FloatArray = np.zeros(len(JOINT_NAMES))
        self._fresh: FloatArray | None = None
        self._sent_at: int | None = None
        self._followed_at = -self._period_ticks
        self._left_over: FloatArray = np.full(len(JOINT_NAMES), self._per_tick * self._jitter_ticks)
        """By how much of its change, in rad/s, the last command was late."""
        self.unsafe = 0
        """Unsafe commands since then."""

    def take(self, command: FloatArray, sent_at: int | None = None) -> None:
        """Take a command, to act from the next tick until another one is taken.

        Args:
            command: rad/s; anything, as it came.
            sent_at: In which tick it was sent, where that is known; whether it is unsafe is then judged by that.
        """
        if command.shape == self._command.shape and np.isfinite(command).all():
            self._fresh, self._sent_at = np.array(command, dtype=np.float64), sent_at
            return
        self.unsafe += 1
        self._fresh = None
        self._command = np.zeros_like(self._command)

    def follow(self, tick: int) -> FloatArray:
        """What the drives follow in this tick, rad/s; counts the newest command if the joints cannot follow it.

        They can if it differs from the last by no more than the acceleration limit allows in the time
        between the two: a command that was lost on the way is not the next one's fault. Nor is one that was
        late: it leaves the next less time than the guard had reckoned with, so what it did not use of its
        own time is the next one's. The drives never follow faster than the limit, whatever they are told.
        """
        if self._fresh is None:
            if tick - self._followed_at > _WATCHDOG_PERIODS * self._period_ticks:
                slower = np.maximum(np.abs(self._command) - self._per_tick, 0.0)
                self._command = np.sign(self._command) * slower
            return self._command
        came_at = tick if self._sent_at is None else self._sent_at
        passed = came_at - self._followed_at
        change = np.abs(self._fresh - self._command)
        reach = self._per_tick * passed + self._left_over
        if (np.abs(self._fresh) > VELOCITY_LIMIT + _TOLERANCE).any() or (change > reach + _TOLERANCE).any():
            self.unsafe += 1
        late = np.clip(
            self._left_over + self._per_tick * (passed - self._period_ticks),
            0.0,
            self._per_tick * self._late_ticks,
        )
        self._left_over = np.clip(reach - change, 0.0, late)
        self._command, self._fresh = self._fresh, None
        self._followed_at = came_at
        return self._command
