import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rclpy

from reflexarc.control.nodes.children import Children
from reflexarc.control.nodes.process import make_executor

pytestmark = pytest.mark.ros

MODULE_NODE = "reflexarc.control.nodes.module_node"


@pytest.fixture
def children(ros_domain, tmp_path):
    children = Children(tmp_path)
    yield children
    children.kill()


def process_of(children, name):
    return children._processes[name]


def wait_for_name(process, name):
    until = time.monotonic() + 30
    while Path(f"/proc/{process.pid}/comm").read_text().strip() != name:
        assert time.monotonic() < until, f"{name} never took its name"
        assert process.poll() is None
        time.sleep(0.02)


@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_has_its_name_and_ends_clean_on_a_signal(children, number):
    before = set(os.listdir("/dev/shm"))
    children.start("policy", MODULE_NODE, ["--ros-args", "-r", "__node:=policy"])
    process = process_of(children, "policy")
    wait_for_name(process, "policy")
    process.send_signal(number)
    assert process.wait(timeout=10) == 0
    assert set(os.listdir("/dev/shm")) <= before, "it has left its domain, so shared memory goes as well"


def test_a_node_without_its_launcher_does_not_start(children, monkeypatch):
    # The launcher's id is that of a process that has ended: nobody will tell this node to end.
    gone = os.posix_spawn("/bin/true", ["/bin/true"], {})
    os.waitpid(gone, 0)
    monkeypatch.setattr(os, "getpid", lambda: gone)
    children.start("policy", MODULE_NODE, ["--ros-args", "-r", "__node:=policy"])
    monkeypatch.undo()
    assert process_of(children, "policy").wait(timeout=30) == 1


STUCK = """
import time
from rclpy.node import Node
from reflexarc.control.nodes import process
process._STUCK_AFTER_S = 0.5
class Stuck(Node):
    is_done = False
    is_urgent = False
    def begin(self): pass
    def work(self): time.sleep(60)
    def end(self): pass
process.host(lambda: Stuck("stuck"))
"""


def test_a_process_that_is_stuck_says_where_and_ends(ros_domain, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", STUCK],
        env={**os.environ, "ROS_LOG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert "in work" in done.stderr


def test_there_is_an_executor_for_every_context(nodes):
    nodes.start([])
    context = rclpy.Context()
    rclpy.init(context=context, args=[])
    executor = make_executor(context)
    executor.spin_once(timeout_sec=0.0)
    executor.shutdown()
    rclpy.shutdown(context=context)
