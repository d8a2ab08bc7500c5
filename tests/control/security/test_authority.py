import datetime

import pytest

from reflexarc.control.errors import SecurityError
from reflexarc.control.security.authority import (
    Authority,
    Identity,
    check_identity,
    is_signed_by,
    load_certificate,
)

NOW = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("ours", NOW, 30)


def check(identity: Identity, authority: Authority, name: str = "/guard", now=NOW) -> None:
    check_identity(identity, name, load_certificate(authority.certificate, "authority", NOW), now)


def test_openssl_finds_the_chain_whole_and_the_purposes_told_apart(authority, openssl, tmp_path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    for name, listens in (("guard", True), ("operator", False)):
        (tmp_path / f"{name}.pem").write_bytes(authority.issue(f"/{name}", listens=listens).certificate)
    at = ("-attime", int(NOW.timestamp()), "-x509_strict", "-CAfile", tmp_path / "ca.pem")
    for name, purpose in (("guard", "sslserver"), ("guard", "sslclient"), ("operator", "sslclient")):
        assert "OK" in openssl("verify", *at, "-purpose", purpose, tmp_path / f"{name}.pem")
    with pytest.raises(AssertionError, match="purpose"):  # who only connects cannot pose as one to connect to
        openssl("verify", *at, "-purpose", "sslserver", tmp_path / "operator.pem")
    said = openssl("x509", "-in", tmp_path / "guard.pem", "-noout", "-subject", "-text")
    assert "CN = /guard" in said
    assert "prime256v1" in said
    assert "ecdsa-with-SHA256" in said


def test_a_document_is_signed_as_openssl_reads_it(authority, openssl, tmp_path) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    (tmp_path / "signed").write_bytes(authority.signed_document(b"<dds/>\n"))
    verify = ("smime", "-verify", "-text", "-CAfile", tmp_path / "ca.pem", "-attime", int(NOW.timestamp()))
    assert openssl(*verify, "-in", tmp_path / "signed").replace("\r\n", "\n") == "<dds/>\n"
    altered = (tmp_path / "signed").read_bytes().replace(b"<dds/>", b"<DDS/>")
    (tmp_path / "signed").write_bytes(altered)
    with pytest.raises(AssertionError, match="digest failure"):
        openssl(*verify, "-in", tmp_path / "signed")


def test_its_own_identity_is_right(authority) -> None:
    check(authority.issue("/guard", listens=True), authority)


def test_wrong_identities_are_told_apart(authority) -> None:
    guard, policy = (authority.issue(name, listens=True) for name in ("/guard", "/policy"))
    foreign = Authority("ours", NOW, 30).issue("/guard", listens=True)
    for identity, name, now, reason in (
        (foreign, "/guard", NOW, "its certificate is foreign"),
        (policy, "/guard", NOW, r"its certificate is wrong, it is that of CN=/policy"),
        (Identity(policy.key, guard.certificate), "/guard", NOW, "does not belong to its certificate"),
        (Identity(b"nonsense", guard.certificate), "/guard", NOW, "its private key cannot be read"),
        (Identity(guard.key, b"nonsense"), "/guard", NOW, "its certificate cannot be read"),
        (guard, "/guard", NOW + 31 * DAY, "its certificate expired on 2026-12-25"),
        (guard, "/guard", NOW - 2 * DAY, "its certificate holds from 2026-11-24 only. Is the clock right"),
    ):
        with pytest.raises(SecurityError, match=reason):
            check(identity, authority, name, now)


def test_a_bare_signature_is_for_one_content_and_by_one_authority(authority) -> None:
    signature = authority.signature(b"text")
    certificate = load_certificate(authority.certificate, "authority", NOW)
    other = load_certificate(Authority("ours", NOW, 30).certificate, "authority", NOW)
    assert is_signed_by(certificate, b"text", signature)
    assert not is_signed_by(certificate, b"text.", signature)
    assert not is_signed_by(other, b"text", signature)
