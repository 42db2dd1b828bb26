"""colocation_max_fail_percentage: how many hosts may fail. In check mode, one host answers and one does not."""

from __future__ import annotations

import json

import pytest

from tests.ansible.conftest import Site

pytestmark = pytest.mark.apiserver


def half(site: Site) -> str:
    """node1 is this machine; nobody listens where node2 should be."""
    hosts = site.place / "half.json"
    gone = {"ansible_host": "127.0.0.1", "ansible_port": 1}
    rows = {"node1": {"ansible_connection": "local"}, "node2": gone}
    hosts.write_text(json.dumps({"colocation_nodes": {"hosts": rows}}))
    return str(hosts)


def test_by_default_one_host_that_cannot_be_reached_stops_the_play(site: Site) -> None:
    code, output = site.play("site", {}, "--check", "-i", half(site))
    assert code != 0
    assert "Inventory host node2 cannot be reached" in output
    assert "TASK [Let other rollouts in again]" not in output


def test_within_the_percentage_the_others_go_on_without_it(site: Site) -> None:
    _, output = site.play("site", {"colocation_max_fail_percentage": 50}, "--check", "-i", half(site))
    assert "TASK [Let other rollouts in again]" in output, output[-3000:]
    assert "would take part" in output
    assert "node1 would take part." in output
    assert "node2 would take part." not in output
    recap = output.partition("PLAY RECAP")[2]
    assert "unreachable=1" in recap.partition("node2")[2]


def test_beyond_it_nothing_is_begun(site: Site) -> None:
    code, output = site.play("site", {"colocation_max_fail_percentage": 49}, "--check", "-i", half(site))
    assert code != 0
    assert "Inventory host node2 cannot be reached" in output
