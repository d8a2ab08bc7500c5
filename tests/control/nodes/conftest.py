"""What the tests of nodes share: field checks in generated messages, and nodes in this process."""

import datetime
import os
import sys
import time
import warnings
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # `small_flow`, for the tests and for node processes
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"  # read once, when a generated message module is imported
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

with warnings.catch_warnings():
    # rosidl's parser imports lark, which imports sre_parse; neither is ours, and it happens once.
    warnings.filterwarnings("ignore", "module 'sre_(parse|constants)' is deprecated", DeprecationWarning)
    import rosidl_generator_py  # noqa: F401

import rclpy
from rclpy.signals import SignalHandlerOptions
from small_flow import small_flow

from reflexarc.control.nodes.environment import isolated
from reflexarc.control.nodes.process import make_executor
from reflexarc.control.nodes.secure_transport import principals_of_flow
from reflexarc.control.security.keystore import Keystore, make_keystore


class Nodes:
    """ROS 2 in this process: nodes that share one executor."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack

    def start(self, arguments: list[str]) -> None:
        """Initialise ROS 2 with the arguments of a command line."""
        rclpy.init(args=["--ros-args", *arguments], signal_handler_options=SignalHandlerOptions.NO)
        self._stack.callback(rclpy.try_shutdown)
        self.executor = make_executor()
        self._stack.callback(self.executor.shutdown)

    def add(self, node):
        self.executor.add_node(node)
        self._stack.callback(node.destroy_node)
        return node

    def spin_until(self, is_done, within_s: float = 10.0) -> None:
        until = time.monotonic() + within_s
        while not is_done():
            assert time.monotonic() < until, "what was waited for did not happen"
            self.executor.spin_once(timeout_sec=0.02)


@pytest.fixture
def nodes(ros_domain, tmp_path):
    with ExitStack() as stack:
        folder = tmp_path / "ros"
        folder.mkdir()
        stack.enter_context(isolated(ros_domain, folder))
        yield Nodes(stack)


@pytest.fixture
def keystore(ros_domain, tmp_path):
    """Key material of the small flow, made now."""
    flow, now = small_flow(), datetime.datetime.now(datetime.timezone.utc)
    make_keystore(tmp_path / "keys", flow, ros_domain, principals_of_flow(flow), now)
    return Keystore.open(tmp_path / "keys", flow, now)
