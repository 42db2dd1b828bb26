"""A policy as a form: its fields with range, default and meaning, and all that is wrong with what was filled in.

Derived from the Structs of `policy`, like the CRD. What only the API server checks (the CRD's CEL rules) is not here.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct, field, inspect

from colocation.model.policy import PolicySpec

_SPEC: Final = msgspec.json.Decoder(PolicySpec)
"""Made on import: see `colocation.decoding`."""
WHOLE: Final = (
    "rubik", "nodeSelector.matchLabels", "nodeSelector.matchExpressions", "rollout.nodeSelector.matchLabels",
    "rollout.nodeSelector.matchExpressions",
)  # fmt: skip
"""Fields that are shown and compared as one, though something is in them."""


class Field(Struct, frozen=True, kw_only=True):
    """One field of the form."""

    path: str
    kind: Any
    """msgspec.inspect.Type of what it holds."""
    default: Any
    text: str


class Wrong(Struct, frozen=True, kw_only=True):
    """What is wrong with one field: a sentence, and the same as a code with values for other languages."""

    path: str
    message: str
    code: str
    values: dict[str, int | float | str] = field(default_factory=dict)


@lru_cache(1)
def fields() -> tuple[Field, ...]:
    """All of a policy's, in its order."""
    return tuple(_fields(inspect.type_info(PolicySpec), "", None, ""))


def flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Values by path, for the fields of `fields`."""
    found: dict[str, Any] = {}

    def take(value: Any, path: str) -> None:
        if isinstance(value, Mapping) and path not in WHOLE:
            for name, inner in value.items():
                take(inner, f"{path}.{name}" if path else str(name))
        else:
            found[path] = value

    take(spec, "")
    return found


def effective(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Values by path with all defaults filled in. Raises msgspec.ValidationError."""
    return {**_defaults_by_path(), **flat(_as_json(_SPEC.decode(msgspec.json.encode(spec))))}


def wrong(spec: Any) -> tuple[Wrong, ...]:
    """Everything: fields that do not exist (the API server would drop them without a word), types and ranges."""
    if not isinstance(spec, dict):
        return (Wrong(path="", message="must be an object", code="type", values={"wanted": "object"}),)
    return tuple(_wrong(spec, inspect.type_info(PolicySpec), ""))


def _fields(kind: Any, path: str, default: Any, text: str) -> Iterator[Field]:
    meta, inner = _bare(kind)
    text = str(meta.get("description", text))
    if isinstance(inner, inspect.StructType) and path not in WHOLE:
        defaults = default if default is not None else _defaults(inner)
        for one in inner.fields:
            below = f"{path}.{one.encode_name}" if path else one.encode_name
            yield from _fields(one.type, below, getattr(defaults, one.name, None), text)
    else:
        yield Field(path=path, kind=inner, default=_as_json(default), text=text)


def _as_json(value: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(value))


def _defaults_by_path() -> dict[str, Any]:
    return {one.path: one.default for one in fields()}


def _defaults(kind: inspect.StructType) -> Any:
    return kind.cls()


def _bare(kind: Any) -> tuple[dict[str, Any], Any]:
    """Without its annotation and without "or nothing"."""
    meta: dict[str, Any] = {}
    while True:
        if isinstance(kind, inspect.Metadata):
            meta = {**(kind.extra_json_schema or {}), **meta}
            kind = kind.type
        elif isinstance(kind, inspect.UnionType):
            kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
        else:
            return meta, kind


def _optional(kind: Any) -> bool:
    while isinstance(kind, inspect.Metadata):
        kind = kind.type
    return isinstance(kind, inspect.UnionType)


def _wrong(given: Any, kind: Any, path: str) -> Iterator[Wrong]:
    if given is None and _optional(kind):
        return
    _, inner = _bare(kind)
    if isinstance(inner, inspect.StructType):
        yield from _wrong_struct(given, inner, path)
        return
    if isinstance(inner, inspect.VarTupleType) and isinstance(given, list | tuple):
        for place, one in enumerate(given):
            yield from _wrong(one, inner.item_type, f"{path}[{place}]")
        if (least := inner.min_length) is not None and len(given) < least:
            yield Wrong(path=path, message=f"must have at least {least}", code="atLeast", values={"least": least})
        if (most := inner.max_length) is not None and len(given) > most:
            yield Wrong(path=path, message=f"may have at most {most}", code="atMost", values={"most": most})
        return
    found = _plain(given, inner)
    if found is not None:
        message, code, values = found
        yield Wrong(path=path, message=message, code=code, values=values)


def _wrong_struct(given: Any, kind: inspect.StructType, path: str) -> Iterator[Wrong]:
    if not isinstance(given, dict):
        yield Wrong(path=path, message="must be an object", code="type", values={"wanted": "object"})
        return
    known = {one.encode_name: one for one in kind.fields}
    for name, value in given.items():
        at = f"{path}.{name}" if path else str(name)
        if name in known:
            yield from _wrong(value, known[name].type, at)
            continue
        near = difflib.get_close_matches(str(name), known, 1)
        message = "no such field" + (f"; did you mean {near[0]}?" if near else "")
        yield Wrong(path=at, message=message, code="unknownField", values={"near": near[0]} if near else {})
    for one in kind.fields:
        if one.required and one.encode_name not in given:
            at = f"{path}.{one.encode_name}" if path else one.encode_name
            yield Wrong(path=at, message="is missing", code="missing")


_Found = tuple[str, str, dict[str, int | float | str]]


def _plain(given: Any, kind: Any) -> _Found | None:
    if isinstance(kind, inspect.BoolType):
        return None if isinstance(given, bool) else _type("true or false")
    if isinstance(kind, inspect.IntType):
        return _number(given, kind)
    if isinstance(kind, inspect.LiteralType):
        choices = ", ".join(str(one) for one in kind.values)
        return None if given in kind.values else (f"must be one of {choices}", "choice", {"choices": choices})
    if isinstance(kind, inspect.StrType):
        return _text(given, kind)
    if isinstance(kind, inspect.DictType):
        if isinstance(given, dict) and all(isinstance(one, str) for pair in given.items() for one in pair):
            return None
        return _type("texts by name")
    if isinstance(kind, inspect.VarTupleType):
        return _type("a list")
    raise TypeError(f"a policy has no {type(kind).__name__}")


def _number(given: Any, kind: inspect.IntType) -> _Found | None:
    if isinstance(given, bool) or not (isinstance(given, int) or (isinstance(given, float) and given.is_integer())):
        return _type("a whole number")
    if isinstance(given, float) and not math.isfinite(given):
        return _type("a whole number")
    if kind.ge is not None and given < kind.ge:
        return f"must be at least {kind.ge}", "minimum", {"minimum": kind.ge}
    if kind.le is not None and given > kind.le:
        return f"must be at most {kind.le}", "maximum", {"maximum": kind.le}
    return None


def _text(given: Any, kind: inspect.StrType) -> _Found | None:
    if not isinstance(given, str):
        return _type("a text")
    if kind.max_length is not None and len(given) > kind.max_length:
        return f"may have at most {kind.max_length} characters", "tooLong", {"most": kind.max_length}
    if kind.pattern is not None and not re.search(kind.pattern, given):
        return f"must match {kind.pattern}", "pattern", {"pattern": kind.pattern}
    return None


def _type(wanted: str) -> _Found:
    return f"must be {wanted}", "type", {"wanted": wanted}


__all__ = ["Field", "Wrong", "effective", "fields", "flat", "wrong"]
