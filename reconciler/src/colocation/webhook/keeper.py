"""Keeps the webhook's certificate: one Secret for all replicas, and the authority in the webhook's configuration."""

from __future__ import annotations

import base64
import binascii
import logging
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from colocation.kube.resources import SECRETS, WEBHOOKS
from colocation.kube.rest import STRATEGIC_PATCH, ApiError, Rest
from colocation.serving import Server
from colocation.webhook.kept import StoredCertificates

log = logging.getLogger(__name__)
LOOK_SECONDS: Final = 60.0
"""How old a certificate that somebody else renewed may be in use here; the one before is valid for a month more."""
RETRY_SECONDS: Final = 2.0
_KEYS: Final = {
    "authorities": "ca.crt",
    "authority_key": "ca.key",
    "certificate": "tls.crt",
    "key": "tls.key",
    "due": "renew-at",
}


class CertificateRenewer:
    """Looks once a minute, on a thread. Of several that find something due one is first; the others take its result."""

    def __init__(
        self,
        rest: Rest,
        server: Server,
        namespace: str,
        *,
        secret: str,
        configuration: str,
        service: str,
        renews: bool = True,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """``renews``: make what is due; without, somebody else does (cert-manager), and the Secret is only read."""
        self._rest, self._server, self._clock, self._renews = rest, server, clock, renews
        self._secret = SECRETS.path(secret, namespace=namespace)
        self._configuration = WEBHOOKS.path(configuration)
        self._names = (f"{service}.{namespace}.svc", f"{service}.{namespace}.svc.cluster.local")
        self._shown: tuple[bytes, bytes] = (b"", b"")
        self.settled = False
        """The webhook serves a certificate whose authority is in the webhook configuration."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="certificates", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join(RETRY_SECONDS)

    def step(self) -> float:
        """Do what is to be done; seconds until the next look."""
        try:
            kept = self._keep()
            if (kept.certificate, kept.key) != self._shown:
                self._server.use(kept.certificate, kept.key)
                self._shown = (kept.certificate, kept.key)
                log.info("certificate in use", extra={"renew_at": kept.due.decode(errors="replace")})
            self._trust(kept.authorities)
            self.settled = self._server.ready
        except ApiError as error:
            if error.code != 409:  # another replica was first: look again
                log.warning("webhook certificate not ready", extra={"error": str(error)})
            return RETRY_SECONDS
        except ssl.SSLError as error:
            log.error(  # noqa: TRY400 (the traceback says nothing more)
                "the Secret's tls.crt and tls.key cannot be used", extra={"secret": self._secret, "error": str(error)}
            )
            return RETRY_SECONDS
        except Exception:  # whatever was stored there, the next look must come
            log.exception("certificate renewal failed")
            return RETRY_SECONDS
        return LOOK_SECONDS

    def _run(self) -> None:
        while not self._stop.is_set():
            self._stop.wait(self.step())

    def _keep(self) -> StoredCertificates:
        secret = self._rest.get(self._secret, dict, label="secrets")
        kept = StoredCertificates(**{name: _decoded(secret, key) for name, key in _KEYS.items()})
        now = self._clock()
        if not self._renews or not kept.is_due(now):
            return kept
        from colocation.webhook import certificates  # noqa: PLC0415 (not every day, and it is large)

        kept = certificates.renewed(kept, self._names, now)
        data = {key: base64.b64encode(getattr(kept, name)).decode() for name, key in _KEYS.items()}
        # With the resourceVersion that was read: of two replicas one is refused (409).
        self._rest.replace(self._secret, {**secret, "data": data}, label="secrets")
        log.info("certificates renewed")
        return kept

    def _trust(self, authorities: bytes) -> None:
        if not authorities:
            return  # the component that renews the Secret also puts its authority into the configuration
        wanted = base64.b64encode(authorities).decode()
        configuration = self._rest.get(self._configuration, dict, label=WEBHOOKS.plural)
        wrong = [w["name"] for w in configuration.get("webhooks", []) if w["clientConfig"].get("caBundle") != wanted]
        if wrong:
            body: dict[str, Any] = {"webhooks": [{"name": n, "clientConfig": {"caBundle": wanted}} for n in wrong]}
            self._rest.patch(self._configuration, body, kind=STRATEGIC_PATCH, label=WEBHOOKS.plural)
            log.info("authority written to the webhook configuration", extra={"webhooks": wrong})


def _decoded(secret: dict[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode((secret.get("data") or {}).get(key, ""))
    except binascii.Error:
        return b""
