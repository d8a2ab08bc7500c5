"""A secured flow, up, with every kind of stranger trying to get something out of it or into it."""

import datetime
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # where the processes of nodes find the parts as well
pytest.importorskip("rclpy", reason="needs the ROS 2 wheels: pip install 'reflexarc[ros]'")

from ros_parts import spot_flow
from ros_support import HERE, children_of, launcher, run_directories, wait_until_running

from reflexarc.control.nodes.access import access_of_flow
from reflexarc.control.nodes.description import TWIN
from reflexarc.control.nodes.environment import profile_variable
from reflexarc.control.nodes.running import RunningFlow
from reflexarc.control.nodes.secure_transport import principals_of_flow
from reflexarc.control.security.keystore import Keystore, make_keystore

pytestmark = pytest.mark.ros

NOW = datetime.datetime.now(datetime.timezone.utc)
FLOW = spot_flow()
MANY = 5000
"""Episodes: more than a test waits for."""

_STRANGER_STAYS_S = 4.0
_FRIEND_STAYS_S = 50.0
_DOMAIN = 101
"""Beyond those that `ros_domain` gives."""


def make_keys(folder: Path) -> Keystore:
    make_keystore(folder, FLOW, _DOMAIN, principals_of_flow(FLOW), NOW)
    return Keystore.open(folder, FLOW, NOW)


class Stage:
    """The flow that runs, and the ways to it."""

    def __init__(self, folder: Path, keystore: Keystore, running: RunningFlow) -> None:
        self.folder = folder
        self.keystore = keystore
        self.running = running

    def visitor(self, seconds: float, variables: Mapping[str, str]) -> "subprocess.Popen[str]":
        """With these variables and none of the flow's own; what it prints is its own affair but for JSON."""
        kept = {n: v for n, v in os.environ.items() if not n.startswith(("ROS_", "FAST", "OPENSSL"))}
        return subprocess.Popen(
            [
                sys.executable,
                str(HERE / "visitor.py"),
                str(self.running.directory / "flow.json"),
                str(seconds),
            ],
            env={**kept, "PYTHONPATH": str(HERE), "ROS_LOG_DIR": str(self.folder), **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def profile(self, name: str, keystore: Keystore, *changes: tuple[str, str]) -> dict[str, str]:
        """The operator's profile with changes, and without the check of what it connects to."""
        text = keystore.profile("operator").read_text()
        for pattern, new in (
            *changes,
            ("VERIFY_FAIL_IF_NO_PEER_CERT", "VERIFY_NONE"),
            ("VERIFY_PEER", "VERIFY_NONE"),
        ):
            text, count = re.subn(pattern, new, text, flags=re.DOTALL)
            assert count or name == "plain", f"{name}: {pattern} is not in the profile"
        ports = re.findall(r"<physical_port>(\d+)<", text)
        for theirs, ours in zip(ports, self.keystore.ports.values(), strict=True):
            text = text.replace(f">{theirs}<", f">{ours}<")
        path = self.folder / f"{name}.xml"
        path.write_text(text)
        domain = {"ROS_DOMAIN_ID": str(_DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "SYSTEM_DEFAULT"}
        return {profile_variable(): str(path), **domain}


def said_by(visitor: "subprocess.Popen[str]") -> dict:
    output, errors = visitor.communicate(timeout=90)
    assert visitor.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("secured")
    keystore = make_keys(folder / "keys")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(folder))
        patch.delenv("ROS_DOMAIN_ID", raising=False)
        with launcher("realtime", MANY, secure=str(folder / "keys")) as process:
            wait_until_running(process)
            (directory,) = run_directories(folder)
            running = RunningFlow.model_validate_json((directory / "run.json").read_bytes())
            found = Stage(folder, keystore, running)
            found.family = children_of(process.pid)
            yield found
            assert process.poll() is None


@pytest.fixture(scope="module")
def strangers(stage: Stage) -> dict[str, dict]:
    """What each kind got, all of them at the same time."""
    foreign = make_keys(stage.folder / "foreign")
    identity = r"<private_key_file>.*</cert_chain_file>"
    ways = {
        "udp": {"ROS_DOMAIN_ID": str(_DOMAIN), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"},
        "plain": stage.profile("plain", stage.keystore, (r"<tls>.*</tls>", "")),
        "anonymous": stage.profile("anonymous", stage.keystore, (identity, "")),
        "foreign": stage.profile("foreign", foreign),
    }
    visitors = {name: stage.visitor(_STRANGER_STAYS_S, way) for name, way in ways.items()}
    return {name: said_by(visitor) for name, visitor in visitors.items()}


@pytest.fixture(scope="module")
def friend(stage: Stage, strangers: dict[str, dict]) -> dict:
    """What an operator gets by the way in; after the strangers, as it is heard."""
    return said_by(stage.visitor(_FRIEND_STAYS_S, stage.running.environment))


@pytest.mark.parametrize("kind", ["udp", "plain", "anonymous", "foreign"])
def test_a_stranger_gets_nothing_out_and_nothing_in(strangers: dict[str, dict], kind: str) -> None:
    said = strangers[kind]
    assert (said["heard"], said["reached"], said["services"], said["graph"]) == ({}, [], 0, {})


def test_who_has_a_certificate_gets_all_of_it(friend: dict) -> None:
    topics = {f"/{port.topic}" for node in ("plant", *FLOW.modules) for port in FLOW.outputs(node).values()}
    once = {"/camera/camera_info"}
    assert topics - once <= set(friend["heard"])
    assert len(friend["reached"]) == len(topics)
    assert friend["services"] == 2 * len(FLOW.modules)
    assert not friend["refused_before"]  # by what the strangers said
    assert friend["refused"]  # so what a stranger says would have been counted, too


def test_the_graph_of_each_node_is_what_its_permissions_say(friend: dict) -> None:
    accesses = access_of_flow(FLOW)
    assert set(friend["graph"]) == {*FLOW.modules, TWIN}  # the launcher listens to nobody, so he is not seen
    for name, (publishes, subscribes, serves, calls) in friend["graph"].items():
        access = accesses[name]
        of_lockstep = {
            topic for topic in access.publishes | access.subscribes if topic.startswith("/lockstep/")
        }
        assert set(publishes) == access.publishes - of_lockstep, name
        assert set(subscribes) == access.subscribes - of_lockstep, name
        assert (set(serves), set(calls)) == (access.serves, access.calls), name


def test_no_process_of_the_flow_has_any_other_door(stage: Stage) -> None:
    ports = {f"0100007F:{port:04X}" for port in stage.keystore.ports.values()}
    assert len(stage.family) == len(ports)
    doors = set()
    for pid in stage.family:
        inodes = {os.readlink(fd)[len("socket:[") : -1] for fd in Path(f"/proc/{pid}/fd").iterdir()}
        for table in ("udp", "udp6", "tcp", "tcp6"):
            for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[9] in inodes and (table.startswith("udp") or fields[3] == "0A"):
                    doors.add(f"{fields[1]}")
                    assert table == "tcp"
    assert doors == ports
