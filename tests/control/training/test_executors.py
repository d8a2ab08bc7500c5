import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reflexarc.control.artifacts.artifact import load_artifact
from reflexarc.control.artifacts.store import artifact_folder
from reflexarc.control.errors import RuntimeUnavailableError
from reflexarc.control.training.draft import draft_manifest
from reflexarc.control.training.executors import LocalExecutor, RayExecutor, make_executor
from reflexarc.control.training.worker import Request

FEW = {"episodes": 4, "ticks": 20, "iterations": 6, "batch": 4, "hidden": 4}


@pytest.fixture
def request_of(trained, store):
    def make(settings):
        return Request(
            module="estimation",
            flow=trained.flow.model_dump_json(),
            manifest=draft_manifest(trained.flow, "estimation", 0, settings, store).model_dump_json(),
            store=str(store),
            log_dir=str(store / "logs"),
        )

    return make


@pytest.fixture
def local():
    executor = LocalExecutor()
    yield executor
    executor.close()


def until(executor, is_last):
    """All events up to the first that is the last."""
    found = []
    while not (found and is_last(found[-1])):
        for event in executor.events():
            found.append(event)
            if is_last(event):
                break
    return found


def is_end(event):
    return event.kind != "progress"


@pytest.mark.slow
def test_a_training_tells_how_far_it_is_and_then_its_digest(local, request_of, store):
    local.start(request_of(FEW))
    *progress, done = until(local, is_end)
    assert {event.module for event in progress} == {"estimation"}
    assert ("training", 6, 6) in [event.content for event in progress]
    assert done.kind == "done"
    load_artifact(artifact_folder(store, "estimation", done.content), done.content)
    assert local.slots == len(os.sched_getaffinity(0))


def test_what_a_user_can_cause_comes_as_one_line(local, request_of):
    local.start(request_of({"hiden": 3}))
    (*_, event) = until(local, is_end)
    assert event.kind == "failed"
    assert event.content == "estimation: training has no setting 'hiden'. Did you mean 'hidden'?"


@pytest.mark.slow
def test_a_process_that_is_killed_is_a_failure_with_its_line(local, request_of):
    local.start(request_of({**FEW, "iterations": 100_000}))
    until(local, lambda event: event.content[0] == "training")
    os.kill(local._processes["estimation"].pid, signal.SIGKILL)
    (*_, event) = until(local, is_end)
    assert event.kind == "failed"
    assert event.content == (
        "estimation: its process ended with exit code -9. Train again to go on from its checkpoint."
    )
    assert list(local.events()) == []


def test_closing_it_ends_what_runs(request_of):
    executor = LocalExecutor()
    executor.start(request_of({**FEW, "iterations": 100_000}))
    process = executor._processes["estimation"]
    until(executor, lambda event: event.content[0] == "training")
    executor.close()
    assert not process.is_alive()


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(RuntimeUnavailableError, match=r"Run: pip install 'reflexarc\[ray\]'"):
        make_executor("ray")


@pytest.fixture
def ray_cluster(tmp_path, monkeypatch):
    """A cluster of one core, and nothing of it afterwards."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'reflexarc[ray]'")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    ray = Path(sys.executable).with_name("ray")
    # Sockets of Unix have short names: its folder cannot lie in the test's own.
    folder = Path("/tmp") / f"ray{os.getpid()}"
    command = [str(ray), "start", "--head", "--num-cpus=1", "--port=0", "--include-dashboard=false"]
    node = subprocess.Popen(
        [*command, "--block", f"--temp-dir={folder}", "--disable-usage-stats"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = []
    for line in node.stdout:
        said.append(line)
        if "--address='" in line:
            monkeypatch.setenv("RAY_ADDRESS", line.partition("--address='")[2].partition("'")[0])
            break
    else:
        pytest.fail("".join(said))
    yield
    os.killpg(node.pid, signal.SIGTERM)
    try:
        node.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
    node.stdout.close()
    subprocess.run(["rm", "-rf", str(folder)], check=False)


@pytest.mark.filterwarnings("ignore")  # those of Ray itself
@pytest.mark.slow
def test_a_ray_cluster_trains_to_the_same_digest(ray_cluster, local, request_of, store):
    local.start(request_of(FEW))
    (*_, expected) = until(local, is_end)
    artifact_folder(store, "estimation", expected.content).rename(store / "put aside")
    executor = RayExecutor()
    try:
        assert executor.slots == 1
        executor.start(request_of(FEW))
        begin = time.monotonic()
        (*_, event) = until(executor, is_end)
        assert time.monotonic() - begin < 60
    finally:
        executor.close()
    assert event == expected
