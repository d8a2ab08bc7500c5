"""A shipped flow is recorded while it runs, the recorder is killed, and what was recorded is replayed."""

import json
import signal
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for `ros_support`
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

import ros_support  # noqa: F401 imports what of ROS 2 warns on import
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader
from terminal import Terminal

from reflexarc.control.nodes.bag_reader import open_bag
from reflexarc.control.nodes.recording import INCIDENT

pytestmark = pytest.mark.ros

MODULES = ("perception", "estimation", "policy", "guard")


@pytest.fixture(scope="module")
def terminal(tmp_path_factory):
    return Terminal(tmp_path_factory.mktemp("recording"))


@contextmanager
def recorder_of(terminal, *arguments: str):
    """A recorder that has said that it records; it is ended in any case."""
    recorder = terminal.start("record", *arguments)
    try:
        assert recorder.stdout.readline().startswith("recording arm_catch into ")
        yield recorder
    finally:
        recorder.kill()
        recorder.communicate()


def end(recorder) -> str:
    """What it says at its end."""
    recorder.send_signal(signal.SIGINT)
    output, errors = recorder.communicate(timeout=60)
    assert (recorder.returncode, errors) == (0, "")
    return output


def killed_while_recording(terminal, folder: Path) -> float:
    """Seconds from the last message that a recorder left until it was killed."""
    with recorder_of(terminal, "--out", str(folder)):
        until = time.monotonic() + 60
        while not any(path.stat().st_size > 1_000_000 for path in folder.glob("*.mcap")):
            assert time.monotonic() < until
            time.sleep(0.05)
        killed_ns = time.time_ns()
    last_ns = max(message.log_time_ns for message in open_bag(folder).messages())
    return (killed_ns - last_ns) * 1e-9


@pytest.fixture(scope="module")
def lockstep(terminal):
    """The bag of a recording in lock step, and what recorders lost that were killed meanwhile."""
    bag = terminal.folder / "lockstep"
    with terminal.flow("arm_catch", "lockstep"), recorder_of(terminal, "--out", str(bag)) as recorder:
        # Three tries, as a machine with other work to do may leave a process alone for longer than a second.
        lost_s = []
        while len(lost_s) < 3 and (not lost_s or lost_s[-1] > 1.0):
            lost_s.append(killed_while_recording(terminal, terminal.folder / f"killed{len(lost_s)}"))
        terminal.wait_for_episodes(2)
        said = end(recorder)
    assert said.startswith(f"{bag}: ")
    return bag, lost_s


def test_a_recorder_that_is_killed_loses_less_than_a_second(lockstep, terminal):
    _, lost_s = lockstep
    assert lost_s[-1] < 1.0
    folder = terminal.folder / f"killed{len(lost_s) - 1}"
    with AnyReader([folder]) as reader:  # it was completed when it was opened
        assert sum(1 for _ in reader.messages()) == reader.message_count > 0


def test_other_readers_read_all_of_it(lockstep):
    bag, _ = lockstep
    counts: Counter[str] = Counter()
    with AnyReader([bag]) as reader:
        for connection, _, data in reader.messages():
            reader.deserialize(data, connection.msgtype)
            counts[connection.topic] += 1
        assert counts.total() == reader.message_count
    by_mcap: Counter[str] = Counter()
    for path in bag.glob("*.mcap"):
        with path.open("rb") as stream:
            by_mcap.update(channel.topic for _, channel, _ in make_reader(stream).iter_messages())
    assert by_mcap == counts
    assert counts["/camera/color/image_raw"] > 50
    assert {f"/{name}/steps" for name in MODULES} <= set(counts)


def test_a_replay_in_lock_step_is_the_recording_bit_for_bit(lockstep, terminal):
    bag, _ = lockstep
    report = terminal.folder / "replay.json"
    code, output, errors = terminal.run("replay", str(bag), "--json", str(report))
    assert (code, errors) == (0, ""), output
    results = {result["module"]: result for result in json.loads(report.read_text())}
    assert set(results) == set(MODULES)
    for name, result in results.items():
        assert result["equal"] == result["judged"] > 50, name
        assert result["first"] == "", name
        # Only what came before the last episodes: the recorder found some topics earlier than others.
        assert result["steps"] == result["judged"] + sum(result["not_judged"].values()), name


def test_in_real_time_it_says_what_could_be_replayed_and_an_incident_keeps_what_was_before(terminal):
    bag, incidents = terminal.folder / "realtime", terminal.folder / "incidents"
    with (
        terminal.flow("arm_catch"),
        recorder_of(terminal, "--out", str(incidents), "--ring", "2") as ring,
        recorder_of(terminal, "--out", str(bag)) as recorder,
    ):
        # So many, since nothing of an episode is judged after an input that was not recorded.
        terminal.wait_for_episodes(12)
        end(recorder)
        ring.send_signal(signal.SIGUSR1)
        # On a machine with other work to do, a node may have reported an error before.
        what, _, folder = ring.stdout.readline().partition(": keeping it in ")
        end(ring)
    report = terminal.folder / "replay.json"
    code, output, errors = terminal.run("replay", str(bag), "--json", str(report))
    assert (code, errors) == (0, ""), output
    for result in json.loads(report.read_text()):
        assert result["equal"] == result["judged"] > 50
        assert result["steps"] == result["judged"] + sum(result["not_judged"].values())
    kept = open_bag(Path(folder.strip()))
    assert kept.metadata[INCIDENT]["what"] == what
    times = [message.log_time_ns for message in kept.messages({"/clock"})]
    before_s = (int(kept.metadata[INCIDENT]["at_ns"]) - min(times)) * 1e-9
    assert 0.0 < before_s < 3.0
