"""JSON into types, from any thread.

msgspec learns how to fill a Struct when it is first asked for one, and shows other threads what it has learned so far:
decoding the same type at that moment reads a null pointer and ends the process (msgspec 0.22, a manager that started).
So no type is learned outside this lock. Layers that may not know of threads, and hot paths, keep their decoders as
module constants: an import is over before there are threads.
"""

from __future__ import annotations

import threading
from typing import Any, Final, TypeVar

import msgspec

from colocation.nesting import Deep

T = TypeVar("T")

_LEARNING: Final = threading.Lock()
_KNOWN: Final[dict[Any, Deep[Any]]] = {}


def decoder(kind: type[T]) -> Deep[T]:
    """The decoder of ``kind``, made once."""
    known = _KNOWN.get(kind)
    if known is None:
        with _LEARNING:
            known = _KNOWN[kind] = Deep(msgspec.json.Decoder(kind))
    return known


def decode(text: bytes | str | msgspec.Raw, kind: type[T]) -> T:
    """JSON as ``kind``. Raises msgspec.DecodeError (ValidationError where it is JSON but no such thing)."""
    return decoder(kind).decode(text)


def convert(value: Any, kind: type[T], *, strict: bool = True) -> T:
    """What was decoded already, as ``kind``; not ``strict``: numbers may be texts. Raises msgspec.ValidationError."""
    decoder(kind)
    return msgspec.convert(value, kind, strict=strict)
