from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.openfuyao.colocation.plugins.filter.play_hosts import play_hosts

GROUPS = {
    "all": ["n1", "n2", "web1"],
    "ungrouped": [],
    "colocation_nodes": ["n1", "n2"],
    "zone_a": ["n2", "web1"],
    "web": ["web1"],
}


@pytest.mark.parametrize("limit", ["", "n1", "n1,web1", "zone_a", "!n1", "all:!web1", "colocation_nodes[0:0]", "~n[0-9]", "n*"])
def test_a_limit_that_leaves_a_node(limit):
    assert play_hosts("colocation_nodes", GROUPS, limit) == "colocation_nodes"


@pytest.mark.parametrize("limit", ["web1", "zone_a:!n2", "!colocation_nodes", "web"])
def test_a_limit_that_leaves_none(limit):
    with pytest.raises(AnsibleFilterError, match="leaves no host of the group colocation_nodes"):
        play_hosts("colocation_nodes", GROUPS, limit)


def test_a_limit_of_a_file_is_read(tmp_path):
    file = tmp_path / "again.retry"
    file.write_text("n2\n")
    assert play_hosts("colocation_nodes", GROUPS, f"@{file}") == "colocation_nodes"
    file.write_text("web1\n")
    with pytest.raises(AnsibleFilterError):
        play_hosts("colocation_nodes", GROUPS, f"@{file}")


@pytest.mark.parametrize("groups", [{}, {"all": ["n1"], "ungrouped": ["n1"]}, {"colocation_nodes": []}, {"colocation_node": ["n1"]}])
def test_a_group_without_hosts_is_an_error(groups):
    with pytest.raises(AnsibleFilterError, match="The inventory has no host in a group colocation_nodes"):
        play_hosts("colocation_nodes", groups)
