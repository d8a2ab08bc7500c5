"""ModuleClient: asks something of a module of a running flow, and follows what becomes of it.

It sets the node's parameters, as `ros2 param set` would, and reads the health reports of all nodes.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.srv import SetParameters
from rclpy.executors import Executor
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import Trigger

from reflexarc.control.errors import ArtifactError, RuntimeUnavailableError
from reflexarc.control.nodes.artifact_swap import PARAMETER
from reflexarc.control.nodes.closed import require_closed
from reflexarc.control.nodes.messages import from_message
from reflexarc.control.nodes.process import make_client_node, make_executor
from reflexarc.control.succession import Phase
from reflexarc.control.values import Diagnostic, Diagnostics

__all__ = ["ModuleClient", "guest"]

_POLL_S = 0.05
_ANSWER_WITHIN_S = 10.0
"""Discovery takes 0.1 s mostly and a health report one more; the rest is for a loaded machine."""


@contextmanager
def guest(
    name: str, namespace: str = "", make: Callable[[rclpy.Context], Executor] = make_executor
) -> Iterator[tuple[Node, Executor]]:
    """A node in a ROS 2 context of its own, in the domain of the environment, and what spins it.

    Args:
        name: Name of the node.
        namespace: That of the nodes that it is to speak with.
        make: Makes the executor.

    Raises:
        SecurityError: The environment is that of a secured flow, and the transport came up open.
    """
    context = rclpy.Context()
    rclpy.init(args=[], context=context, signal_handler_options=SignalHandlerOptions.NO)
    node = make_client_node(name, context, namespace)
    executor = make(context)
    executor.add_node(node)
    try:
        require_closed(name)
        yield node, executor
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.shutdown(context=context)


class ModuleClient:
    """Speaks with the module nodes of a flow.

    Args:
        node: A node in the flow's domain.
        executor: What spins it.
        check: Called again and again while something is waited for; may raise.
        on_line: Called with every line of every health report.
    """

    def __init__(
        self,
        node: Node,
        executor: Executor,
        check: Callable[[], None] = lambda: None,
        on_line: Callable[[Diagnostic], None] = lambda line: None,
    ) -> None:
        self._node = node
        self._executor = executor
        self._check = check
        self._on_line = on_line
        self._clients: dict[str, Any] = {}
        self._reports: dict[str, deque[dict[str, str]]] = defaultdict(lambda: deque(maxlen=100))
        node.create_subscription(DiagnosticArray, "diagnostics", self._take, 50)

    def figures(self, module: str) -> dict[str, str]:
        """The figures of a module's newest health report.

        Raises:
            RuntimeUnavailableError: None comes.
        """
        self._wait(lambda: bool(self._reports[module]), f"{module} sends no health report")
        return self._reports[module][-1]

    def swap(self, module: str, digest: str, on_phase: Callable[[str], None] = lambda phase: None) -> None:
        """Have a module run another artifact, and wait until the swap is over.

        Args:
            module: Name of the module.
            digest: Digest of the artifact, or enough of its first digits.
            on_phase: Called with `loading`, `warming`, `watching` and `done`, or with `already runs` alone.

        Raises:
            ArtifactError: The node has refused it or rolled it back; the message gives its reason.
            RuntimeUnavailableError: The node does not answer, or falls silent.
        """
        before = self.figures(module)
        if before.get(PARAMETER, "").startswith(digest):
            on_phase("already runs")
            return
        self._reports[module].clear()
        if refused := self.set_parameter(module, PARAMETER, digest):
            raise ArtifactError(refused)
        last = ""
        while last != Phase.DONE.value:
            # A swap takes flow time, which passes slowly on a busy machine and not at all between episodes; so it may
            # last as long as the node reports.
            self._wait(lambda: bool(self._reports[module]), f"{module} sends no health report")
            figures = self._reports[module].popleft()
            if figures["swaps"] != before["swaps"] and figures["swap"] != last:
                last = figures["swap"]
                if last.startswith((Phase.REFUSED.value, Phase.ROLLED_BACK.value)):
                    raise ArtifactError(f"{module}: swap to {digest[:12]} {last}")
                on_phase(last)
        self._reports[module].append(figures)

    def set_parameter(self, module: str, name: str, value: str) -> str:
        """Set a parameter of a module's node.

        Returns:
            Why the node refuses, or nothing.

        Raises:
            RuntimeUnavailableError: It does not answer.
        """
        parameter = Parameter(name, value=value).to_parameter_msg()
        request = SetParameters.Request(parameters=[parameter])
        (result,) = self._ask(SetParameters, module, "set_parameters", request).results
        return "" if result.successful else result.reason or f"{module}: refused {name}."

    def reset(self, module: str) -> str:
        """Have a module forget what it remembers.

        Returns:
            Why the node refuses, or nothing.

        Raises:
            RuntimeUnavailableError: It does not answer.
        """
        answer = self._ask(Trigger, module, "reset", Trigger.Request())
        return "" if answer.success else answer.message or f"{module}: refused to reset."

    def _ask(self, kind: Any, module: str, service: str, request: Any) -> Any:
        name = f"{module}/{service}"
        if name not in self._clients:
            self._clients[name] = self._node.create_client(kind, name)
        client = self._clients[name]
        self._wait(client.service_is_ready, f"{module} cannot be asked")
        future = client.call_async(request)
        self._wait(future.done, f"{module} does not answer")
        return future.result()

    def _wait(self, is_done: Callable[[], bool], complaint: str) -> None:
        until = time.monotonic() + _ANSWER_WITHIN_S
        while not is_done():
            if time.monotonic() > until:
                raise RuntimeUnavailableError(
                    f"{complaint} after {_ANSWER_WITHIN_S:.0f} s. Is that node still running?"
                )
            self.spin()

    def spin(self) -> None:
        """Take in what has come, or wait a moment for it."""
        self._check()
        self._executor.spin_once(timeout_sec=_POLL_S)

    def _take(self, message: DiagnosticArray) -> None:
        report = from_message(message)
        if isinstance(report, Diagnostics):
            for entry in report.entries:
                self._reports[entry.name].append(dict(entry.figures))
                self._on_line(entry)
