"""Puts the webhook together: it serves from start to end of its process, whichever replica leads."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from colocation.admission import Settings
from colocation.kube.rest import Rest
from colocation.webhook.keeper import CertificateRenewer
from colocation.webhook.server import serve

SWITCH_SECONDS: Final = 0.0005
"""How often Python's threads take turns while it serves, so that reviews are not delayed while a manager computes."""


class WebhookOptions(Struct, frozen=True, kw_only=True):
    """How the webhook is served, and who renews its certificate."""

    host: str = ""
    port: int = 9443
    secret: str = "colocation-webhook"  # noqa: S105 (a name)
    configuration: str = "colocation-pods"
    service: str = "colocation-manager"
    renews: bool = True
    settings: Settings = Settings()


class Webhook:
    """Server and keeper of its certificate, as one."""

    def __init__(self, options: WebhookOptions, namespace: str, rest: Rest, observe: Callable[[str], None]) -> None:
        """``observe``: called with each review's outcome. Raises OSError if the address is taken."""
        self._server = serve(options.host, options.port, options.settings, observe)
        self._keeper = CertificateRenewer(
            rest,
            self._server,
            namespace,
            secret=options.secret,
            configuration=options.configuration,
            service=options.service,
            renews=options.renews,
        )

    @property
    def settled(self) -> bool:
        """The webhook serves a certificate whose authority is in the webhook configuration."""
        return self._keeper.settled

    def start(self) -> None:
        """Begin to answer."""
        sys.setswitchinterval(SWITCH_SECONDS)
        self._server.start()
        self._keeper.start()

    def stop(self) -> None:
        """End."""
        self._keeper.stop()
        self._server.stop()
