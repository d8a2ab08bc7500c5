"""Contract: on every edge, what the producer guarantees and what the consumer assumes.

A guarantee is measured on held-out episodes; an assumption is the envelope that its consumer was trained
under. Figures (bias, error, drop-out) need the truth and are compared before a module is promoted.
Quantities (brightness, covariance, place) need no truth: a running node watches them on its inputs (`watch`).
"""

import math
from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Assumption", "Violation", "compare"]


class Assumption(BaseModel):
    """What a consumer was trained under, for one of its inputs.

    Args:
        bounds: Per figure, the greatest value that is still covered.
        seen: Per quantity, the range that was seen.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bounds: dict[str, float] = Field(default_factory=dict)
    seen: dict[str, tuple[float, float]] = Field(default_factory=dict)


class Violation(BaseModel):
    """A guarantee that lies outside of what a consumer assumes.

    Args:
        producer: Name of the module, and its output port: `perception.detection`.
        consumer: Name of the module that is not covered, and its input port.
        figure: Which figure.
        value: What is guaranteed; None where the producer guarantees nothing of it.
        bound: What is assumed.
    """

    model_config = ConfigDict(frozen=True)

    producer: str
    consumer: str
    figure: str
    value: float | None
    bound: float

    def __str__(self) -> str:
        found = "nothing is guaranteed" if self.value is None else f"{self.value:.4g} is guaranteed"
        return f"{self.producer} -> {self.consumer}: {self.figure}: {found}, {self.bound:.4g} is assumed"


def compare(
    producer: str, guarantee: Mapping[str, float], consumer: str, assumption: Assumption
) -> list[Violation]:
    """Where a guarantee does not lie inside an assumption.

    Args:
        producer: `module.port`, to be named in the violations.
        guarantee: Its figures.
        consumer: `module.port`.
        assumption: What it was trained under.
    """
    return [
        Violation(
            producer=producer, consumer=consumer, figure=figure, value=guarantee.get(figure), bound=bound
        )
        for figure, bound in assumption.bounds.items()
        # NaN is no guarantee, so the comparison is written to fail with it.
        if not guarantee.get(figure, math.inf) <= bound
    ]
