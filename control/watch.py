"""Watch: whether what arrives at a running module is like what it was trained under."""

from collections import deque

import numpy as np

from reflexarc.control.contracts import Assumption
from reflexarc.control.quantities import image_quantities, position_quantities
from reflexarc.control.values import FloatArray, Image, Odometry, PoseWithCovariance, Value

__all__ = ["InputWatch"]

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
        self._seen = assumption.seen
        self._outside: dict[str, deque[bool]] = {name: deque(maxlen=_WINDOW) for name in assumption.seen}

    def reset(self) -> None:
        """Forget what was seen."""
        for window in self._outside.values():
            window.clear()

    def take(self, value: Value) -> None:
        """Look at a value that arrived."""
        for name, found in _quantities(value).items():
            if name in self._seen:
                low, high = self._seen[name]
                self._outside[name].append(not low <= float(found[0]) <= high)

    def departures(self) -> tuple[str, ...]:
        """Quantities that lie outside of their range now, in too many of the last values."""
        return tuple(
            name
            for name, window in self._outside.items()
            if len(window) == _WINDOW and sum(window) > _SHARE * _WINDOW
        )


def _quantities(value: Value) -> dict[str, FloatArray]:
    if isinstance(value, Image):
        return image_quantities(value.data[None])
    if isinstance(value, PoseWithCovariance | Odometry) and value.is_known:
        covariance = value.covariance if isinstance(value, PoseWithCovariance) else value.pose_covariance
        sigma = np.sqrt(np.maximum(np.diagonal(covariance)[:3], 0.0))
        velocity = value.linear_velocity[None] if isinstance(value, Odometry) else None
        return position_quantities(value.position[None], sigma[None], velocity)
    return {}
