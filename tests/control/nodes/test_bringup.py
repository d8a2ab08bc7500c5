"""The parts of the launcher; whole runs are in tests/end_to_end/test_ros_*.py."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from reflexarc.control.deployment import Deployment
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.bringup import Status, run_on_host, signals_deferred

pytestmark = pytest.mark.ros


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )


def test_without_ros_one_line_says_what_to_do():
    done = run(
        "import sys; sys.modules['rclpy'] = None\n"
        "from reflexarc.control.flow_file import load_flow\n"
        "from reflexarc.control.nodes.bringup import run_ros\n"
        "try: run_ros(load_flow('arm_catch'), [1])\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    assert done.stdout.strip() == (
        "RuntimeUnavailableError ROS 2 is not installed. "
        "Run: pip install 'reflexarc[ros]', or source your ROS 2."
    )


def test_the_launcher_is_imported_without_ros():
    done = run("import sys, reflexarc.control.nodes.bringup; print('rclpy' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr


@pytest.mark.parametrize(
    ("deployment", "reason"),
    [
        (None, "arm_catch: its deployment has no host 'head'. Known: none."),
        (
            {"hosts": {"heed": {"address": "192.0.2.1"}}, "processes": {"all": {"modules": ["guard"]}}},
            "arm_catch: its deployment has no host 'head'. Did you mean 'heed'?",
        ),
        (
            {"hosts": {"head": {"address": "192.0.2.1"}}, "processes": {"all": {"modules": ["guard"]}}},
            "host head: 192.0.2.1 is no address of this machine. Run this on head, or correct the address in the "
            "flow file's deployment.",
        ),
    ],
)
def test_a_host_that_this_is_not_is_refused(deployment, reason):
    flow = load_flow("arm_catch")
    placed = None if deployment is None else Deployment.model_validate(deployment)
    with pytest.raises(ReflexarcError) as refused:
        run_on_host(flow.model_copy(update={"deployment": placed}), "head")
    assert str(refused.value) == reason


def test_a_signal_has_its_effect_afterwards():
    def interrupted():
        with signals_deferred() as signals:
            os.kill(os.getpid(), signal.SIGINT)
            assert signals == [signal.SIGINT]

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert signal.getsignal(signal.SIGINT) is before


def test_outside_of_the_main_thread_signals_are_left_alone():
    seen = []

    def work():
        with signals_deferred() as signals:
            seen.append((signals, signal.getsignal(signal.SIGTERM)))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [([], before)]


def test_a_status_is_plain_data():
    assert Status("starting", {}, ()).episodes == ()
