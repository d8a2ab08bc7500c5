"""Authority: the certificates of one flow's processes, from one authority of its own, and its signatures.

Keys are on the curve P-256, which DDS-Security asks for (OMG DDS-Security 1.1, 9.3.2.1 and 9.5.3.1); signed
documents are S/MIME messages with the signature beside the text (9.4.1.1).
"""

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from reflexarc.control.errors import SecurityError

__all__ = ["Authority", "Identity", "check_identity", "is_signed_by", "load_certificate"]

_A_DAY = datetime.timedelta(days=1)
"""Begins a day earlier, for hosts whose clock is behind."""


@dataclass(frozen=True)
class Identity:
    """A process's key and certificate, PEM.

    Args:
        key: Private key.
        certificate: What the authority says of it.
    """

    key: bytes
    certificate: bytes


class Authority:
    """Makes the certificates of one flow and signs its documents.

    Args:
        name: Common name.
        now: Time of making, UTC.
        valid_days: For how long everything holds.
    """

    def __init__(self, name: str, now: datetime.datetime, valid_days: int) -> None:
        self.not_before = (now - _A_DAY).replace(microsecond=0)
        self.not_after = (now + valid_days * _A_DAY).replace(microsecond=0)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _common_name(name)
        usage = _usage(signs_certificates=True)
        self._certificate = (
            self._builder(self._name, self._key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    @property
    def key(self) -> bytes:
        """Its private key, PEM."""
        return _private_pem(self._key)

    @property
    def certificate(self) -> bytes:
        """Its own certificate, PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def issue(self, name: str, *, listens: bool) -> Identity:
        """A new key and its certificate.

        Args:
            name: Common name.
            listens: Whether others may connect to it; one that does not can only connect to others.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if listens else [])]
        certificate = (
            self._builder(_common_name(name), key.public_key())
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return Identity(_private_pem(key), certificate.public_bytes(serialization.Encoding.PEM))

    def signed_document(self, text: bytes) -> bytes:
        """A text with its signature, as S/MIME."""
        builder = pkcs7.PKCS7SignatureBuilder().set_data(text)
        builder = builder.add_signer(self._certificate, self._key, hashes.SHA256())
        options = [pkcs7.PKCS7Options.Text, pkcs7.PKCS7Options.DetachedSignature]
        return builder.sign(serialization.Encoding.SMIME, options)

    def signature(self, content: bytes) -> bytes:
        """The bare signature of any content, for `is_signed_by`."""
        return self._key.sign(content, ec.ECDSA(hashes.SHA256()))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        """What all certificates have; RFC 5280 asks for the identifiers of both keys (4.2.1.1 and 4.2.1.2)."""
        own = x509.SubjectKeyIdentifier.from_public_key(key)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            x509.CertificateBuilder()
            .add_extension(own, critical=False)
            .add_extension(issuer, critical=False)
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
        )


def load_certificate(pem: bytes, who: str, now: datetime.datetime) -> x509.Certificate:
    """A certificate that holds now.

    Args:
        pem: As text.
        who: Whose it is, for the message.
        now: UTC.

    Raises:
        SecurityError: It cannot be read, or its time is over or has not begun.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
    except ValueError:
        raise SecurityError(f"{who}: its certificate cannot be read.") from None
    if now > certificate.not_valid_after_utc:
        raise SecurityError(f"{who}: its certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d}.")
    if now < certificate.not_valid_before_utc:
        raise SecurityError(
            f"{who}: its certificate holds from {certificate.not_valid_before_utc:%Y-%m-%d} only. Is the clock right?"
        )
    return certificate


def check_identity(
    identity: Identity, name: str, authority: x509.Certificate, now: datetime.datetime
) -> None:
    """Make sure that a key and its certificate are those of a process.

    Args:
        identity: Both.
        name: Common name that it should have.
        authority: Who should have issued it.
        now: UTC.

    Raises:
        SecurityError: The certificate is unreadable, foreign, expired or another's, or the key is not its own.
    """
    certificate = load_certificate(identity.certificate, name, now)
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        raise SecurityError(f"{name}: its certificate is foreign, another authority issued it.") from None
    if certificate.subject != _common_name(name):
        raise SecurityError(
            f"{name}: its certificate is wrong, it is that of {certificate.subject.rfc4514_string()}."
        )
    try:
        key = serialization.load_pem_private_key(identity.key, password=None)
    except (ValueError, TypeError):
        raise SecurityError(f"{name}: its private key cannot be read.") from None
    if key.public_key() != certificate.public_key():
        raise SecurityError(f"{name}: its private key does not belong to its certificate.")


def is_signed_by(authority: x509.Certificate, content: bytes, signature: bytes) -> bool:
    """Whether an authority gave this signature for this content."""
    key = authority.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return False
    try:
        key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


def _common_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
