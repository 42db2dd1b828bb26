"""Which handler answers what: paths with names in them, and what the documentation of the API is generated from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Final, Literal

from msgspec import Struct

from colocation.serving import Refused

Needs = Literal["nobody", "person", "report"]
"""Who may ask: everybody, people who are signed in, or those who may see the report. What the API server holds, it
guards itself."""
_NAME: Final = re.compile(r"\{(\w+)\}")


class Endpoint(Struct, frozen=True, kw_only=True, dict=True):
    """One method of one path."""

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    """With names of parts in braces: /api/v1/nodes/{name}."""
    handle: Any
    """A handler: (App, Ask) -> Answer."""
    summary: str
    needs: Needs = "person"
    query: type[Struct] | None = None
    """What its query is decoded into."""
    body: type[Struct] | None = None
    answer: type[Struct] | None = None
    """None: no JSON."""
    template: str = ""
    """A page, made of the view that the handler returns; its problems are pages too."""
    csrf: bool = True
    """A write of a session needs X-Csrf; False: it changes nothing that the session gives the right to."""
    check: bool = False
    """It takes the header X-Check."""

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a path has to be."""
        parts = _NAME.split(self.path)
        return re.compile(
            "".join(f"(?P<{part}>[^/:]+)" if place % 2 else re.escape(part) for place, part in enumerate(parts))
        )


class Router:
    """All endpoints."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self.endpoints = tuple(endpoints)

    def find(self, method: str, path: str) -> tuple[Endpoint, dict[str, str]]:
        """Raises Refused where there is none."""
        others = set()
        for endpoint in self.endpoints:
            if match := endpoint.pattern.fullmatch(path):
                if endpoint.method == method:
                    return endpoint, match.groupdict()
                others.add(endpoint.method)
        if others:
            raise Refused(405, f"{path} takes {', '.join(sorted(others))}")
        raise Refused(404, f"there is nothing at {path}")
