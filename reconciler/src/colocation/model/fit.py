"""Texts and lists cut to what the CRDs take: a status that is one character too long is refused as a whole.

The lengths are those of the Structs' own ``Meta(max_length=...)``, which `make generate` writes into the CRDs too.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from msgspec import inspect as types

S = TypeVar("S", bound=Struct)
CUT: Final = "..."


def cut(text: str, most: int) -> str:
    """``text``, or its beginning and "..." where it is longer than ``most`` characters."""
    return text if len(text) <= most else text[: most - len(CUT)] + CUT


def cut_bytes(text: str, most: int) -> str:
    """The same where UTF-8 is counted: no character is cut in two."""
    raw = text.encode(errors="replace")
    return raw.decode() if len(raw) <= most else raw[: most - len(CUT)].decode(errors="ignore") + CUT


def fit(value: S) -> S:
    """The same Struct with every text and list below it no longer than its type allows."""
    changed = {}
    for name, most, most_each in _bounded(type(value)):
        before = getattr(value, name)
        after = _fitted(before, most, most_each)
        if after is not before:
            changed[name] = after
    return msgspec.structs.replace(value, **changed) if changed else value


def _fitted(value: Any, most: int | None, most_each: int | None) -> Any:
    if isinstance(value, str):
        return value if most is None else cut(value, most)
    if isinstance(value, Struct):
        return fit(value)
    if isinstance(value, tuple):
        kept = value if most is None or len(value) <= most else value[:most]
        items = tuple(_fitted(item, most_each, None) for item in kept)
        return value if kept is value and all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


@cache
def _bounded(kind: type[Struct]) -> tuple[tuple[str, int | None, int | None], ...]:
    """The fields of ``kind`` that may have to be cut, and the greatest length of each and of its items, if any."""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)  # noqa: S101 - kind is a Struct
    fields = (field for field in info.fields if _may_be_long(field.type))
    return tuple((field.name, _length(field.type), _length_of_items(field.type)) for field in fields)


def _may_be_long(info: types.Type) -> bool:
    match info:
        case types.UnionType(types=several):
            return any(_may_be_long(each) for each in several)
        case types.StrType(max_length=most):
            return most is not None
        case types.VarTupleType(item_type=item, max_length=most):
            return most is not None or _may_be_long(item)
        case types.StructType(cls=kind):
            return bool(_bounded(kind))
    return False


def _length(info: types.Type) -> int | None:
    match info:
        case types.UnionType(types=several):
            return next((most for each in several if (most := _length(each)) is not None), None)
        case types.StrType(max_length=most) | types.VarTupleType(max_length=most):
            return most
    return None


def _length_of_items(info: types.Type) -> int | None:
    match info:
        case types.UnionType(types=several):
            return next((most for each in several if (most := _length_of_items(each)) is not None), None)
        case types.VarTupleType(item_type=item):
            return _length(item)
    return None
