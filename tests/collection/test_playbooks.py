"""What holds for every play of every playbook."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from build.paths import CLONE

PLAYBOOKS = sorted((CLONE / "playbooks").glob("*.yml"))
SOURCES = [*PLAYBOOKS, *(CLONE / "roles").glob("*/tasks/*.yml")]
GROUPED = {key for path in SOURCES for key in re.findall(r"group_by:\n +key: (\w+)", path.read_text())}


def test_there_are_groups_that_plays_make() -> None:
    assert {"colocation_due", "colocation_changed"} <= GROUPED


@pytest.mark.parametrize("playbook", PLAYBOOKS, ids=lambda path: path.stem)
def test_hosts_go_in_the_order_of_the_inventory(playbook: Path) -> None:
    """group_by fills a group in the order in which hosts answer; "one node at a time" has to begin with the first."""
    plays = [play for play in yaml.safe_load(playbook.read_text()) if "hosts" in play]
    made = [play["hosts"] for play in plays if GROUPED & set(re.findall(r"\w+", play["hosts"]))]
    assert [pattern for pattern in made if not pattern.startswith("colocation_nodes:&")] == []
