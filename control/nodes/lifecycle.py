"""Lifecycle: the launcher's ear and voice in the flow: transitions of the nodes, and what they report.

The launcher uses ROS 2 for this alone; no value of the flow passes through it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rclpy.signals import SignalHandlerOptions

from reflexarc.control.nodes.access import LAUNCHER
from reflexarc.control.nodes.closed import require_closed
from reflexarc.control.nodes.messages import from_message
from reflexarc.control.nodes.process import make_client_node, make_executor
from reflexarc.control.values import Diagnostic, Diagnostics

__all__ = ["TRANSITIONS", "LifecycleClient"]

TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}

_POLL_S = 0.02


class LifecycleClient:
    """Speaks with the lifecycle nodes of one flow, in a ROS 2 context of its own.

    Args:
        nodes: Names of the nodes.
        domain_id: ROS domain, or None for that of the environment.
        on_health: Called with every health report that arrives.
        namespace: That of the nodes.
    """

    def __init__(
        self,
        nodes: Sequence[str],
        domain_id: int | None = None,
        on_health: Callable[[Diagnostic], None] = lambda report: None,
        namespace: str = "",
    ) -> None:
        self._context = rclpy.Context()
        rclpy.init(
            args=[],
            context=self._context,
            domain_id=domain_id,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self._node = make_client_node(LAUNCHER, self._context, namespace)
        require_closed(LAUNCHER)
        self._executor = make_executor(self._context)
        self._executor.add_node(self._node)
        self._clients: dict[str, Any] = {
            name: self._node.create_client(ChangeState, f"{name}/change_state") for name in nodes
        }
        self._state_clients: dict[str, Any] = {
            name: self._node.create_client(GetState, f"{name}/get_state") for name in nodes
        }
        self._on_health = on_health
        self._node.create_subscription(DiagnosticArray, "diagnostics", self._take_health, 50)

    def spin(self, seconds: float) -> None:
        """Handle what arrives within this time."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._executor.spin_once(timeout_sec=left)

    def is_up(self, name: str) -> bool:
        """Whether a node can be asked for a transition."""
        return bool(self._clients[name].service_is_ready())

    def state(self, name: str, timeout_s: float) -> str | None:
        """State of a node, as `active`; None where no answer came."""
        response = self._answer(self._state_clients[name].call_async(GetState.Request()), timeout_s)
        return None if response is None else str(response.current_state.label)

    def change(self, name: str, transition: str, timeout_s: float, check: Callable[[], None]) -> bool | None:
        """Ask a node for a transition.

        Args:
            name: The node.
            transition: One of `TRANSITIONS`.
            timeout_s: How long to wait for the answer.
            check: Called again and again meanwhile; may raise.

        Returns:
            Whether it succeeded; None where no answer came (some versions of ROS 2 leave an illegal
            transition without one).
        """
        future = self._clients[name].call_async(
            ChangeState.Request(transition=Transition(id=TRANSITIONS[transition]))
        )
        response = self._answer(future, timeout_s, check)
        return None if response is None else bool(response.success)

    def close(self) -> None:
        """Leave ROS 2."""
        self._executor.shutdown()
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)

    def _answer(self, future: Any, timeout_s: float, check: Callable[[], None] = lambda: None) -> Any:
        until = time.monotonic() + timeout_s
        while not future.done():
            if time.monotonic() > until:
                return None
            check()
            self._executor.spin_once(timeout_sec=_POLL_S)
        return future.result()

    def _take_health(self, message: DiagnosticArray) -> None:
        report = from_message(message)
        if isinstance(report, Diagnostics):
            for entry in report.entries:
                self._on_health(entry)
