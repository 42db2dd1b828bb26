"""What is not about a cluster: the API's description, styles and scripts."""

from __future__ import annotations

from functools import lru_cache

from colocation.console import openapi as described
from colocation.console import pages
from colocation.console.app import App, Ask
from colocation.serving import Answer


def openapi(app: App, _ask: Ask) -> Answer:
    """GET /openapi.json."""
    return Answer(200, _openapi(app.router.endpoints), "application/json")


_openapi = lru_cache(1)(described.document)


def static(_app: App, ask: Ask) -> Answer:
    """GET /static/{name}."""
    return pages.asset(ask.names["name"])


def dist(_app: App, ask: Ask) -> Answer:
    """GET /dist/{name}: what openFuyao's website loads."""
    return pages.asset(f"dist/{ask.names['name']}")
