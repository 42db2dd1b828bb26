"""What a page needs beside its view: who asks, in which language and look, and below which path."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from colocation.console.model import Me

Language = Literal["en", "zh"]


class Context(Struct, frozen=True, kw_only=True):
    """One request for a page."""

    path: str
    """Below the prefix: /nodes."""
    query: tuple[tuple[str, str], ...] = ()
    base: str = ""
    """Prefix of every link: "" or "/clusters/c/proxy/colocation"; never ends with "/"."""
    language: Language = "en"
    theme: Literal["auto", "light", "dark"] = "auto"
    fragment: bool = False
    """X-Fragment: 1: only the page's main part is wanted."""
    plugin: bool = False
    """It is shown inside openFuyao's own page (header X-Colocation-Plugin: 1)."""
    me: Me | None = None
    """None: no person is signed in, or the API server is away."""
    cluster: str = ""
    """How the header names the cluster."""
    version: str = ""
