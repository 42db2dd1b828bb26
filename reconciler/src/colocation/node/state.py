"""The last spec the manager gave us, kept on disk: the agent enforces it while the API server is away."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from colocation import lenient
from colocation.decoding import decode
from colocation.model.report import NodeColocationSpec
from colocation.node.journal import write_atomically

NEEDED: Final = ("pods", "enabled")
"""Fields without which nothing is known of a spec."""


class Followed(Struct, frozen=True):
    """A spec, and the object's generation that it is of; 0: it is not known."""

    spec: NodeColocationSpec
    generation: int = 0


class _Generation(Struct):
    generation: int = 0


def save(path: Path, followed: Followed) -> None:
    """Replace the kept spec. Raises OSError when the disk refuses."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = {"generation": followed.generation, **msgspec.to_builtins(followed.spec)}
    write_atomically(str(path), msgspec.json.encode(kept).decode())


def load(path: Path) -> Followed | None:
    """The kept spec; None if there is none, or if what is there cannot be read as one."""
    try:
        text = path.read_bytes()
        generation = decode(text, _Generation).generation
        spec, _ = lenient.read(NodeColocationSpec, decode(text, dict[str, Any]), NEEDED)
    except (OSError, ValueError, RecursionError):  # msgspec's errors, and broken UTF-8, are ValueErrors
        return None
    # A newer agent kept it: its pods are held all the same, with defaults for what is not known here.
    return Followed(spec, generation)


def forget(path: Path) -> None:
    """The object was deleted: a restart must not enforce it again."""
    path.unlink(missing_ok=True)
