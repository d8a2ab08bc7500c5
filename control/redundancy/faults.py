"""Faults: what can go wrong with a module's outputs, on purpose, so that it can be seen what the rest makes of it."""

from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from reflexarc.control.redundancy.fault_kind import FaultKind
from reflexarc.control.values import (
    Float64Array,
    FloatArray,
    JointTrajectory,
    Odometry,
    PoseWithCovariance,
    Value,
)

__all__ = ["IS_GUARD", "Fault", "FaultInjector"]

IS_GUARD = "it is what keeps the robot safe. Faults are injected before it."
"""Why a guard is never hit."""


_MAGNITUDE: Mapping[FaultKind, float] = {
    FaultKind.DELAY: 0.05,
    FaultKind.DROP: 0.5,
    FaultKind.BIAS: 0.2,
    FaultKind.NOISE: 0.2,
    FaultKind.CORRUPT: 0.01,
}
"""Defaults: delay in s, share that is dropped, bias and standard deviation in the payload's unit, share of bits."""

_SILENT = (FaultKind.KILL, FaultKind.FREEZE)


class Fault(BaseModel):
    """One fault.

    Args:
        kind: What goes wrong.
        at_s: When it begins, flow time since the injector was made or reset.
        for_s: How long it lasts.
        magnitude: How bad it is, see `FaultKind`; None for the kind's default.
        seed: Decides what is random in it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: FaultKind
    at_s: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    for_s: float = Field(default=0.5, gt=0, allow_inf_nan=False)
    magnitude: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0)


class FaultInjector:
    """Changes a module's outputs while a fault lasts, and leaves them alone before and after.

    Args:
        fault: The fault.
        begin_ns: Flow time from which `at_s` counts.
    """

    def __init__(self, fault: Fault, begin_ns: int) -> None:
        self._kind = fault.kind
        self._from_ns = begin_ns + round(fault.at_s * 1e9)
        self._to_ns = self._from_ns + round(fault.for_s * 1e9)
        self._magnitude = _MAGNITUDE.get(fault.kind, 0.0) if fault.magnitude is None else fault.magnitude
        self._rng = np.random.default_rng(fault.seed)
        self._held: deque[tuple[int, Mapping[str, Value]]] = deque()
        self._last: dict[str, Value] = {}

    def is_active(self, now_ns: int) -> bool:
        """Whether the fault lasts."""
        return self._from_ns <= now_ns < self._to_ns

    def forgets(self, now_ns: int) -> bool:
        """Whether the module is to be reset before this step: it was killed and has been started again."""
        return self._kind is FaultKind.KILL and self._from_ns < now_ns and not self.is_active(now_ns)

    def apply(self, outputs: Mapping[str, Value], now_ns: int) -> Mapping[str, Value]:
        """What really goes out.

        Args:
            outputs: What the module gives.
            now_ns: Flow time.
        """
        if not self.is_active(now_ns):
            self._last.update(outputs)
            return outputs
        if self._kind in _SILENT:
            return {}
        if self._kind is FaultKind.DROP:
            return {} if self._rng.random() < self._magnitude else outputs
        if self._kind is FaultKind.DELAY:
            self._held.append((now_ns + round(self._magnitude * 1e9), outputs))
            return self._held.popleft()[1] if self._held[0][0] <= now_ns else {}
        return {port: self._changed(port, value) for port, value in outputs.items()}

    def _changed(self, port: str, value: Value) -> Value:
        fields: dict[str, Any] = {name: self._payload(array) for name, array in _payload(value).items()}
        if self._kind is FaultKind.STUCK and type(self._last.get(port)) is type(value):
            fields = _payload(self._last[port], whole=True)
        changed: Value = replace(value, **fields)
        return changed

    def _payload(self, array: FloatArray) -> FloatArray:
        match self._kind:
            case FaultKind.NAN:
                return np.full_like(array, np.nan)
            case FaultKind.BIAS:
                return array + self._magnitude
            case FaultKind.NOISE:
                return array + self._magnitude * self._rng.standard_normal(array.shape)
            case FaultKind.FLIP:
                return -array
            case FaultKind.CORRUPT:
                flips = self._rng.random((*array.shape, 64)) < self._magnitude
                mask = np.packbits(flips, axis=-1).view(np.uint64)[..., 0]
                return (np.ascontiguousarray(array).view(np.uint64) ^ mask).view(np.float64)
        return array


def _payload(value: Value, *, whole: bool = False) -> dict[str, Any]:
    """The numbers of a value that a fault touches, by field; with all that says how well they are known if `whole`."""
    if isinstance(value, Odometry):
        names = ["position", "linear_velocity"] + (["pose_covariance", "twist_covariance"] if whole else [])
    elif isinstance(value, PoseWithCovariance):
        names = ["position"] + (["covariance"] if whole else [])
    elif isinstance(value, JointTrajectory):
        names = ["velocities"]
    elif isinstance(value, Float64Array):
        names = ["data"]
    else:
        names = []
    return {name: getattr(value, name) for name in names}
