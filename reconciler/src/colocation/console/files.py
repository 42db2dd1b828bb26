"""What is not about a cluster: the API's description, styles and scripts."""

from __future__ import annotations

import hashlib
from functools import lru_cache

from colocation.console import openapi as described
from colocation.console import pages
from colocation.console.app import App, Ask
from colocation.console.router import Endpoint
from colocation.serving import Answer


def openapi(app: App, _ask: Ask) -> Answer:
    """GET /openapi.json."""
    text, tag = _openapi(app.router.endpoints)
    return Answer(200, text, "application/json", (("Cache-Control", "no-cache"), ("ETag", tag)))


@lru_cache(1)
def _openapi(endpoints: tuple[Endpoint, ...]) -> tuple[bytes, str]:
    text = described.document(endpoints)
    return text, f'W/"{hashlib.sha256(text).hexdigest()[:12]}"'


def static(_app: App, ask: Ask) -> Answer:
    """GET /static/{name}."""
    return pages.asset(ask.names["name"])


def dist(_app: App, ask: Ask) -> Answer:
    """GET /dist/{name}: what openFuyao's website loads."""
    return pages.asset(f"dist/{ask.names['name']}")
