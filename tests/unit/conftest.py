"""Lets plain pytest import the collection as C(ansible-test units) does: below C(ansible_collections)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

if "ansible_collections" not in sys.modules:
    _clone = Path(__file__).resolve().parents[2]
    _cache = Path(os.environ.get("COLOCATION_CACHE") or Path.home() / ".cache" / "openfuyao-colocation")
    for _path in (_cache / "collections", _clone / ".collections"):
        sys.path.insert(0, str(_path))
