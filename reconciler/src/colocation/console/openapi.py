"""OpenAPI 3.1 of `/api/v1`, from the table of routes and the Structs of `model`: there is no other description."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from colocation import __version__
from colocation.console.model import Problem
from colocation.console.router import Endpoint

_NAME: Final = re.compile(r"\{(\w+)\}")
_REF: Final = "#/components/schemas/{name}"
_CODES: Final = {
    400: "The request cannot be understood.",
    401: "No token, or one that the API server does not know.",
    403: "The person has not the right to; `missing` and `remedy` say which and how to get it.",
    404: "There is no such thing.",
    409: "It was changed meanwhile; `theirs` is what is there now.",
    412: "The change was not checked: X-Check is missing, old, or of another change.",
    422: "Not valid; `fields` say what and where.",
    429: "Too many; Retry-After says when again.",
    503: "Who is asked for it is away: `what`, `since`.",
}


def document(endpoints: tuple[Endpoint, ...]) -> bytes:
    """The whole of it, as JSON."""
    shown = [one for one in endpoints if one.path.startswith("/api/")]
    kinds: list[type[Struct]] = [Problem]
    for one in shown:
        kinds += [kind for kind in (one.body, one.answer, one.query) if kind is not None and kind not in kinds]
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for one in shown:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, components)
    referred = json.dumps([paths, components])
    for kind in kinds:  # a query is no schema of its own, unless an answer has it too
        if f'"{_REF.format(name=kind.__name__)}"' not in referred:
            components.pop(kind.__name__, None)
    whole = {
        "openapi": "3.1.0",
        "info": {
            "title": "Colocation console",
            "version": __version__,
            "summary": "Nodes, policies and history, with exactly the rights of the person who asks.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}, {"cookie": []}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token of the cluster's API server."},
                "cookie": {"type": "apiKey", "in": "cookie", "name": "__Host-colocation"},
            },
        },
    }
    return json.dumps(whole, indent=1, sort_keys=True).encode() + b"\n"


def _operation(one: Endpoint, components: dict[str, Any]) -> dict[str, Any]:
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "maxLength": 253}}
        for name in _NAME.findall(one.path)
    ]
    if one.query is not None:
        parameters += _query(one.query, components)
    if one.check:
        text = "checkToken of :check"
        parameters.append(
            {"name": "X-Check", "in": "header", "required": True, "schema": {"type": "string"}, "description": text}
        )
    codes = {str(code): _problem(text) for code, text in _CODES.items() if _may(one, code)}
    kind = "application/json"
    if one.answer is None:
        kind = "text/csv" if one.path.endswith(".csv") else "text/event-stream" if one.path.endswith("stream") else kind
    content = {kind: {"schema": _ref(one.answer)} if one.answer else {}}
    good = {"description": one.summary, "content": content}
    found: dict[str, Any] = {
        "operationId": f"{one.method.lower()}{_words(one.path)}",
        "summary": one.summary,
        "responses": {"200": good, **({"201": good} if one.method == "PUT" else {}), **codes},
    }
    if parameters:
        found["parameters"] = parameters
    if one.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(one.body)}}}
    if one.needs == "nobody":
        found["security"] = []
    return found


def _may(one: Endpoint, code: int) -> bool:
    if one.needs == "nobody":
        return False
    named = "{name}" in one.path or one.query is not None
    return {
        400: one.query is not None or one.body is not None,
        403: one.needs == "report"
        or one.path.endswith(("policies", "{name}", "events", "changes"))
        or one.method != "GET",
        404: named,
        409: one.method in ("PUT", "DELETE") or one.path.endswith(":check"),
        412: one.check,
        422: one.check,
        429: one.path.endswith("stream"),
    }.get(code, True)


def _query(kind: type[Struct], components: dict[str, Any]) -> list[dict[str, Any]]:
    schema = components[kind.__name__]
    found = []
    for one in structs.fields(kind):
        field = dict(schema["properties"][one.encode_name])
        text = field.pop("description", "")
        required = one.encode_name in schema.get("required", ())
        entry: dict[str, Any] = {"name": one.encode_name, "in": "query", "required": required, "schema": field}
        found.append(entry | ({"description": text} if text else {}))
    return found


def _problem(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/problem+json": {"schema": _ref(Problem)}}}


def _ref(kind: type[Struct] | None) -> dict[str, str]:
    assert kind is not None  # noqa: S101 (its callers look)
    return {"$ref": _REF.format(name=kind.__name__)}


def _words(path: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", path.removeprefix("/api/v1")))
