"""Modules that only look, in check mode: they leave no trace on the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from colocation.node.probe import probe

from .conftest import ansible


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make control groups")
def test_in_check_mode_no_knob_of_a_node_is_tried() -> None:
    argv = ["localhost", "-c", "local", "-m", "openfuyao.colocation.node_capabilities_info"]
    answer = ansible("ansible", *argv, "--check", fails=False)
    tried = ("written and read back", "a task was made SCHED_IDLE", "making a group below", ' written"')
    assert not [one for one in tried if one in answer]
    assert "(not tried)" in answer


def made_tree(root: Path, group: str) -> None:
    (root / "cgroup.controllers").write_text("cpu memory io\n")
    (root / group).mkdir()
    for name in ("cpu.max", "memory.max"):
        (root / group / name).write_text("max\n")


@pytest.mark.parametrize("group", ["kubepods", "system.slice"])
def test_without_tries_a_node_with_and_without_kubelets_tree_has_the_knobs_of_its_groups(
    tmp_path: Path, group: str
) -> None:
    root = tmp_path / "cgroup"
    root.mkdir()
    made_tree(root, group)
    before = sorted(str(one) for one in tmp_path.rglob("*"))
    features = probe(str(root), str(tmp_path), try_writes=False)["features"]
    assert features["cpu.quota"]["available"]
    assert features["memory.limit"]["available"]
    assert not features["memory.reclaim"]["available"]
    assert sorted(str(one) for one in tmp_path.rglob("*")) == before
