"""Process: how nodes live in an operating system process, and how it ends.

The idioms were measured on the ROS 2 wheels: rclpy's own signal handlers make 9 % of processes end with an
error, `spin()` of the events executor is deaf to signals, and 0.3 to 2 % of processes that end together
hang in the teardown of DDS. So: an own flag, spinning in short turns, and an alarm that ends what hangs. A process
that is stuck outside of Python hears no signal; it says where, and ends, so that it can be started again.
"""

import ctypes
import faulthandler
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, cast

import rclpy
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.impl.rcutils_logger import RcutilsLogger
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from setproctitle import setproctitle

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.children import LAUNCHER_PID
from reflexarc.control.nodes.closed import require_closed
from reflexarc.control.nodes.scheduling import go_first

__all__ = ["HostedNode", "host", "make_client_node", "make_executor"]

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_END_WITHIN_S = 2
"""The promise of the launcher: everything has ended 2 s after Ctrl-C."""
_STUCK_AFTER_S = 30.0
"""The longest that a node is busy is 10 s, while it waits for its neighbours; the rest is for a loaded machine."""
_ALIVE_EVERY_S = 1.0


class HostedNode(Protocol):
    """What `host` needs of a node."""

    is_done: bool
    """Whether the process can end by itself."""

    is_urgent: bool
    """Whether others wait for its steps, which are short: a process of such nodes goes first."""

    def begin(self) -> None:
        """Called once, before any other and before any `work`."""

    def work(self) -> float:
        """Do what is due; return after how many seconds to be called again at the latest."""

    def end(self) -> None:
        """Leave the robot still and the records written."""

    def get_logger(self) -> RcutilsLogger:
        """The node's logger."""

    def get_name(self) -> str:
        """The node's name, which the process takes over."""

    def destroy_node(self) -> None:
        """Free what the node holds."""


def make_executor(context: rclpy.Context | None = None) -> Executor:
    """The events executor, which costs half as much per hop, or the default one where there is none."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor  # noqa: PLC0415 not in every ROS 2
    except ImportError:
        return SingleThreadedExecutor(context=context)
    return EventsExecutor(context=context)


def make_client_node(name: str, context: rclpy.Context, namespace: str = "") -> Node:
    """A node that only listens and asks: without any service of its own, and without a log topic."""
    return rclpy.create_node(
        name,
        namespace=namespace,
        context=context,
        enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=[Parameter("start_type_description_service", value=False)],
    )


def host(*make_nodes: Callable[[], HostedNode], arguments: Sequence[str] | None = None) -> None:
    """Run nodes until SIGINT, SIGTERM or the end of the launcher.

    Args:
        *make_nodes: Each makes one node, a `HostedNode` of rclpy. They share an executor.
        arguments: Command line with `--ros-args`, or None for that of the process.
    """
    is_ending = _end_on_signal()
    _end_with_launcher()
    rclpy.init(
        args=None if arguments is None else list(arguments), signal_handler_options=SignalHandlerOptions.NO
    )
    gc.freeze()  # what was imported stays: no need to walk through it in every collection
    try:
        _spin([make_node() for make_node in make_nodes], is_ending)
    finally:
        gc.collect()  # a lifecycle node takes its participant out of the domain when it is collected
        rclpy.try_shutdown()


def _spin(nodes: Sequence[HostedNode], is_ending: Callable[[], bool]) -> None:
    setproctitle("+".join(node.get_name() for node in nodes))
    executor = make_executor()
    for node in nodes:
        executor.add_node(cast(Node, node))
    try:
        require_closed(nodes[0].get_name())
        for node in nodes:
            node.begin()
        alive_at = 0.0
        is_first = False
        while not (is_ending() or all(node.is_done for node in nodes)):
            # Not `spin_once`, which would come back to Python after every callback. Nobody completes the
            # future; a new one each time, as the default executor leaves a callback in it.
            never: Future[None] = Future(executor=executor)
            if (now := time.monotonic()) - alive_at > _ALIVE_EVERY_S:
                alive_at = now
                faulthandler.dump_traceback_later(_STUCK_AFTER_S, exit=True)
            idle_s = min(node.work() for node in nodes)
            if not is_first and all(node.is_urgent for node in nodes):
                is_first = True
                go_first()
            with _illegal_transitions_refused(nodes[0]):
                executor.spin_until_future_complete(never, timeout_sec=idle_s)
        for node in nodes:
            node.end()
    except ReflexarcError as error:
        nodes[0].get_logger().fatal(str(error))
        sys.exit(1)
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_END_WITHIN_S)
        executor.shutdown()
        for node in nodes:
            node.destroy_node()


@contextmanager
def _illegal_transitions_refused(node: HostedNode) -> Iterator[None]:
    """Stay alive when someone asks for a transition that the state does not have.

    Kilted answers with `success=False`. Jazzy raises through the executor instead, and a stranger's call to
    `change_state` would end the guard.
    """
    try:
        yield
    except rclpy_implementation.RCLError as error:
        if "lifecycle state machine" not in str(error):
            raise
        node.get_logger().error(f"transition refused: {error}")


def _end_on_signal() -> Callable[[], bool]:
    """A question that turns true with SIGINT or SIGTERM; from then on the process has two seconds."""
    signals: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        signals.append(number)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(_END_WITHIN_S)

    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGTERM, handle)
    return lambda: bool(signals)


def _end_with_launcher() -> None:
    """Have the kernel send SIGTERM when the launcher is gone, however it went."""
    launcher = os.environ.get(LAUNCHER_PID)
    if launcher is None:
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(launcher):  # it was gone before we asked
        sys.exit(1)
