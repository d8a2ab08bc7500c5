"""`reflexarc record` in a process of its own, beside a node of this one that is said to be a flow."""

import resource
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import rclpy
from bags import read_by_rosbags
from small_flow import small_flow
from std_msgs.msg import Float64
from std_srvs.srv import Trigger

from reflexarc.control.nodes.bag_reader import open_bag
from reflexarc.control.nodes.recorder import FLOW
from reflexarc.control.nodes.recording import INCIDENT
from reflexarc.control.nodes.running import FLOW_FILE, announce

pytestmark = pytest.mark.ros


@pytest.fixture
def flow(nodes, tmp_path, monkeypatch):
    """A node that publishes numbers at 100 Hz, by `spin_until`; a recorder finds it as a flow that runs."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    nodes.start([])
    node = nodes.add(rclpy.create_node("brake"))
    publisher = node.create_publisher(Float64, "number", 100)
    nodes.published = 0

    def publish() -> None:
        publisher.publish(Float64(data=float(nodes.published)))
        nodes.published += 1

    node.create_timer(0.01, publish)
    directory = tmp_path / "reflexarc-x"
    directory.mkdir()
    (directory / FLOW_FILE).write_text(small_flow().model_dump_json())
    announce(directory, "small", "realtime", tmp_path)
    nodes.node = node
    nodes.publisher = publisher
    return nodes


@contextmanager
def recorder(flow, *arguments, file_bytes: int = 0):
    command = [sys.executable, "-m", "reflexarc.control.cli", "record", *map(str, arguments)]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
    if file_bytes:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (file_bytes, file_bytes))
    try:
        flow.spin_until(lambda: flow.publisher.get_subscription_count() or process.poll() is not None, 30)
        yield process
    finally:
        process.kill()
        process.communicate()


def ended(flow, process) -> tuple[int, list[str], str]:
    flow.spin_until(lambda: process.poll() is not None, 30)
    output, errors = process.communicate()
    return process.returncode, output.splitlines(), errors


def spin_for(flow, messages: int) -> None:
    wanted = flow.published + messages
    flow.spin_until(lambda: flow.published >= wanted, 60)


def test_a_bag_holds_all_that_was_published_meanwhile(flow, tmp_path):
    with recorder(flow, "--out", tmp_path / "bag") as process:
        spin_for(flow, 100)
        process.send_signal(signal.SIGINT)
        code, lines, errors = ended(flow, process)
    assert (code, errors) == (0, "")
    assert lines[0] == f"recording small into {tmp_path / 'bag'}; Ctrl-C ends it"
    bag = open_bag(tmp_path / "bag")
    assert bag.metadata[FLOW] == {"flow": small_flow().model_dump_json(), "clock": "realtime"}
    assert len(list(bag.messages({"/number"}))) >= 90
    assert lines[1].startswith(f"{tmp_path / 'bag'}: {len(list(bag.messages()))} messages in ")


def test_it_ends_by_itself_after_a_time(flow, tmp_path):
    with recorder(flow, "--out", tmp_path / "bag", "--for", "3") as process:
        code, _, errors = ended(flow, process)
    assert (code, errors) == (0, "")
    assert list(open_bag(tmp_path / "bag").messages({"/number"}))


def test_a_full_disk_is_one_line_and_what_was_written_can_be_read(flow, tmp_path):
    with recorder(flow, "--out", tmp_path / "bag", file_bytes=20_000) as process:
        code, _, errors = ended(flow, process)
    assert code == 1
    assert errors.startswith(
        "reflexarc: cannot write any more (File too large); what was written can be read."
    )
    assert errors.count("\n") == 1
    bag = open_bag(tmp_path / "bag")
    assert list(bag.messages({"/number"}))
    assert bag.recovered


def test_each_incident_of_a_ring_is_a_bag(flow, tmp_path):
    with recorder(flow, "--out", tmp_path / "ring", "--ring", "0.5") as process:
        spin_for(flow, 150)
        assert list((tmp_path / "ring").iterdir()) == []
        client = flow.node.create_client(Trigger, "record/save")
        flow.spin_until(client.service_is_ready)
        answer = client.call_async(Trigger.Request())
        flow.spin_until(answer.done)
        assert answer.result().success
        spin_for(flow, 30)
        process.send_signal(signal.SIGINT)
        code, lines, errors = ended(flow, process)
    assert (code, errors) == (0, "")
    incident = tmp_path / "ring" / "incident_0"
    assert lines[1] == f"asked for by ~/save: keeping it in {incident}"
    bag = open_bag(incident)
    assert bag.metadata[INCIDENT]["what"] == "asked for by ~/save"
    times = [message.log_time_ns for message in bag.messages({"/number"})]
    assert (int(bag.metadata[INCIDENT]["at_ns"]) - times[0]) * 1e-9 < 1.0
    assert read_by_rosbags(incident)


def test_a_ring_without_an_incident_writes_nothing(flow, tmp_path):
    with recorder(flow, "--out", tmp_path / "ring", "--ring", "0.5", "--for", "0.3") as process:
        code, lines, errors = ended(flow, process)
    assert (code, errors, lines[1]) == (0, "", "nothing happened, so nothing was kept")
    assert list((tmp_path / "ring").iterdir()) == []
