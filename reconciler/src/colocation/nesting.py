"""JSON of any depth, on any Python: what lies deeper than anything that we read is left out.

An author of pods may give one `managedFields` as deep as the API server reads (10,000 levels). msgspec gives up with a
RecursionError where the interpreter does, from about 1,000 levels on, and from Python 3.12 on no setting moves that.
"""

from __future__ import annotations

import re
from mmap import mmap
from typing import Final, Generic, TypeVar

import msgspec
from msgspec import Raw

T = TypeVar("T")
LEVELS: Final = 100
"""Levels that are kept; Kubernetes objects have about 20."""
_NULL: Final = b"null"
_TOKEN: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)


class Deep(Generic[T]):
    """A decoder that takes JSON of any depth."""

    def __init__(self, decoder: msgspec.json.Decoder[T]) -> None:
        self._decoder = decoder

    def decode(self, text: bytes | mmap | str | Raw) -> T:
        """Like the decoder's own. Raises msgspec.DecodeError."""
        try:
            return self._decoder.decode(text)
        except RecursionError:
            return self._decoder.decode(shallow(text.encode() if isinstance(text, str) else bytes(text)))


def shallow(text: bytes) -> bytes:
    """The JSON with null for each list or object below `LEVELS`; what does not end is cut off there."""
    parts, kept, depth = [], 0, 0
    for token in _TOKEN.finditer(text):
        match text[token.start() : token.start() + 1]:
            case b"{" | b"[":
                depth += 1
                if depth == LEVELS + 1:
                    parts.append(text[kept : token.start()])
            case b"}" | b"]":
                if depth == LEVELS + 1:
                    parts.append(_NULL)
                    kept = token.end()
                depth -= 1
    if depth <= LEVELS:
        parts.append(text[kept:])
    return b"".join(parts)
