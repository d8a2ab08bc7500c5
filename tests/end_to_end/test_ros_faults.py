"""Faults in a flow of three replicas that runs in real time, from another terminal, as users inject and see them."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `terminal`
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

import ros_support  # noqa: F401 imports what of ROS 2 warns on import
from terminal import Terminal

pytestmark = pytest.mark.ros

SOURCE = "source: estimation.odometry, unit: m, frame: base_link"


@pytest.fixture(scope="module")
def terminal(three_estimators, tmp_path_factory):
    """A terminal beside a flow of three estimators, one of which stands in for the voter, too."""
    folder = tmp_path_factory.mktemp("faults")
    assert SOURCE in three_estimators
    text = three_estimators.replace(SOURCE, f"{SOURCE}, fallback: [estimation_first.odometry]")
    path = folder / "three.yaml"
    path.write_text(text, encoding="utf-8")
    terminal = Terminal(folder)
    with terminal.flow(str(path)):
        yield terminal


def until(is_so, within_s=30.0):
    end = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < end, "what was waited for did not happen"


def test_a_fault_is_injected_named_and_told(terminal):
    code, output, errors = terminal.run(
        "inject", "--module", "estimation_first_2", "--fault", "bias", "--for", "3"
    )
    assert (code, errors) == (0, "")
    assert output == "estimation_first_2: bias begins in 0 s\nestimation_first_2: bias is over\n"
    code, output, errors = terminal.run("faults")
    assert (code, errors) == (0, "")
    assert "first_2: fault: differs" in output


def test_a_frozen_process_is_told_as_silent_and_speaks_again(terminal):
    def is_told():
        done = terminal.run("inject", "--module", "estimation_first_3", "--fault", "freeze", "--for", "2")
        assert done[0] == 0
        return "first_3: fault: silent" in terminal.run("faults")[1]

    until(is_told)  # if it froze between two episodes, the twin waited for it


def test_when_the_voter_dies_its_reader_falls_back_and_returns_when_it_is_back(terminal):
    changed = "odometry: changed to odometry~1"
    (before,) = terminal.figures("policy")
    assert before["odometry_source"] == "odometry"

    def has_fallen_back():
        os.kill(terminal.note().pid_of("estimation"), signal.SIGKILL)
        terminal.figures("estimation")  # the next one is up
        (after,) = terminal.figures("policy")
        return int(after.get(changed, 0)) > int(before.get(changed, 0))

    until(has_fallen_back)  # if it died between two episodes, the twin waited for it
    until(lambda: terminal.figures("policy")[0]["odometry_source"] == "odometry")


def test_what_a_node_refuses_is_one_line(terminal):
    code, output, errors = terminal.run("inject", "--module", "guard", "--fault", "nan")
    assert (code, output) == (1, "")
    assert errors == "reflexarc: guard: it is what keeps the robot safe. Faults are injected before it.\n"
