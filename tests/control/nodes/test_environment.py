import os
import re
import socket
from pathlib import Path

import pytest

from reflexarc.control.deployment import Deployment
from reflexarc.control.errors import RuntimeUnavailableError
from reflexarc.control.nodes.environment import (
    among_hosts,
    at_robot,
    domain_id,
    isolated,
    joined,
    shared_memory_cleaned,
    way_in,
)

pytestmark = pytest.mark.ros


def test_the_users_domain_is_kept(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "42")
    assert domain_id() == 42


@pytest.mark.parametrize("wrong", ["abc", "-1", "233", "4.5"])
def test_a_wrong_domain_is_said(monkeypatch, wrong):
    monkeypatch.setenv("ROS_DOMAIN_ID", wrong)
    with pytest.raises(
        RuntimeUnavailableError, match=f"ROS_DOMAIN_ID is '{wrong}'. Give a number from 0 to 232"
    ):
        domain_id()


def test_a_domain_in_use_is_passed_over(monkeypatch):
    monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
    first = domain_id()
    assert 1 <= first <= 101
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(("", 7400 + 250 * first + 10))
        assert domain_id() not in (first, 0)
    assert domain_id() == first


def test_the_environment_is_as_before_afterwards(monkeypatch, tmp_path):
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "ROS_DISCOVERY_SERVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ROS_LOG_DIR", "mine")
    before = dict(os.environ)
    with isolated(7, tmp_path):
        assert os.environ["ROS_DOMAIN_ID"] == "7"
        assert os.environ["ROS_LOG_DIR"] == str(tmp_path)
        profiles = [value for name, value in os.environ.items() if name.endswith("_DEFAULT_PROFILES_FILE")]
        assert [Path(value).parent for value in profiles] == [tmp_path]
        assert "<address>127.0.0.1</address>" in Path(profiles[0]).read_text()
    assert dict(os.environ) == before


def test_several_hosts_ask_each_other_and_nobody_else(monkeypatch, tmp_path):
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "ROS_DISCOVERY_SERVER"):
        monkeypatch.delenv(name, raising=False)
    with isolated(7, tmp_path, "10.0.0.1", iter(["10.0.0.2", "10.0.0.3"])):
        (profile,) = [value for name, value in os.environ.items() if name.endswith("_DEFAULT_PROFILES_FILE")]
        text = Path(profile).read_text()
    assert "<interfaceWhiteList><address>10.0.0.1</address></interfaceWhiteList>" in text
    peers = re.findall(r"<locator><udpv4><address>(.*?)</address></udpv4></locator>", text)
    assert peers == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_an_address_of_another_machine_is_refused(tmp_path):
    here = {"hosts": {"head": {"address": "127.0.0.1"}}, "processes": {"all": {"modules": ["guard"]}}}
    with among_hosts("f", Deployment.model_validate(here), "head", tmp_path):
        assert os.environ["ROS_LOG_DIR"] == str(tmp_path)
    away = {**here, "hosts": {"head": {"address": "192.0.2.1"}}}  # RFC 5737: nobody has it
    with pytest.raises(
        RuntimeUnavailableError, match=r"host head: 192\.0\.2\.1 is no address of this machine\."
    ):
        among_hosts("f", Deployment.model_validate(away), "head", tmp_path).__enter__()


def test_another_process_finds_the_way_in(monkeypatch, tmp_path):
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "ROS_DISCOVERY_SERVER"):
        monkeypatch.delenv(name, raising=False)
    with isolated(7, tmp_path):
        way = way_in()
    monkeypatch.setenv("ROS_DOMAIN_ID", "8")
    monkeypatch.setenv("ROS_DISCOVERY_SERVER", "elsewhere")
    before = dict(os.environ)
    with joined(way, tmp_path / "logs"):
        assert way_in() == way
        assert way["ROS_DOMAIN_ID"] == "7"
        assert os.environ["ROS_LOG_DIR"] == str(tmp_path / "logs")
    assert dict(os.environ) == before


def test_the_users_own_transport_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", "mine.xml")
    with isolated(7, tmp_path):
        assert os.environ["FASTDDS_DEFAULT_PROFILES_FILE"] == "mine.xml"
        assert os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


def test_at_a_robot_it_is_the_users_domain_and_this_host_alone(monkeypatch, tmp_path):
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "ROS_DISCOVERY_SERVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    for given, expected in ((None, 0), ("5", 5)):
        if given is not None:
            monkeypatch.setenv("ROS_DOMAIN_ID", given)
        else:
            monkeypatch.delenv("ROS_DOMAIN_ID", raising=False)
        with at_robot(tmp_path) as domain:
            assert domain == expected
            assert os.environ["ROS_DOMAIN_ID"] == str(expected)
            assert str(tmp_path / "transport.xml") in os.environ.values()


@pytest.mark.parametrize(
    ("name", "value"),
    [("ROS_AUTOMATIC_DISCOVERY_RANGE", "SUBNET"), ("FASTDDS_DEFAULT_PROFILES_FILE", "mine.xml")],
)
def test_at_a_robot_the_users_own_reach_is_kept(monkeypatch, tmp_path, name, value):
    for other in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE", "ROS_DISCOVERY_SERVER"):
        monkeypatch.delenv(other, raising=False)
    monkeypatch.delenv("ROS_AUTOMATIC_DISCOVERY_RANGE", raising=False)
    monkeypatch.setenv(name, value)
    before = dict(os.environ) | {"ROS_DOMAIN_ID": "9", "ROS_LOG_DIR": str(tmp_path)}
    monkeypatch.setenv("ROS_DOMAIN_ID", "9")
    with at_robot(tmp_path):
        assert dict(os.environ) == before


def test_only_tracing_files_of_our_own_are_taken_away():
    ours, others = Path("/dev/shm/lttng-ust-wait-test"), Path("/dev/shm/reflexarc-test")
    try:
        others.touch()
        with shared_memory_cleaned():
            ours.touch()
        assert not ours.exists()
        ours.touch()
        with shared_memory_cleaned():
            pass
        assert ours.exists(), "it was there before"
        assert others.exists()
    finally:
        ours.unlink(missing_ok=True)
        others.unlink(missing_ok=True)
