"""Who goes first, and that the kernel is really told."""

import os
import subprocess
import sys

import pytest

from reflexarc.control.flow_file import load_flow
from reflexarc.control.modules.use_cases import with_recorders
from reflexarc.control.nodes.scheduling import is_short

SESSION_OF_ITS_OWN = """
import os, threading
from pathlib import Path
from reflexarc.control.nodes.scheduling import go_first, goes_first
threading.Thread(target=threading.Event().wait, daemon=True).start()
{before}
go_first()
group = Path("/proc/self/autogroup")
threads = {{os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir("/proc/self/task")}}
print(goes_first(), *threads, *(group.read_text().split()[-1:] if group.exists() else ()))
"""


def ask(before="", *, new_session=True) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", SESSION_OF_ITS_OWN.format(before=before)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        start_new_session=new_session,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def is_permitted() -> bool:
    return subprocess.run([sys.executable, "-c", "import os; os.nice(-15)"], check=False).returncode == 0


def test_who_looks_at_no_image_and_is_waited_for_goes_first(tmp_path):
    flow = with_recorders(load_flow("arm_catch_3x3"), tmp_path, 1.0)
    others = {name for name in flow.modules if not is_short(flow, name)}
    cameras = {"perception_color_depth", "perception_depth", "perception_classical"}
    assert others == cameras | {"perception_use_cases", "estimation_use_cases"}


def test_all_of_a_process_goes_first():
    if not is_permitted():
        pytest.skip("needs the right to give a process a higher priority")
    has_first, *niceness = ask()
    assert has_first == "True"
    assert set(niceness) == {"-15"}


def test_who_shares_a_session_does_not_speak_for_it():
    if not is_permitted() or not os.path.exists("/proc/self/autogroup"):
        pytest.skip(
            "needs the right to give a process a higher priority, and a kernel that groups by session"
        )
    with open("/proc/self/autogroup") as file:
        before = file.read()
    assert ask(new_session=False)[0] == "True"
    with open("/proc/self/autogroup") as file:
        assert file.read() == before


def test_where_it_is_not_permitted_all_goes_on_as_before():
    lose_the_right = "import resource; resource.setrlimit(resource.RLIMIT_NICE, (0, 0))"
    if os.getuid() == 0:
        lose_the_right += "; os.setuid(65534)"
    has_first, *niceness = ask(lose_the_right)
    assert has_first == "False"
    assert set(niceness) == {"0"}
