"""Objects that another version wrote: read field by field, so that one that is not understood costs that one alone.

A manager that was rolled back finds policies and states of a newer one. To take those as absent would withdraw nodes.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from colocation.decoding import convert

S = TypeVar("S", bound=Struct)


def read(kind: type[S], value: Any, needed: Collection[str] = (), path: str = "") -> tuple[S, tuple[str, ...]]:
    """``value`` (decoded JSON) as ``kind``, and a sentence for each field that this version cannot read.

    Such a field has its default. Raises msgspec.ValidationError if a field cannot be read that has no default, or
    whose default must not replace it: ``needed`` names these by their JSON names.
    """
    try:
        return convert(value, kind), ()
    except msgspec.ValidationError as error:
        if not isinstance(value, dict):
            if needed or any(field.required for field in msgspec.structs.fields(kind)):
                raise
            return kind(), (f"{path or 'it'}: {error}",)
    given: dict[str, Any] = {}
    problems: list[str] = []
    for field in msgspec.structs.fields(kind):
        if field.encode_name not in value:
            if field.required:
                raise msgspec.ValidationError(f"{path or 'it'} lacks {field.encode_name}")
            continue
        at = f"{path}.{field.encode_name}" if path else field.encode_name
        must = field.encode_name in needed
        try:
            given[field.name], below = _read(field.type, value[field.encode_name], at, whole=must)
        except msgspec.ValidationError as error:
            if must or field.required:
                raise msgspec.ValidationError(f"{at}: {error}") from error
            below = (f"{at}: {error}; this version takes its default",)
        problems += below
    return kind(**given), tuple(problems)


def _read(kind: Any, value: Any, path: str, *, whole: bool) -> tuple[Any, tuple[str, ...]]:
    """One field: what is below it is read field by field too, if it is a Struct and not ``whole``."""
    inner = None if whole or not isinstance(value, dict) else _struct(kind)
    return (convert(value, kind), ()) if inner is None else read(inner, value, path=path)


def _struct(annotated: Any) -> type[Struct] | None:
    """The Struct that a field holds, if it holds one (or nothing)."""
    plain = get_args(annotated)[0] if get_origin(annotated) is Annotated else annotated
    for candidate in (plain, *get_args(plain)):
        if isinstance(candidate, type) and issubclass(candidate, Struct):
            return candidate if get_origin(plain) is not tuple else None
    return None
