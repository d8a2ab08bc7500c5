import datetime
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from reflexarc.control.errors import SecurityError
from reflexarc.control.flow_file import load_flow
from reflexarc.control.security.authority import Authority
from reflexarc.control.security.keystore import Keystore, Principal, make_keystore

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.timezone.utc)
AT = ("-attime", int(NOW.timestamp()))
IN_AN_ENCLAVE = {
    "cert.pem",
    "governance.p7s",
    "identity_ca.cert.pem",
    "key.pem",
    "permissions.p7s",
    "permissions.xml",
    "permissions_ca.cert.pem",
}


def test_it_is_laid_out_as_sros2_does(keystore: Path) -> None:
    ca = {
        f"{role}{end}"
        for role in ("ca", "identity_ca", "permissions_ca")
        for end in (".cert.pem", ".key.pem")
    }
    assert {p.name for p in (keystore / "public").iterdir()} == {n for n in ca if n.endswith(".cert.pem")}
    assert {p.name for p in (keystore / "private").iterdir()} == {n for n in ca if n.endswith(".key.pem")}
    assert {p.name for p in (keystore / "enclaves").iterdir()} == {"governance.xml", "governance.p7s", "left"}
    assert {p.name for p in (keystore / "enclaves/left").iterdir()} == {"guard", "twin", "operator"}
    for enclave in (keystore / "enclaves/left").iterdir():
        assert {p.name for p in enclave.iterdir()} == IN_AN_ENCLAVE
        assert all(path.exists() for path in enclave.iterdir())  # no link leads nowhere


def test_keys_are_for_their_owner_alone(keystore: Path) -> None:
    keys = list(keystore.rglob("*key.pem"))
    assert len(keys) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert stat.S_IMODE(keystore.stat().st_mode) == 0o700


def test_openssl_verifies_every_chain_key_and_signature(keystore: Path, openssl) -> None:
    for enclave in (keystore / "enclaves/left").iterdir():
        assert "OK" in openssl(
            "verify", *AT, "-CAfile", enclave / "identity_ca.cert.pem", enclave / "cert.pem"
        )
        of_key = openssl("pkey", "-in", enclave / "key.pem", "-pubout")
        assert of_key == openssl("x509", "-in", enclave / "cert.pem", "-pubkey", "-noout")
        for name in ("permissions", "governance"):
            ca = ("-CAfile", enclave / "permissions_ca.cert.pem")
            text = openssl("smime", "-verify", "-text", *AT, *ca, "-in", enclave / f"{name}.p7s")
            plain = (
                enclave / "permissions.xml"
                if name == "permissions"
                else enclave.parents[1] / "governance.xml"
            )
            assert text.replace("\r\n", "\n") == plain.read_text()


def test_what_was_made_is_right(keystore: Path, flow) -> None:
    opened = Keystore.open(keystore, flow, NOW)
    assert opened.domain == 7
    assert opened.ports == {"guard": 20001, "twin": 20002}
    assert opened.enclaves["operator"] == "/left/operator"
    assert opened.profile("twin").is_file()
    assert opened.openssl_conf.is_file()


def test_no_run_needs_the_key_of_the_authority(keystore: Path, flow, tmp_path: Path) -> None:
    (keystore / "private").rename(tmp_path / "elsewhere")
    Keystore.open(keystore, flow, NOW)


def _foreign(folder: Path) -> None:
    identity = Authority("reflexarc arm_track", NOW, 30).issue("/left/guard", listens=True)
    (folder / "enclaves/left/guard/cert.pem").write_bytes(identity.certificate)
    (folder / "enclaves/left/guard/key.pem").write_bytes(identity.key)


def _foreign_authority(folder: Path) -> None:
    (folder / "public/ca.cert.pem").write_bytes(Authority("reflexarc arm_track", NOW, 30).certificate)


def _another_ones(folder: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (folder / "enclaves/left/guard" / name).write_bytes(
            (folder / "enclaves/left/twin" / name).read_bytes()
        )


def _other_key(folder: Path) -> None:
    (folder / "enclaves/left/guard/key.pem").write_bytes((folder / "enclaves/left/twin/key.pem").read_bytes())


def _no_key(folder: Path) -> None:
    (folder / "enclaves/left/guard/key.pem").unlink()


def _profile_gone(folder: Path) -> None:
    (folder / "transport/guard/profile.xml").unlink()


def _profile_unreadable(folder: Path) -> None:
    (folder / "transport/guard/profile.xml").unlink()
    (folder / "transport/guard/profile.xml").mkdir()


def _profile_altered(folder: Path) -> None:
    path = folder / "transport/guard/profile.xml"
    path.write_text(path.read_text().replace("VERIFY_PEER", "VERIFY_NONE"))


def _permissions_altered(folder: Path) -> None:
    path = folder / "enclaves/left/guard/permissions.p7s"
    path.write_text(path.read_text().replace("rt/left/a", "rt/*"))


def _manifest_altered(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace("20001", "20009"))


def _key_for_all(folder: Path) -> None:
    (folder / "enclaves/left/guard/key.pem").chmod(0o644)


def _folder_for_all(folder: Path) -> None:
    folder.chmod(0o777)


@pytest.mark.parametrize(
    ("harm", "reason"),
    [
        (_no_key, "guard: no key"),
        (_other_key, "/left/guard: its private key does not belong to its certificate"),
        (_another_ones, "/left/guard: its certificate is wrong, it is that of CN=/left/twin"),
        (_foreign, "/left/guard: its certificate is foreign, another authority issued it"),
        (_foreign_authority, "manifest.json: it was altered, or is another authority's"),
        (_profile_gone, "key material cannot be read .No such file or directory: .*guard/profile.xml"),
        (_profile_unreadable, "key material cannot be read .Is a directory: .*guard/profile.xml"),
        (_profile_altered, "guard/profile.xml: it was altered"),
        (_permissions_altered, "guard/permissions.p7s: it was altered"),
        (_manifest_altered, "manifest.json: it was altered"),
        (_key_for_all, "guard/key.pem: others have access to it. Run: chmod 600 "),
        (_folder_for_all, "others have access to it. Run: chmod 755 "),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    keystore: Path, flow, harm: Callable[[Path], None], reason: str
) -> None:
    harm(keystore)
    with pytest.raises(SecurityError, match=reason) as raised:
        Keystore.open(keystore, flow, NOW)
    assert len(str(raised.value).splitlines()) == 1
    assert "Nothing was started. Make it anew with `reflexarc secure --flow arm_track" in str(raised.value)


def test_expired_key_material_is_refused(keystore: Path, flow) -> None:
    with pytest.raises(SecurityError, match="expired on 2026-12-25"):
        Keystore.open(keystore, flow, NOW + datetime.timedelta(days=31))


def test_another_users_is_refused(keystore: Path, flow, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: keystore.stat().st_uid + 1)
    with pytest.raises(SecurityError, match="it belongs to another user"):
        Keystore.open(keystore, flow, NOW)


def test_it_is_for_the_flow_and_the_place_it_was_made_for(keystore: Path, flow, tmp_path: Path) -> None:
    with pytest.raises(SecurityError, match="it was made for flow arm_track"):
        Keystore.open(keystore, load_flow("arm_catch"), NOW)
    changed = flow.model_copy(update={"plant": flow.plant.model_copy(update={"rate_hz": 1.0})})
    with pytest.raises(SecurityError, match="flow arm_track has changed since it was made"):
        Keystore.open(keystore, changed, NOW)
    with pytest.raises(SecurityError, match="there is no key material"):
        Keystore.open(tmp_path / "nowhere", flow, NOW)
    moved = keystore.rename(tmp_path / "moved")
    with pytest.raises(SecurityError, match=r"it was made as .*keys, which its profiles name"):
        Keystore.open(moved, flow, NOW)


def test_it_is_made_whole_or_not_at_all(keystore: Path, flow, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SecurityError, match=r"is there already. Remove it, or name another folder"):
        make_keystore(keystore, flow, 7, [], NOW)
    with pytest.raises(SecurityError, match=r"cannot be made .No such file or directory"):
        make_keystore(tmp_path / "no" / "where", flow, 7, [], NOW)
    unwritable = Principal(name="x/" * 3000, enclave="/x", writes=frozenset(), reads=frozenset(), port=1)
    with pytest.raises(SecurityError, match=r"cannot be made .File name too long"):
        make_keystore(tmp_path / "half", flow, 7, [unwritable], NOW)
    assert sorted(tmp_path.rglob("*")) == before
