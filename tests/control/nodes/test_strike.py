import subprocess
import sys
import time
from pathlib import Path

import pytest

from reflexarc.control.nodes.strike import strike
from reflexarc.control.redundancy.fault_kind import FaultKind
from reflexarc.control.redundancy.faults import Fault


@pytest.fixture
def process():
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield started
    started.kill()
    started.wait()


def state(pid):
    """One letter, see proc(5)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]


def test_a_killed_process_is_gone(process):
    strike([process.pid], Fault(kind=FaultKind.KILL))
    assert process.wait(timeout=10) == -9


def test_a_frozen_process_stands_still_for_as_long_as_the_fault_lasts(process):
    seen = []

    def wait(seconds):
        until = time.monotonic() + 10
        while state(process.pid) != "T" and time.monotonic() < until:
            time.sleep(0.01)
        seen.append((seconds, state(process.pid)))

    strike([process.pid], Fault(kind=FaultKind.FREEZE, for_s=0.3), wait)
    assert seen == [(0.3, "T")]
    until = time.monotonic() + 10
    while state(process.pid) == "T":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_a_process_goes_on_when_the_wait_is_interrupted(process):
    def interrupted(seconds):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        strike([process.pid], Fault(kind=FaultKind.FREEZE), interrupted)
    until = time.monotonic() + 10
    while state(process.pid) == "T":
        assert time.monotonic() < until
        time.sleep(0.01)


def test_one_that_has_ended_meanwhile_is_no_error(process):
    process.kill()
    process.wait()
    strike([process.pid], Fault(kind=FaultKind.KILL))
