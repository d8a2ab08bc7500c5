import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reflexarc.control.nodes.closed import require_closed
from reflexarc.control.nodes.environment import TLS_PORT, profile_variable
from reflexarc.control.nodes.secure_transport import SecureTransport

pytestmark = pytest.mark.ros


# It leaves without taking DDS down: Fast DDS 3.2 sometimes aborts ("malloc_consolidate") when a TCP transport goes that
# has just come up, which is none of what is tested here.
NODE = """
import os, sys
import rclpy
from reflexarc.control.errors import SecurityError
from reflexarc.control.nodes import closed
closed._ANSWER_WITHIN_S = 2.0
rclpy.init()
node = rclpy.create_node("brake")
try:
    closed.require_closed("brake")
except SecurityError as error:
    print(error)
sys.stdout.flush()
os._exit(0)
"""


def start(environment, tmp_path) -> str:
    """What a process says of its own transport, which it has from this environment."""
    variables = {n: v for n, v in {**os.environ, **environment}.items() if v is not None}
    done = subprocess.run(
        [sys.executable, "-c", NODE],
        env={**variables, "ROS_LOG_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()  # Fast DDS 2 logs here, too
    return said[-1] if said else ""


def test_a_closed_process_goes_on(keystore, tmp_path):
    transport = SecureTransport("tls", keystore)
    assert start(transport.environment("brake"), tmp_path) == ""
    assert start(transport.environment("operator"), tmp_path) == ""


def _nonsense_for_a_profile(environment, tmp_path):
    (tmp_path / "nonsense.xml").write_text("nonsense")
    environment[profile_variable()] = str(tmp_path / "nonsense.xml")
    return r"UDP"


def _no_key(environment, tmp_path):
    profile = Path(environment[profile_variable()])
    profile.write_text(profile.read_text().replace("/key.pem", "/nokey.pem"))
    return r"no TLS at port \d+: .*"


def _who_listens_does_not_ask(environment, tmp_path):
    environment["OPENSSL_CONF"] = None
    return r"it lets in who shows no certificate"


def _another_port(environment, tmp_path):
    environment[TLS_PORT] = "0"
    return r"a socket at 0100007F:[0-9A-F]{4}"


@pytest.mark.parametrize("harm", [_nonsense_for_a_profile, _no_key, _who_listens_does_not_ask, _another_port])
def test_an_open_process_finds_that_out_by_itself(keystore, tmp_path, harm):
    environment = SecureTransport("tls", keystore).environment("brake")
    reason = harm(environment, tmp_path)
    said = start(environment, tmp_path)
    expected = rf"brake: the transport came up open \({reason}\), so it ends\."
    assert re.fullmatch(expected, said), said


def test_who_need_not_be_closed_is_not_asked(monkeypatch):
    monkeypatch.delenv(TLS_PORT, raising=False)
    require_closed("brake")
