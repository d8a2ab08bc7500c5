import os
import socket

import pytest

from reflexarc.control.errors import SecurityError
from reflexarc.control.nodes import secure_transport
from reflexarc.control.nodes.environment import SECURITY_VARIABLES, TLS_PORT, joined
from reflexarc.control.nodes.secure_transport import (
    SecureTransport,
    choose_transport,
)

pytestmark = pytest.mark.ros


def test_this_ros_2_gets_what_it_can_do(keystore, tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path))
    chosen = choose_transport(keystore)
    assert chosen.kind == "tls"  # the wheels have no DDS security; a robot's own ROS 2 takes the other way
    assert "mutual TLS" in str(chosen)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", keystore.ports["brake"]))
        other.listen()
        with pytest.raises(SecurityError, match=rf"brake: its port {keystore.ports['brake']} is taken"):
            choose_transport(keystore)
    monkeypatch.setenv("ROS_DOMAIN_ID", "231")
    with pytest.raises(SecurityError, match=r"made for ROS domain \d+, and ROS_DOMAIN_ID is 231"):
        choose_transport(keystore)


def test_what_stops_dds_security_is_said_and_nothing_else_is_tried(keystore, monkeypatch):
    monkeypatch.setattr(secure_transport, "_HAS_NONE", "said by a ROS 2 that has it")
    with pytest.raises(SecurityError, match=r"DDS security does not come up: .* Nothing was started"):
        choose_transport(keystore)


def test_dds_security_is_enforced_with_an_enclave_per_process(keystore):
    environment = SecureTransport("sros2", keystore).environment("brake")
    assert environment["ROS_SECURITY_ENABLE"] == "true"
    assert environment["ROS_SECURITY_STRATEGY"] == "Enforce"
    assert environment["ROS_SECURITY_KEYSTORE"] == str(keystore.directory)
    assert environment["ROS_SECURITY_ENCLAVE_OVERRIDE"] == "/brake"
    assert (keystore.directory / "enclaves" / "brake" / "permissions.p7s").is_file()


def test_only_who_can_read_the_keystore_gets_in(keystore, tmp_path):
    way = SecureTransport("tls", keystore).way_in()
    assert way["ROS_DOMAIN_ID"] == str(keystore.domain)
    with joined(way, tmp_path):
        assert os.environ[TLS_PORT] == "0"
    assert not any(name in os.environ for name in SECURITY_VARIABLES)
    keystore.profile("operator").unlink()
    with (
        pytest.raises(SecurityError, match="The flow runs with --secure, and only those"),
        joined(way, tmp_path),
    ):
        pass
