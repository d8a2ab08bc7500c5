import os
import signal
import time

import pytest

from reflexarc.control.errors import RuntimeUnavailableError
from reflexarc.control.nodes.children import Children

pytestmark = pytest.mark.ros

SLEEPER = ("timeit", ["-n", "1", "-r", "1", "import time; time.sleep(60)"])


@pytest.fixture
def children(tmp_path):
    children = Children(tmp_path)
    yield children
    children.kill()


def end_of(children, name):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            children.check(name)
        except RuntimeUnavailableError as error:
            return str(error)
        time.sleep(0.02)
    raise AssertionError(f"{name} did not end")


def test_a_child_that_cannot_run_is_named_with_its_last_words(children, tmp_path):
    children.start("guard", "no_such_module", [])
    said = end_of(children, "guard")
    assert said.startswith("guard ended (exit code 1): ")
    assert "No module named no_such_module" in said
    assert said.endswith(f"(log: {tmp_path / 'guard.log'})")
    assert children.has_crashed


def test_a_killed_child_is_named_with_the_signal(children):
    children.start("policy", *SLEEPER)
    children.check()
    os.kill(next(iter(children._processes.values())).pid, signal.SIGSEGV)
    assert "policy ended (killed by SIGSEGV): " in end_of(children, "policy")


def test_children_end_when_asked_and_when_not(children):
    children.start("polite", *SLEEPER)
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"
    children.start("deaf", "timeit", ["-n", "1", "-r", "1", deaf])
    until = time.monotonic() + 20
    while children.reason("deaf") != "1" and time.monotonic() < until:
        time.sleep(0.02)
    children.terminate(["polite", "deaf", "never started"])
    assert not children.wait(time.monotonic() + 0.5)
    children.kill()
    assert children.wait(time.monotonic())


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", "it said nothing"),
        ("one\n\ntwo\n", "two"),
        ("[ERROR] [17.2] [guard]: no artifact.\n[INFO] [17.3] [guard]: more\n", "no artifact."),
        ("[INFO] [1.0] [a]: x\n[FATAL] [1.1] [a]: last one\n", "last one"),
        (
            '[ERROR] [1] [a]: Traceback (most recent call last):\n  File "x"\nKeyError: 1\n[INFO] [2] [a]: b\n',
            "KeyError: 1",
        ),
    ],
)
def test_the_reason_is_one_line(tmp_path, log, reason):
    (tmp_path / "a.log").write_text(log)
    assert Children(tmp_path).reason("a") == reason
