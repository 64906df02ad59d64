"""A small certificate authority of the installation's own, for sites that have none: one key, server certificates below it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_DAYS = 3650
SERVER_DAYS = 825
"""Apple's limit for server certificates of private authorities; others take longer ones."""
_BACKDATED = timedelta(hours=1)  # clients whose clock is a little behind


@dataclass(frozen=True, slots=True)
class Authority:
    """The authority's certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def new(cls, name: str, at: int) -> Authority:
        """A self-signed authority that may sign servers only, no further authorities; `at` is ns UTC."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _name(name)
        begin, end = _validity(at, AUTHORITY_DAYS)
        builder = (
            _builder(subject, subject, key.public_key(), begin, end)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, certificate: bytes, key: bytes) -> Authority:
        """From PEM; raises ValueError when they are no pair of this kind."""
        try:
            loaded, private = x509.load_pem_x509_certificate(certificate), load_pem_private_key(key, None)
        except TypeError:
            raise ValueError("the key is encrypted") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey) or loaded.public_key() != private.public_key():
            raise ValueError("the key is not that of the certificate")
        return cls(loaded, private)

    def issue(self, names: Sequence[str], key: ec.EllipticCurvePrivateKey, at: int) -> x509.Certificate:
        """A server certificate for host names and addresses, the first of which is its subject; `at` is ns UTC."""
        begin, end = _validity(at, SERVER_DAYS)
        alternatives = [_alternative(name) for name in dict.fromkeys(names)]
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return (
            _builder(_name(names[0]), self.certificate.subject, key.public_key(), begin, min(end, self.certificate.not_valid_after_utc))
            .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(issuer_key, critical=False)
            .sign(self.key, hashes.SHA256())
        )


def new_key() -> ec.EllipticCurvePrivateKey:
    """A private key for a server."""
    return ec.generate_private_key(ec.SECP256R1())


def key_from_pem(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """A key that `key_pem` wrote; raises ValueError."""
    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        raise ValueError("the key is encrypted") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the key is of another kind than this authority's")
    return key


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A private key as PEM, unencrypted: the service starts without a person."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """A certificate as PEM."""
    return certificate.public_bytes(Encoding.PEM)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, begin: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _validity(at: int, days: int) -> tuple[datetime, datetime]:
    now = datetime.fromtimestamp(at // 10**9, UTC)
    return now - _BACKDATED, now + timedelta(days=days)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common: str) -> x509.Name:
    # longer than 64 characters is not allowed there; clients look at the alternative names only
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common[:64])])


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
