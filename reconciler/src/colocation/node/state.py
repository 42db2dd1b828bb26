"""The last spec the manager gave us, kept on disk: the agent enforces it while the API server is away."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from colocation import lenient
from colocation.decoding import decode
from colocation.model.report import NodeColocationSpec
from colocation.node.journal import write_atomically


def save(path: Path, spec: NodeColocationSpec) -> None:
    """Replace the kept spec. Raises OSError when the disk refuses."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_atomically(str(path), msgspec.json.encode(spec).decode())


def load(path: Path) -> NodeColocationSpec | None:
    """The kept spec; None if there is none, or if what is there cannot be read as one."""
    try:
        spec, problems = lenient.read(NodeColocationSpec, decode(path.read_bytes(), dict[str, Any]))
    except (OSError, ValueError, RecursionError):  # msgspec's errors, and broken UTF-8, are ValueErrors
        return None
    # A newer agent kept it: its pods are held all the same, with defaults for what is not known here.
    return None if needed(problems) else spec


def needed(problems: Iterable[str]) -> list[str]:
    """Those of the problems (as `lenient.read` puts them) without whose field nothing is known of a spec."""
    return [problem for problem in problems if problem.startswith(("it:", "pods:", "enabled:"))]


def forget(path: Path) -> None:
    """The object was deleted: a restart must not enforce it again."""
    path.unlink(missing_ok=True)
