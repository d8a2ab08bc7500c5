"""Module: one network, or one classical algorithm, behind ports.

A module is a plain object over values. It knows no ROS, no thread and no wall clock, so what was trained
and evaluated in one process is, line for line, what runs in a node.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from reflexarc.control.artifacts.artifact import Artifact
from reflexarc.control.ports import Port, PortNeed
from reflexarc.control.values import Value

__all__ = ["Inputs", "Module", "Outputs"]

Inputs = Mapping[str, tuple[Value, ...]]
"""Per input port, the values that arrived since the last step, oldest first; empty where none did."""

Outputs = Mapping[str, Value]
"""Per output port, the value to publish; a port that is left out publishes nothing this time."""


class Module(ABC):
    """What every module of a flow does.

    Class attributes:
        input_needs: What the code expects of each input port.
        output_needs: What it makes of each output port.
        needs_artifact: Whether it is trained.

    Args:
        parameters: The module's `parameters` of the flow file.
        outputs: The output ports as the flow declares them (frame, shape, rate).
        artifact: The trained artifact, or None for a classical module.
    """

    input_needs: ClassVar[Mapping[str, PortNeed]]
    output_needs: ClassVar[Mapping[str, PortNeed]]
    needs_artifact: ClassVar[bool] = True

    @classmethod
    def needs(
        cls, parameters: Mapping[str, Any], outputs: Mapping[str, Port]
    ) -> tuple[Mapping[str, PortNeed], Mapping[str, PortNeed]]:
        """What it expects of its inputs and makes of its outputs, as one place in a flow declares it.

        Args:
            parameters: The module's `parameters` of the flow file.
            outputs: Its output ports.

        Raises:
            ValueRefusedError: A parameter cannot be right.
        """
        return cls.input_needs, cls.output_needs

    @abstractmethod
    def __init__(
        self, parameters: Mapping[str, Any], outputs: Mapping[str, Port], artifact: Artifact | None
    ) -> None: ...

    @property
    def rejections(self) -> Counter[str]:
        """Count per reason of the values that the module itself refused since it was made."""
        if not hasattr(self, "_rejections"):
            self._rejections: Counter[str] = Counter()
        return self._rejections

    @property
    def findings(self) -> Mapping[str, str]:
        """What is wrong now with those whose values it reads, as name to what; a voter's job."""
        return {}

    @abstractmethod
    def reset(self) -> None:
        """Forget everything that was seen: the state before the first step."""

    @abstractmethod
    def step(self, inputs: Inputs, now_ns: int) -> Outputs:
        """Outputs for the inputs that arrived since the last step.

        Args:
            inputs: New values per input port, already checked against their ports.
            now_ns: The flow's time, in ns.

        Returns:
            The values to publish now.
        """
