"""Stop: what people stop a robot by: an emergency stop that latches, and a dead-man's switch that must be held.

It only says whether the robot is to stand still, and why; the guard sees to it.
"""

__all__ = ["DEAD_MAN", "EMERGENCY", "EMERGENCY_STOP", "NOT_ACTIVATED", "Stop"]

EMERGENCY_STOP = "emergency_stop"
"""Name of its topic, and of the guard's service."""

EMERGENCY = "emergency stop"
DEAD_MAN = "dead-man's switch not held"
NOT_ACTIVATED = "not activated"
"""What a guard's report says of its commands before somebody activates it."""


class Stop:
    """Whether people want the robot to stand still.

    Args:
        dead_man_timeout_s: So long a report that the switch is held counts; None where there is no switch.
    """

    def __init__(self, dead_man_timeout_s: float | None = None) -> None:
        self._timeout_ns = None if dead_man_timeout_s is None else round(dead_man_timeout_s * 1e9)
        self._held_at_ns: int | None = None
        self._is_pressed = False

    def press(self) -> None:
        """Stop, until `release`."""
        self._is_pressed = True

    def release(self) -> None:
        """The emergency is over."""
        self._is_pressed = False

    def report_dead_man(self, is_held: bool, now_ns: int) -> None:
        """The switch says whether it is held.

        Args:
            is_held: Whether it is.
            now_ns: A clock that never jumps.
        """
        self._held_at_ns = now_ns if is_held else None

    def reason(self, now_ns: int) -> str | None:
        """Why the robot is to stand still, or None.

        Args:
            now_ns: The clock of `report_dead_man`.
        """
        if self._is_pressed:
            return EMERGENCY
        if self._timeout_ns is None:
            return None
        is_held = self._held_at_ns is not None and now_ns - self._held_at_ns <= self._timeout_ns
        return None if is_held else DEAD_MAN
