import os
import tempfile
from pathlib import Path

import pytest
from small_flow import small_flow

from reflexarc.control.errors import ReflexarcError
from reflexarc.control.nodes.running import FLOW_FILE, announce, find_running, running_flows

pytestmark = pytest.mark.ros


@pytest.fixture
def started(monkeypatch, tmp_path):
    """Leaves the note of a flow that this process is said to have started."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    def start(name: str) -> Path:
        directory = Path(tempfile.mkdtemp(prefix="reflexarc-"))
        (directory / FLOW_FILE).write_text(small_flow().model_dump_json())
        announce(directory, name, "realtime", Path("store"))
        return directory

    return start


def test_a_flow_that_is_up_is_found(started, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    directory = started("small")
    found = find_running(None)
    assert (found.flow, found.pid, found.directory) == ("small", os.getpid(), directory)
    assert found.store == Path("store").absolute()
    assert found.environment["ROS_DOMAIN_ID"] == "42"
    assert found.load() == small_flow()
    (directory / FLOW_FILE).unlink()
    with pytest.raises(ReflexarcError, match="flow small has just ended"):
        found.load()


def test_a_flow_of_another_version_is_said_to_be_one(started):
    directory = started("small")
    text = small_flow().model_dump_json()
    (directory / FLOW_FILE).write_text(text.replace("{", '{"not_known_yet":1,', 1))
    with pytest.raises(ReflexarcError, match=r"flow small \(pid \d+\) was started by another version"):
        find_running(None).load()


def test_without_one_it_says_how_to_start_one(started):
    with pytest.raises(ReflexarcError, match="no flow is running"):
        find_running(None)


def test_a_note_of_a_dead_launcher_or_of_something_else_is_passed_over(started):
    directory = started("small")
    note = directory / "run.json"
    note.write_text(note.read_text().replace(f'"pid":{os.getpid()}', '"pid":4194305'))  # above pid_max
    (started("other") / "run.json").write_text("{}")
    assert running_flows() == []


def test_of_several_one_has_to_be_named(started):
    started("small")
    started("other")
    assert find_running("other").flow == "other"
    with pytest.raises(ReflexarcError, match=r"more than one flow is running: .*\. Name one with --flow."):
        find_running(None)
    with pytest.raises(ReflexarcError, match=r"no flow 'smal' is running\. Did you mean 'small'"):
        find_running("smal")
    started("small")
    with pytest.raises(ReflexarcError, match=r"small \(pid .*\. End all but one."):
        find_running("small")
