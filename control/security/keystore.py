"""Keystore: the folder with the key material of one flow, laid out as SROS2 does, and checked before every start.

`public/` and `private/` are the authority's; `enclaves/NAME/` has what a process needs for SROS2, and with the
same key and certificate, `transport/PROCESS/profile.xml` is for mutual TLS. The authority signs a list of all
files, so that an altered one is refused. Nobody needs `private/` to run a flow: it can be taken away.
"""

import datetime
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from pydantic import BaseModel, ConfigDict, ValidationError

from reflexarc.control.errors import SecurityError
from reflexarc.control.files import write_whole
from reflexarc.control.flow import Flow
from reflexarc.control.security.authority import (
    Authority,
    Identity,
    check_identity,
    is_signed_by,
    load_certificate,
)
from reflexarc.control.security.documents import governance, permissions
from reflexarc.control.security.layout import AUTHORITY
from reflexarc.control.security.transport import OPENSSL_CONF, profile

__all__ = ["Keystore", "Principal", "make_keystore"]

VALID_DAYS = 365

_MANIFEST = "manifest.json"
_SIGNATURE = "manifest.sig"
_OPENSSL_CONF = "transport/openssl.cnf"
_MADE_BY = "Make it anew with `reflexarc secure --flow {flow}{robot} --out {directory}`."


@dataclass(frozen=True, kw_only=True)
class Principal:
    """A process that gets an identity.

    Args:
        name: Name of the process.
        enclave: Its absolute name in SROS2, the common name of its certificate.
        writes: DDS topics that it may write.
        reads: DDS topics that it may read.
        port: TCP port where it listens, or None if it only connects to others.
    """

    name: str
    enclave: str
    writes: frozenset[str]
    reads: frozenset[str]
    port: int | None


class _Manifest(BaseModel):
    """What the authority signs.

    Args:
        flow: Name of the flow.
        flow_sha256: Digest of the flow that it was made for.
        domain: ROS domain of the permissions.
        directory: Where it was made; the profiles name their files by it.
        enclaves: Per process.
        ports: Per process that listens.
        files: sha256 of every file that a run needs.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    flow: str
    flow_sha256: str
    domain: int
    directory: str
    enclaves: dict[str, str]
    ports: dict[str, int]
    files: dict[str, str]


def make_keystore(
    directory: Path,
    flow: Flow,
    domain: int,
    principals: Sequence[Principal],
    now: datetime.datetime,
    valid_days: int = VALID_DAYS,
) -> None:
    """Make the key material of a flow, whole or not at all.

    Args:
        directory: A folder that is not there yet.
        flow: The flow.
        domain: ROS domain of the permissions.
        principals: All processes. Each connects to those that listen and stand before it.
        now: UTC.
        valid_days: For how long it holds.

    Raises:
        SecurityError: The folder is there already, or cannot be made.
    """
    place = directory.absolute()
    if place.exists():
        raise SecurityError(f"{directory} is there already. Remove it, or name another folder.")
    try:
        draft = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}-"))  # for this user alone
    except OSError as error:
        raise SecurityError(f"{directory}: cannot be made ({error.strerror}).") from None
    try:
        _Writer(draft, place, Authority(f"reflexarc {flow.name}", now, valid_days)).write(
            flow, domain, principals
        )
        os.rename(draft, place)
    except OSError as error:
        raise SecurityError(f"{directory}: cannot be made ({error.strerror}).") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)


class _Writer:
    """Writes a keystore in one place for another."""

    def __init__(self, draft: Path, place: Path, authority: Authority) -> None:
        self._draft = draft
        self._place = place
        self._authority = authority
        self._digests: dict[str, str] = {}

    def write(self, flow: Flow, domain: int, principals: Sequence[Principal]) -> None:
        self._private("private/ca.key.pem", self._authority.key)
        self._public(AUTHORITY, self._authority.certificate)
        for role in ("identity_ca", "permissions_ca"):
            self._link(f"private/{role}.key.pem", "private/ca.key.pem")
            self._link(f"public/{role}.cert.pem", AUTHORITY)
        self._document("enclaves/governance", governance(domain))
        self._public(_OPENSSL_CONF, OPENSSL_CONF.encode())
        before: list[int] = []
        for principal in principals:
            self._enclave(principal, domain)
            self._profile(principal, before)
            if principal.port is not None:
                before.append(principal.port)
        manifest = _Manifest(
            flow=flow.name,
            flow_sha256=_digest_of(flow),
            domain=domain,
            directory=str(self._place),
            enclaves={principal.name: principal.enclave for principal in principals},
            ports={p.name: p.port for p in principals if p.port is not None},
            files=self._digests,
        )
        text = manifest.model_dump_json(indent=1).encode()
        write_whole(self._draft / _MANIFEST, text)
        write_whole(self._draft / _SIGNATURE, self._authority.signature(text))

    def _enclave(self, principal: Principal, domain: int) -> None:
        folder = f"enclaves{principal.enclave}"
        identity = self._authority.issue(principal.enclave, listens=principal.port is not None)
        self._private(f"{folder}/key.pem", identity.key)
        self._public(f"{folder}/cert.pem", identity.certificate)
        text = permissions(
            principal.enclave,
            domain,
            principal.writes,
            principal.reads,
            self._authority.not_before,
            self._authority.not_after,
        )
        self._document(f"{folder}/permissions", text)
        for role in ("identity_ca", "permissions_ca"):
            self._link(f"{folder}/{role}.cert.pem", f"public/{role}.cert.pem")
        self._link(f"{folder}/governance.p7s", "enclaves/governance.p7s")

    def _profile(self, principal: Principal, peer_ports: Sequence[int]) -> None:
        folder = self._place / f"enclaves{principal.enclave}"
        text = profile(
            folder / "key.pem",
            folder / "cert.pem",
            self._place / AUTHORITY,
            principal.port,
            peer_ports,
        )
        self._public(f"transport/{principal.name}/profile.xml", text.encode())

    def _document(self, name: str, text: bytes) -> None:
        self._public(f"{name}.xml", text)
        self._public(f"{name}.p7s", self._authority.signed_document(text))

    def _public(self, name: str, content: bytes) -> None:
        path = self._draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        self._digests[name] = sha256(content).hexdigest()

    def _private(self, name: str, content: bytes) -> None:
        path = self._draft / name
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)

    def _link(self, name: str, target: str) -> None:
        path = self._draft / name
        path.symlink_to(os.path.relpath(self._draft / target, path.parent))
        if not name.startswith("private/"):
            self._digests[name] = self._digests[target]


@dataclass(frozen=True)
class Keystore:
    """A keystore in which everything is as it was made, and holds now.

    Args:
        directory: Where it is.
        domain: ROS domain of the permissions.
        enclaves: Per process.
        ports: Per process that listens.
    """

    directory: Path
    domain: int
    enclaves: dict[str, str]
    ports: dict[str, int]

    @classmethod
    def open(cls, directory: Path, flow: Flow, now: datetime.datetime) -> "Keystore":
        """Check everything that a run of a flow needs.

        Args:
            directory: The keystore.
            flow: The flow that it has to be made for.
            now: UTC.

        Raises:
            SecurityError: Something is missing, unreadable, altered, foreign, expired or open to others.
        """
        try:
            return _Check(directory.absolute(), flow, now).keystore()
        except SecurityError as error:
            robot = "" if flow.robot is None else f" --robot {flow.robot.robot}"
            advice = _MADE_BY.format(flow=flow.name, robot=robot, directory=directory)
            raise SecurityError(f"{error} Nothing was started. {advice}") from None

    def profile(self, process: str) -> Path:
        """Transport profile of a process."""
        return self.directory / "transport" / process / "profile.xml"

    @property
    def openssl_conf(self) -> Path:
        """For the environment variable of this name."""
        return self.directory / _OPENSSL_CONF


class _Check:
    """Reads a keystore, from the authority down to the last file."""

    def __init__(self, directory: Path, flow: Flow, now: datetime.datetime) -> None:
        self._directory = directory
        self._flow = flow
        self._now = now

    def keystore(self) -> Keystore:
        if not self._directory.is_dir():
            raise SecurityError(f"{self._directory}: there is no key material.")
        self._require_own(self._directory, others=0o022)
        authority = load_certificate(self._read(AUTHORITY), f"{self._directory}: authority", self._now)
        manifest = self._manifest(authority)
        for process, enclave in manifest.enclaves.items():
            self._check_identity(process, enclave, authority)
        for name, digest in manifest.files.items():
            if sha256(self._read(name)).hexdigest() != digest:
                raise SecurityError(f"{self._directory / name}: it was altered.")
        return Keystore(self._directory, manifest.domain, manifest.enclaves, manifest.ports)

    def _manifest(self, authority: x509.Certificate) -> _Manifest:
        text = self._read(_MANIFEST)
        if not is_signed_by(authority, text, self._read(_SIGNATURE)):
            raise SecurityError(f"{self._directory / _MANIFEST}: it was altered, or is another authority's.")
        try:
            manifest = _Manifest.model_validate_json(text)
        except ValidationError:
            raise SecurityError(f"{self._directory / _MANIFEST}: another version wrote it.") from None
        if manifest.flow != self._flow.name:
            raise SecurityError(f"{self._directory}: it was made for flow {manifest.flow}.")
        if manifest.flow_sha256 != _digest_of(self._flow):
            robot = "" if self._flow.robot is None else ", or its robot,"
            raise SecurityError(
                f"{self._directory}: flow {manifest.flow}{robot} has changed since it was made."
            )
        if manifest.directory != str(self._directory):
            raise SecurityError(
                f"{self._directory}: it was made as {manifest.directory}, which its profiles name."
            )
        return manifest

    def _check_identity(self, process: str, enclave: str, authority: x509.Certificate) -> None:
        folder = f"enclaves{enclave}"
        key = self._read(f"{folder}/key.pem", f"{process}: no key")
        self._require_own(self._directory / folder / "key.pem", others=0o077)
        certificate = self._read(f"{folder}/cert.pem", f"{process}: no certificate")
        check_identity(Identity(key, certificate), enclave, authority, self._now)

    def _read(self, name: str, otherwise: str = "key material cannot be read") -> bytes:
        path = self._directory / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise SecurityError(f"{otherwise} ({error.strerror}: {path}).") from None

    def _require_own(self, path: Path, others: int) -> None:
        status = path.stat()
        if status.st_uid != os.getuid():
            raise SecurityError(f"{path}: it belongs to another user.")
        if status.st_mode & others:
            allowed = status.st_mode & 0o777 & ~others
            raise SecurityError(f"{path}: others have access to it. Run: chmod {allowed:o} {path}.")


def _digest_of(flow: Flow) -> str:
    return sha256(flow.model_dump_json().encode()).hexdigest()
