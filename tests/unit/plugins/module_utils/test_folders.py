from __future__ import annotations

import re
from pathlib import Path

import pytest

UTILS = Path(__file__).resolve().parents[4] / "plugins/module_utils"
MAY_IMPORT: dict[str, set[str]] = {
    "cluster": {"release"},
    "descheduler": {"neighbours"},
    "neighbours": set(),
    "node": set(),
    "osc": set(),
    "policy": set(),
    "release": set(),
    "rollout": {"cluster", "release"},
}
IMPORT = re.compile(r"^\s*from ansible_collections\.openfuyao\.colocation\.plugins\.module_utils\.([a-z]\w*)", re.M)


def test_each_folder_is_named_here():
    assert {at.name for at in UTILS.iterdir() if at.is_dir() and at.name != "__pycache__"} == set(MAY_IMPORT)


@pytest.mark.parametrize("folder", sorted(MAY_IMPORT))
def test_imports_between_folders_point_one_way(folder):
    found = {name for file in (UTILS / folder).glob("*.py") for name in IMPORT.findall(file.read_text())}
    assert found - {folder} <= MAY_IMPORT[folder]


def test_every_file_is_private():
    assert not [at for at in UTILS.rglob("*.py") if not at.name.startswith("_")]
