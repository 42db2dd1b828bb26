"""Rotation by the calendar, with real certificates: on every day of many years each client that has heard trusts."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from colocation.serving import server_context
from colocation.webhook.certificates import LEFT, renewed, split
from colocation.webhook.kept import StoredCertificates

NAME = "colocation-manager.ns.svc"
START = datetime(2026, 11, 21, tzinfo=UTC)


def trusted(authorities: bytes, certificate: bytes, now: datetime) -> bool:
    store = Store([x509.load_pem_x509_certificate(pem) for pem in split(authorities)])
    verifier = PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(NAME))
    try:
        verifier.verify(x509.load_pem_x509_certificate(certificate), [])
    except VerificationError:
        return False
    return True


def test_in_twelve_years_nobody_is_refused_who_heard_a_week_ago() -> None:
    kept, now = renewed(StoredCertificates(), [NAME], START), START
    certificates, authorities, heard = {kept.certificate}, {kept.authority_key}, kept.authorities
    while now < START + timedelta(days=12 * 365):
        now += timedelta(days=7)
        if kept.is_due(now):
            kept = renewed(kept, [NAME], now)
        assert trusted(heard, kept.certificate, now), now
        heard = kept.authorities
        certificates.add(kept.certificate)
        authorities.add(kept.authority_key)
        assert len(split(kept.authorities)) <= 2
        assert x509.load_pem_x509_certificate(kept.certificate).not_valid_after_utc - now > LEFT - timedelta(days=7)
    assert 60 <= len(certificates) <= 90
    assert len(authorities) == 3


def test_what_is_not_due_stays() -> None:
    kept = renewed(StoredCertificates(), [NAME], START)
    assert not kept.is_due(START + timedelta(days=59))
    assert kept.is_due(START + timedelta(days=61))


@pytest.mark.parametrize("field", ["authorities", "authority_key", "certificate", "key"])
@pytest.mark.parametrize("value", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_whatever_is_lost_or_spoilt_is_made_anew(field: str, value: bytes) -> None:
    good = renewed(StoredCertificates(), [NAME], START)
    parts = {name: getattr(good, name) for name in ("authorities", "authority_key", "certificate", "key")}
    now = START + timedelta(days=70)
    mended = renewed(StoredCertificates(**{**parts, field: value}), [NAME], now)
    assert trusted(mended.authorities, mended.certificate, now)
    server_context(mended.certificate, mended.key)


def test_after_years_without_a_manager_all_is_new() -> None:
    old = renewed(StoredCertificates(), [NAME], START)
    now = START + timedelta(days=20 * 365)
    new = renewed(old, [NAME], now)
    assert trusted(new.authorities, new.certificate, now)
    assert len(split(new.authorities)) == 1


def test_a_key_that_is_not_the_certificates_is_refused_before_it_is_used() -> None:
    one, two = renewed(StoredCertificates(), [NAME], START), renewed(StoredCertificates(), [NAME], START)
    with pytest.raises(ssl.SSLError):
        server_context(one.certificate, two.key)


@pytest.mark.parametrize("due", [b"", b"soon", b"2026-11-21", b"\xff"])
def test_a_date_that_cannot_be_read_is_now(due: bytes) -> None:
    assert StoredCertificates(due=due).is_due(START)
