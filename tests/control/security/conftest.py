"""What the tests of key material share: a keystore of a small flow, and the openssl command."""

import datetime
import shutil
import subprocess
from pathlib import Path

import pytest

from reflexarc.control.flow import Flow
from reflexarc.control.flow_file import load_flow
from reflexarc.control.security.keystore import Principal, make_keystore

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.timezone.utc)


@pytest.fixture(scope="session")
def openssl():
    """Runs `openssl`, and gives what it wrote; what it refuses fails the test."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command: apt-get install openssl")

    def run(*arguments: object) -> str:
        done = subprocess.run(
            ["openssl", *map(str, arguments)], capture_output=True, text=True, timeout=20, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def flow() -> Flow:
    return load_flow("arm_track")


def principals() -> list[Principal]:
    return [
        Principal(
            name="guard",
            enclave="/left/guard",
            writes=frozenset({"rt/left/b", "rt/left/a"}),
            reads=frozenset({"rt/left/c"}),
            port=20001,
        ),
        Principal(name="twin", enclave="/left/twin", writes=frozenset(), reads=frozenset(), port=20002),
        Principal(
            name="operator", enclave="/left/operator", writes=frozenset(), reads=frozenset(), port=None
        ),
    ]


@pytest.fixture
def keystore(tmp_path: Path, flow: Flow) -> Path:
    folder = tmp_path / "keys"
    make_keystore(folder, flow, 7, principals(), NOW, 30)
    return folder
