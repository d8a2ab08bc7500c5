"""Whatever ends a run, the robot is halted, no process stays, and nothing is left in /dev/shm."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # where the processes of nodes find the parts as well
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

from ros_parts import spot_flow
from ros_support import (
    children_of,
    is_alive,
    launcher,
    run_directories,
    shared_memory_files,
    stranger,
    wait_until_gone,
    wait_until_running,
)
from std_msgs.msg import Float64MultiArray

from reflexarc.control.nodes.bringup import run_ros
from reflexarc.control.nodes.lifecycle import LifecycleClient

pytestmark = pytest.mark.ros

MANY = 10_000
"""Episodes: more than a test waits for."""

NODES = ["guard", "pilot", "smoother", "spotter", "twin"]


@pytest.fixture(autouse=True)
def _leaves_nothing(ros_domain, tmp_path, monkeypatch):
    files = shared_memory_files()
    monkeypatch.setenv("TMPDIR", str(tmp_path))  # another run on this machine keeps its own
    yield
    assert shared_memory_files() <= files
    assert not run_directories(tmp_path), "a run directory was left behind"


@pytest.mark.parametrize(("clock", "number"), [("lockstep", signal.SIGINT), ("realtime", signal.SIGTERM)])
def test_a_signal_halts_the_robot_and_ends_everything(clock, number, tmp_path):
    commands = []
    with launcher(clock, MANY) as process, stranger(tmp_path) as (node, executor):
        node.create_subscription(
            Float64MultiArray, "forward_velocity_controller/commands", lambda m: commands.append(m.data), 100
        )
        wait_until_running(process)
        family = children_of(process.pid)
        assert sorted(family.values()) == NODES
        until = time.monotonic() + 20
        while not any(any(command) for command in commands) and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.1)
        assert any(any(command) for command in commands), "the robot never moved"
        os.kill(process.pid, number)
        until = time.monotonic() + 10
        while is_alive(process.pid) and time.monotonic() < until:
            executor.spin_once(timeout_sec=0.05)
        assert process.wait(timeout=1) == -number
        assert wait_until_gone(family, within_s=0) == []
        assert not any(commands[-1]), "the last command did not hold the robot still"


def test_the_launcher_leaves_ros_while_all_others_are_there(monkeypatch):
    """Who leaves DDS while others do may hang in it, and what the run came to would be lost with it."""
    families = []

    def close(client: LifecycleClient) -> None:
        families.append(sorted(children_of(os.getpid()).values()))
        leave(client)

    leave = LifecycleClient.close
    monkeypatch.setattr(LifecycleClient, "close", close)
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    run_ros(spot_flow(), (3,))
    assert families == [NODES]


def test_a_module_that_hangs_does_not_keep_the_others():
    with launcher("lockstep", MANY, spotter={"parameters": {"hangs_at_step": 10}}) as process:
        wait_until_running(process)
        family = children_of(process.pid)
        time.sleep(1.0)  # until the tenth frame
        os.kill(process.pid, signal.SIGINT)
        assert process.wait(timeout=10) == -signal.SIGINT
        assert wait_until_gone(family, within_s=0) == []


def kill(process, name):
    """Kill a node of a run with SIGKILL, as soon as it lives; its process id."""
    until = time.monotonic() + 20
    while name not in (family := children_of(process.pid)).values():
        assert time.monotonic() < until
        time.sleep(0.02)
    victim = next(pid for pid, node in family.items() if node == name)
    os.kill(victim, signal.SIGKILL)
    return victim


def ends_naming(process, name):
    """The run ends, and says that a node was killed; what that logged is kept."""
    family = children_of(process.pid)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 1
    assert wait_until_gone(family, within_s=0) == []
    line = errors.strip().splitlines()[-1]
    assert line.startswith(f"{name} ended (killed by SIGKILL): ")
    log = Path(line.rpartition("(log: ")[2].removesuffix(")"))
    assert log.name == f"{name}.log"
    shutil.rmtree(log.parent)


@pytest.mark.parametrize(("clock", "name"), [("lockstep", "smoother"), ("realtime", "twin")])
def test_a_node_that_nobody_can_go_on_without_takes_the_run_down(clock, name):
    with launcher(clock, MANY) as process:
        wait_until_running(process)
        kill(process, name)
        ends_naming(process, name)


def test_a_module_that_dies_in_real_time_is_started_again_and_the_run_goes_on():
    with launcher("realtime", 12) as process:
        wait_until_running(process)
        victim = kill(process, "smoother")
        until = time.monotonic() + 10
        # For a moment after the signal the victim is still listed, under the same name.
        while victim in (children := children_of(process.pid)) or "smoother" not in children.values():
            assert time.monotonic() < until
            time.sleep(0.02)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    words = output.splitlines()[-1].split(maxsplit=3)
    assert (words[0], float(words[2])) == ("result", 0.0)
    assert json.loads(words[3])["smoother"]["ended and was started again"] == 1


def test_a_module_that_dies_again_and_again_takes_the_run_down():
    with launcher("realtime", MANY) as process:
        wait_until_running(process)
        for _ in range(4):
            victim = kill(process, "smoother")
            until = time.monotonic() + 10
            while victim in children_of(process.pid) and time.monotonic() < until:
                time.sleep(0.02)
        ends_naming(process, "smoother")


def test_nodes_end_when_the_launcher_is_killed(tmp_path):
    with launcher("realtime", MANY) as process:
        wait_until_running(process)
        family = children_of(process.pid)
        assert sorted(family.values()) == NODES
        process.kill()
        process.wait()
        assert wait_until_gone(family, within_s=10) == []
    for directory in run_directories(tmp_path):
        shutil.rmtree(directory)  # nobody was left to do it
