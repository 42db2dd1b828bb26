"""One request as a handler gets it, and how its query, form and body are read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct, structs

from colocation.console import problems
from colocation.console.context import Context
from colocation.console.gate import User
from colocation.console.people import Person
from colocation.console.place import Place
from colocation.decoding import convert, decode
from colocation.serving import Request

MOST_FIELDS = 512


class Ask(Struct, frozen=True, kw_only=True):
    """One request."""

    request: Request
    place: Place
    names: Mapping[str, str]
    """Parts of its path."""
    query: Any
    body: Any
    person: Person | None
    user: User | None
    context: Context
    given: Mapping[str, str]
    """Its cookies."""

    @property
    def base(self) -> str:
        """Prefix of every link."""
        return self.place.base

    @property
    def token(self) -> str:
        """The person's. Only where the endpoint needs a person."""
        assert self.person is not None  # noqa: S101 (the endpoint says so)
        return self.person.token


def form(request: Request) -> dict[str, str]:
    """Fields of a form; empty when it cannot be read."""
    try:
        return {name: values[-1] for name, values in _pairs(bytes(request.body).decode()).items()}
    except (UnicodeDecodeError, ValueError):
        return {}


def query(text: str, kind: type[Struct] | None) -> Any:
    """Fields that ``kind`` does not have are not looked at. Raises Trouble."""
    if kind is None:
        return None
    try:
        given = _pairs(text)
    except (ValueError, UnicodeDecodeError) as error:
        raise problems.malformed(f"the query cannot be read: {error}") from error
    wanted: dict[str, Any] = {}
    for one in structs.fields(kind):
        if one.encode_name in given:
            values = given[one.encode_name]
            wanted[one.encode_name] = values if isinstance(one.default, tuple) else values[-1]
    try:
        return convert(wanted, kind, strict=False)
    except msgspec.ValidationError as error:
        raise problems.malformed(f"query: {error}") from error


def body(request: Request, kind: type[Struct] | None) -> Any:
    """Raises Trouble."""
    if kind is None:
        return None
    given = request.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
    if given != "application/json":
        raise problems.malformed(f"send application/json, not {given}")
    try:
        return decode(bytes(request.body) or b"{}", kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise problems.malformed(f"the body is not what is wanted: {error}") from error


def _pairs(text: str) -> dict[str, list[str]]:
    return parse_qs(text, max_num_fields=MOST_FIELDS, errors="strict")
