"""InjectedFault: the parameter `fault` of a node: what is to go wrong with its outputs, on purpose.

Its value is a fault as JSON, `{"kind": "nan", "at_s": 0.2, "for_s": 0.5}`; flow time counts from when it is set.
Silence is not among them: a process is killed or frozen by a signal, as happens to it in the field.
"""

from pydantic import ValidationError
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from reflexarc.control.module import Outputs
from reflexarc.control.nodes.strike import SIGNALS
from reflexarc.control.redundancy.faults import IS_GUARD, Fault, FaultInjector

__all__ = ["PARAMETER", "InjectedFault"]

PARAMETER = "fault"

_NOT_ACTIVE = "it is not active. Activate it first."


class InjectedFault:
    """What is wrong with one node's outputs.

    Args:
        node: It gets the parameter.
    """

    def __init__(self, node: Node) -> None:
        self._name = node.get_name()
        self._refuses: str | None = _NOT_ACTIVE
        self._wanted: Fault | None = None
        self._injector: FaultInjector | None = None
        node.declare_parameter(PARAMETER, "")
        node.add_on_set_parameters_callback(self._on_set)

    def activate(self, *, is_guard: bool) -> None:
        """From now on a fault may be asked for; not of what keeps the robot safe."""
        self._refuses = IS_GUARD if is_guard else None

    def deactivate(self) -> None:
        """Nothing is wrong any more."""
        self._wanted = self._injector = None
        self._refuses = _NOT_ACTIVE

    def is_active(self, now_ns: int) -> bool:
        """Whether what goes out now may not be what the module gives."""
        return self._injector is not None and self._injector.is_active(now_ns)

    def apply(self, outputs: Outputs, now_ns: int) -> Outputs:
        """What really goes out.

        Args:
            outputs: What the module gives.
            now_ns: Flow time.
        """
        if self._wanted is not None:
            self._injector, self._wanted = FaultInjector(self._wanted, now_ns), None
        return outputs if self._injector is None else self._injector.apply(outputs, now_ns)

    def _on_set(self, parameters: "list[Parameter[str]]") -> SetParametersResult:
        wanted = [parameter.value for parameter in parameters if parameter.name == PARAMETER]
        if not wanted:
            return SetParametersResult(successful=True)
        reason = self._refuses
        if reason is None:
            reason = self._request(str(wanted[0]))
        return SetParametersResult(successful=not reason, reason=f"{self._name}: {reason}" if reason else "")

    def _request(self, text: str) -> str:
        """Take a fault; the reason why not, or nothing."""
        if not text:
            self._wanted = self._injector = None
            return ""
        try:
            fault = Fault.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "fault"
            return f"{where}: {first['msg']}."
        if fault.kind in SIGNALS:
            send = SIGNALS[fault.kind].name
            return f"{fault.kind.value} is done to a process: send {send}, as `reflexarc inject` does."
        self._wanted = fault
        return ""
