"""How the tests over ROS 2 start a run in a process of its own, look for what it leaves, and listen in."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    # rosidl's parser imports lark, which imports sre_parse; neither is ours, and it happens once.
    warnings.filterwarnings("ignore", "module 'sre_(parse|constants)' is deprecated", DeprecationWarning)
    import rosidl_generator_py  # noqa: F401

from reflexarc.control.nodes.environment import domain_id, isolated
from reflexarc.control.nodes.module_client import guest

HERE = Path(__file__).parent

RUN = """
import json, sys
from pathlib import Path
from ros_parts import spot_flow
from reflexarc.control.commands.secure import secured
from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.bringup import run_ros
clock, episodes, changes, secure = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4]
def tell(status):
    figures = {name: dict(report.figures) for name, report in status.nodes.items()}
    print(status.phase, len(status.episodes), json.dumps(figures), flush=True)
try:
    flow = spot_flow(**changes)
    transport = secured(Path(secure), flow) if secure else None
    result = run_ros(flow, range(episodes), clock, on_status=tell, transport=transport)
except ReflexarcError as error:
    sys.exit(str(error))
unsafe = sum(episode.score["unsafe_commands"] for episode in result.episodes)
print("result", result.trajectory_sha256, unsafe, json.dumps(result.rejections))
"""


@contextmanager
def launcher(clock: str, episodes: int, secure: str = "", **changes: object):
    """A run in a process of its own, which is ended in any case."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, clock, str(episodes), json.dumps(changes), secure],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        family = children_of(process.pid)
        process.kill()
        process.communicate()
        for pid in family:
            if is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def wait_until_running(process: subprocess.Popen, episodes: int = 0) -> None:
    """Read the launcher's status lines until that many episodes are over."""
    for line in process.stdout:
        phase, done, *_ = line.split()
        if phase == "running" and int(done) >= episodes:
            return
    raise AssertionError(f"the launcher ended early: {process.stderr.read()}")


def children_of(launcher_pid: int) -> dict[int, str]:
    """Name per process id of the node processes that a launcher has started."""
    mark = f"REFLEXARC_LAUNCHER_PID={launcher_pid}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found[int(entry.name)] = (entry / "comm").read_text().strip()
        except OSError:
            continue  # it has ended, or is not ours
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pids, within_s: float) -> list[int]:
    """Wait for processes to end; those that have not."""
    until = time.monotonic() + within_s
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < until:
        time.sleep(0.02)
    return left


def run_directories(folder: Path) -> set[Path]:
    return set(folder.glob("reflexarc-*"))


def shared_memory_files() -> set[str]:
    return set(os.listdir("/dev/shm"))


@contextmanager
def stranger(tmp_path: Path):
    """A ROS 2 node in this process, and its executor, in the domain of the run."""
    with isolated(domain_id(), tmp_path), guest("stranger") as found:
        yield found
