"""The webhook's own certificates: an authority of its own, and what it signs. Decides by dates alone; no I/O.

A new authority is only trusted at first (`Kept.authorities` holds both) and signs from the next certificate on, when
all API servers have long heard of it: no connection is refused because somebody has not caught up. Importing this costs
memory (cryptography); the keeper does so only when something is due.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from colocation.webhook.kept import StoredCertificates

AUTHORITY_LIFE: Final = timedelta(days=5 * 365)
AUTHORITY_LEFT: Final = timedelta(days=365)
"""Time before its end at which it is replaced."""
LIFE: Final = timedelta(days=90)
LEFT: Final = timedelta(days=30)
CLOCKS: Final = timedelta(hours=1)
"""Its validity begins this long before its creation: API servers' clocks differ."""
_BEGIN: Final = b"-----BEGIN CERTIFICATE-----"


def renewed(kept: StoredCertificates, names: Sequence[str], now: datetime) -> StoredCertificates:
    """The certificates to keep from now on; one that cannot be read is created again."""
    try:
        return _renewed(kept, names, now)
    except (ValueError, TypeError):
        return _renewed(StoredCertificates(), names, now)


def _renewed(kept: StoredCertificates, names: Sequence[str], now: datetime) -> StoredCertificates:
    trusted = [pem for pem in split(kept.authorities) if _end(pem) > now]
    authority_key, certificate, key = kept.authority_key, kept.certificate, kept.key
    lost = not trusted or not authority_key
    if lost:
        authority, authority_key = _authority(now)
        trusted = [authority, *trusted]
    if lost or not key or _end(certificate) - now <= LEFT:
        certificate, key = _certificate(trusted[0], authority_key, names, now)
    if _end(trusted[0]) - now <= AUTHORITY_LEFT:
        authority, authority_key = _authority(now)
        trusted = [authority, *trusted]
    due = min(_end(trusted[0]) - AUTHORITY_LEFT, _end(certificate) - LEFT)
    return StoredCertificates(b"".join(trusted), authority_key, certificate, key, due.isoformat().encode())


def split(pem: bytes) -> list[bytes]:
    """The certificates in a bundle, one text each."""
    return [_BEGIN + part.rstrip() + b"\n" for part in pem.split(_BEGIN)[1:]]


def _end(pem: bytes) -> datetime:
    return x509.load_pem_x509_certificate(pem).not_valid_after_utc


def _authority(now: datetime) -> tuple[bytes, bytes]:
    key = ec.generate_private_key(ec.SECP256R1())
    # Two of the same name, both trusted, would be mistaken for each other.
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"colocation-webhook-ca {now:%Y-%m-%dT%H:%M:%S}")])
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    certificate = (
        _builder(name, name, key, now, now + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
    )
    return _pem(certificate.sign(key, hashes.SHA256()), key)


def _certificate(authority: bytes, authority_key: bytes, names: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
    issuer = x509.load_pem_x509_certificate(authority)
    issuer_key = serialization.load_pem_private_key(authority_key, None)
    if not isinstance(issuer_key, ec.EllipticCurvePrivateKey) or issuer_key.public_key() != issuer.public_key():
        raise ValueError("the authority's key is not the authority's")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "colocation-webhook")])
    certificate = (
        _builder(issuer.subject, subject, key, now, min(now + LIFE, issuer.not_valid_after_utc))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    return _pem(certificate.sign(issuer_key, hashes.SHA256()), key)


def _builder(
    issuer: x509.Name, subject: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, end: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now.astimezone(UTC) - CLOCKS)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> tuple[bytes, bytes]:
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return certificate.public_bytes(pem), private
