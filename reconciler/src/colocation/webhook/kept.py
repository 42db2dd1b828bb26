"""What the replicas share of the webhook's certificate: one Secret."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct


class StoredCertificates(Struct, frozen=True):
    """As the Secret has it; certificates and keys are PEM."""

    authorities: bytes = b""
    """All that are to be trusted, the newest first."""
    authority_key: bytes = b""
    """Private key of the newest authority."""
    certificate: bytes = b""
    key: bytes = b""
    due: bytes = b""
    """When something must be renewed (ISO 8601)."""

    def is_due(self, now: datetime) -> bool:
        """It is time, or nothing says when it will be."""
        try:
            return datetime.fromisoformat(self.due.decode()) <= now
        except (ValueError, TypeError):
            return True
