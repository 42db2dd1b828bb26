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


def fit(value: S) -> S:
    """The same Struct with every text and list below it no longer than its type allows."""
    changed = {}
    for name, most in _bounded(type(value)):
        before = getattr(value, name)
        after = _fitted(before, most)
        if after is not before:
            changed[name] = after
    return msgspec.structs.replace(value, **changed) if changed else value


def _fitted(value: Any, most: int | None) -> Any:
    if isinstance(value, str):
        return value if most is None else cut(value, most)
    if isinstance(value, Struct):
        return fit(value)
    if isinstance(value, tuple):
        kept = value if most is None or len(value) <= most else value[:most]
        items = tuple(_fitted(item, None) for item in kept)
        return value if kept is value and all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


@cache
def _bounded(kind: type[Struct]) -> tuple[tuple[str, int | None], ...]:
    """The fields of ``kind`` that may have to be cut, and their greatest length, if they have one themselves."""
    info = types.type_info(kind)
    assert isinstance(info, types.StructType)  # noqa: S101 - kind is a Struct
    return tuple((field.name, _length(field.type)) for field in info.fields if _may_be_long(field.type))


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
