import datetime
import os
import shutil
from pathlib import Path

import pytest

from reflexarc.control.artifacts.store import SHIPPED_STORE
from reflexarc.control.commands.secure import secured
from reflexarc.control.errors import SecurityError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.nodes.description import TWIN
from reflexarc.control.nodes.secure_transport import principals_of_flow
from reflexarc.control.security.keystore import Keystore, make_keystore

NOW = datetime.datetime.now(datetime.timezone.utc)


def runs_of(folder: Path) -> list[Path]:
    """What is left of whatever was started."""
    return [path for path in folder.iterdir() if path.name.startswith("reflexarc-")]


def test_it_makes_the_keys_of_a_flow_and_says_what_to_do(reflexarc, tmp_path: Path) -> None:
    done = reflexarc(
        "secure", "--flow", "arm_track", "--namespace", "/left", "--out", "keys", ROS_DOMAIN_ID="5"
    )
    assert done.returncode == 0, done.stderr
    flow = load_flow("arm_track")
    keystore = Keystore.open(tmp_path / "keys", flow, NOW)
    assert keystore.domain == 5
    assert set(keystore.enclaves) == {*flow.modules, TWIN, "launcher", "operator"}
    assert set(keystore.enclaves.values()) == {f"/left/{name}" for name in keystore.enclaves}
    assert "/left/guard: may write " in done.stdout
    assert "Run: reflexarc sim --flow arm_track --secure keys" in done.stdout
    again = reflexarc("secure", "--flow", "arm_track", "--out", "keys")
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "reflexarc: keys is there already. Remove it, or name another folder.\n"


@pytest.mark.parametrize(
    ("arguments", "environment", "reason"),
    [
        (("--namespace", "left"), {}, "namespace 'left': expected one as /left, or none."),
        ((), {"ROS_DOMAIN_ID": "233"}, "ROS_DOMAIN_ID is '233'. Give a number from 0 to 232, or unset it."),
    ],
)
def test_a_users_mistake_is_one_line(reflexarc, tmp_path: Path, arguments, environment, reason) -> None:
    done = reflexarc("secure", *arguments, "--out", "keys", **environment)
    assert (done.returncode, done.stderr) == (1, f"reflexarc: {reason}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.ros
def test_nothing_starts_with_keys_that_are_not_right(reflexarc, tmp_path: Path) -> None:
    # Every way in which they may be wrong: tests/control/security/test_keystore.py
    done = reflexarc("sim", "--secure", "keys", TMPDIR=str(tmp_path))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"reflexarc: {tmp_path / 'keys'}: there is no key material. Nothing was started.")
    assert runs_of(tmp_path) == []


def test_keys_are_for_what_the_flow_file_says(reflexarc) -> None:
    done = reflexarc("sim", "--secure", "keys", "--usecases", "cases")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "reflexarc: --usecases adds modules that are not in the flow file, so --secure"
    )


@pytest.mark.ros
def test_nothing_starts_with_an_altered_artifact(reflexarc, ros_domain: int, tmp_path: Path) -> None:
    flow = load_flow("arm_track")
    make_keystore(tmp_path / "keys", flow, ros_domain, principals_of_flow(flow), NOW)
    store = tmp_path / "store"
    shutil.copytree(SHIPPED_STORE, store)
    (model,) = store.glob("policy-26affaf06541/model.onnx")
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    done = reflexarc(
        "sim", "--flow", "arm_track", "--secure", "keys", "--store", "store", TMPDIR=str(tmp_path)
    )
    assert done.returncode == 1
    assert "policy-26affaf06541" in done.stderr
    assert runs_of(tmp_path) == []


def test_expired_keys_are_said(tmp_path: Path) -> None:
    flow = load_flow("arm_track")
    make_keystore(tmp_path / "keys", flow, 0, principals_of_flow(flow), NOW - datetime.timedelta(days=400))
    before = dict(os.environ)
    with pytest.raises(
        SecurityError, match=r"authority: its certificate expired on .* Nothing was started\."
    ):
        secured(tmp_path / "keys", flow)
    assert dict(os.environ) == before
