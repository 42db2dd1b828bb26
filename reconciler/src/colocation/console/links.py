"""Links of one page: relative to it, so that they hold below any prefix, of which this console need not know."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from colocation.console.context import Context


class Links:
    """Links of one page: relative to it, so that they hold below any prefix, of which this console need not know."""

    def __init__(self, context: Context) -> None:
        self._up = f"{context.base}/" if context.plugin else "../" * (context.path.count("/") - 1) or "./"

    def url(self, path: str, /, **query: Any) -> str:
        """A page or a route, by its path below the prefix; a query value of None or "" is left out."""
        pairs = [
            (name, value)
            for name, values in query.items()
            for value in (values if isinstance(values, tuple | list) else (values,))
            if value not in (None, "")
        ]
        return self._up + path.removeprefix("/") + (f"?{urlencode(pairs)}" if pairs else "")
