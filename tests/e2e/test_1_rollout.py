"""site.yml on real machines: does what it says, a second time changes nothing, check mode predicts."""

from __future__ import annotations

import re

import pytest

from tests.e2e.conftest import VALUES, snapshot
from tests.lab.cluster import Cluster

pytestmark = pytest.mark.lab


def recap(output: str) -> dict[str, dict[str, int]]:
    rows = re.findall(r"^(\S+)\s+: (ok=.*)$", output, re.MULTILINE)
    return {host: {k: int(v) for k, v in (pair.split("=") for pair in counts.split())} for host, counts in rows}


def test_check_mode_on_a_fresh_cluster_changes_nothing(cluster: Cluster, before: dict[str, object]) -> None:
    output = cluster.playbook("site", "-e", f"@{VALUES}", "--check", "--diff", quiet=True)
    assert all(counts["failed"] == 0 for counts in recap(output).values())
    assert snapshot(cluster) == before


def test_a_second_run_changes_nothing(rolled_out: Cluster) -> None:
    output = rolled_out.playbook("site", "-e", f"@{VALUES}", quiet=True)
    counts = recap(output)
    assert set(counts) >= {"node1", "node2"}
    assert {host: row["changed"] for host, row in counts.items()} == dict.fromkeys(counts, 0), output


def test_check_mode_of_a_finished_roll_out_predicts_nothing(rolled_out: Cluster) -> None:
    output = rolled_out.playbook("site", "-e", f"@{VALUES}", "--check", quiet=True)
    assert all(row["changed"] == 0 for row in recap(output).values()), output


def test_a_host_that_is_no_node_is_named_before_anything_changes(rolled_out: Cluster) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)nosuchnode.*node1") as result:
        rolled_out.playbook("site", "-e", f"@{VALUES}", "-e", "colocation_node_name=nosuchnode", quiet=True)
    assert "Traceback" not in str(result.value)
