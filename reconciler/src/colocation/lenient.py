"""Objects that another version wrote: read field by field, so that one that is not understood costs that one alone.

A manager that was rolled back finds policies and states of a newer one. To take those as absent would withdraw nodes.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct

from colocation.decoding import convert

S = TypeVar("S", bound=Struct)


def read(kind: type[S], value: Any, path: str = "") -> tuple[S, tuple[str, ...]]:
    """``value`` (decoded JSON) as ``kind``, and a sentence for each field that this version cannot read.

    Such a field has its default. Raises msgspec.ValidationError where a field without default cannot be read.
    """
    try:
        return convert(value, kind), ()
    except msgspec.ValidationError as error:
        if not isinstance(value, dict):
            if any(field.required for field in msgspec.structs.fields(kind)):
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
        inner = _struct(field.type)
        try:
            if inner is not None and isinstance(value[field.encode_name], dict):
                given[field.name], below = read(inner, value[field.encode_name], at)
                problems += below
            else:
                given[field.name] = convert(value[field.encode_name], field.type)
        except msgspec.ValidationError as error:
            if field.required:
                raise
            problems.append(f"{at}: {error}; this version takes its default")
    return kind(**given), tuple(problems)


def _struct(annotated: Any) -> type[Struct] | None:
    """The Struct that a field holds, if it holds one (or nothing)."""
    plain = get_args(annotated)[0] if get_origin(annotated) is Annotated else annotated
    for one in (plain, *get_args(plain)):
        if isinstance(one, type) and issubclass(one, Struct):
            return one if get_origin(plain) is not tuple else None
    return None
