"""Watch: whether what arrives at a running module, or leaves it, is like what its reader was trained under."""

from collections import deque
from collections.abc import Mapping

import numpy as np

from reflexarc.control.contracts import Assumption
from reflexarc.control.quantities import image_quantities, position_quantities
from reflexarc.control.values import FloatArray, Image, Odometry, PoseWithCovariance, Value

__all__ = ["InputWatch", "SuccessorWatch"]

_WINDOW = 50
"""Values that are looked back on: one second of a camera."""

_SHARE = 0.2
"""A departure is that more of the window than this lies outside; in training it was 2 in 1000."""


class InputWatch:
    """Watches one input of a running module for a departure from what it was trained under.

    Args:
        assumption: Of the input, from the artifact's manifest.
    """

    def __init__(self, assumption: Assumption) -> None:
        self._assumption = assumption
        self._outside: dict[str, deque[bool]] = {name: deque(maxlen=_WINDOW) for name in assumption.seen}

    def reset(self) -> None:
        """Forget what was seen."""
        for window in self._outside.values():
            window.clear()

    def take(self, value: Value) -> None:
        """Look at a value that arrived."""
        for name, is_outside in _outside(value, self._assumption).items():
            self._outside[name].append(is_outside)

    def departures(self) -> tuple[str, ...]:
        """Quantities that lie outside of their range now, in too many of the last values."""
        return tuple(
            name
            for name, window in self._outside.items()
            if len(window) == _WINDOW and sum(window) > _SHARE * _WINDOW
        )


class SuccessorWatch:
    """Watches whether a module's successor leaves what its readers were trained under, where it does not itself.

    Args:
        readers: Per output port, what each of its readers assumes, by the reader's name.
    """

    def __init__(self, readers: Mapping[str, Mapping[str, Assumption]]) -> None:
        self._readers = readers
        self._only_new: dict[tuple[str, str, str], deque[bool]] = {}

    def take(self, port: str, old: Value, new: Value) -> str | None:
        """Look at what both gave for the same inputs; the reader and quantity that is left, or None."""
        for reader, assumption in self._readers.get(port, {}).items():
            before = _outside(old, assumption)
            for name, is_outside in _outside(new, assumption).items():
                window = self._only_new.setdefault((port, reader, name), deque(maxlen=_WINDOW))
                window.append(is_outside and not before.get(name, False))
                if sum(window) > _SHARE * _WINDOW:
                    return f"{name} is not as {reader} was trained under"
        return None


def _outside(value: Value, assumption: Assumption) -> dict[str, bool]:
    """Per quantity of a value, whether it lies outside of what was seen; empty where nothing is known."""
    found = _quantities(value)
    return {
        name: not low <= float(found[name][0]) <= high
        for name, (low, high) in assumption.seen.items()
        if name in found
    }


def _quantities(value: Value) -> dict[str, FloatArray]:
    if isinstance(value, Image):
        return image_quantities(value.data[None])
    if isinstance(value, PoseWithCovariance | Odometry) and value.is_known:
        covariance = value.covariance if isinstance(value, PoseWithCovariance) else value.pose_covariance
        sigma = np.sqrt(np.maximum(np.diagonal(covariance)[:3], 0.0))
        velocity = value.linear_velocity[None] if isinstance(value, Odometry) else None
        return position_quantities(value.position[None], sigma[None], velocity)
    return {}
