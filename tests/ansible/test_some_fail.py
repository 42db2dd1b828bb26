"""colocation_max_fail_percentage: how many hosts may fail. In check mode, one host answers and one does not."""

from __future__ import annotations

import json
import sys

import pytest

from tests.ansible import cluster
from tests.ansible.conftest import HOSTS, Site

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
    _, given = site.play("site", {"colocation_max_fail_percentage": 50}, "--check", "-i", half(site))
    assert "TASK [Let other rollouts in again]" in given, given[-3000:]
    assert "would take part" in given
    assert "node1 would take part." in given
    assert "node2 would take part." not in given
    assert "node2 takes no part in the rest of this play (colocation_max_fail_percentage)." in given
    assert "failed=1" in given.partition("PLAY RECAP")[2].partition("node2")[2]


def test_beyond_it_nothing_is_begun(site: Site) -> None:
    code, output = site.play("site", {"colocation_max_fail_percentage": 49}, "--check", "-i", half(site))
    assert code != 0
    assert "Inventory host node2 cannot be reached" in output


def no_python(site: Site, bad: str) -> str:
    """An inventory: modules run on all hosts but this one."""
    rows = {h: {"ansible_python_interpreter": "/usr/bin/python9" if h == bad else sys.executable} for h in HOSTS}
    return str(cluster.inventory(site.place, rows))


@pytest.mark.parametrize(
    "playbook", ["site", "upgrade", "add_nodes", "remove_nodes", "rollback", "verify", "uninstall"]
)
def test_a_host_that_runs_no_module_is_named_and_stops_the_play(site: Site, playbook: str) -> None:
    before = site.state()
    extra = ("--limit", "node1,node2") if playbook == "remove_nodes" else ()
    code, given = site.play(playbook, {"ansible_python_interpreter": None}, "-i", no_python(site, "node2"), *extra)
    assert code != 0
    assert "Inventory host node2 runs no module: The module interpreter '/usr/bin/python9' was not found" in given
    assert "Nothing was changed." in given
    assert site.state() == before


@pytest.mark.parametrize("bad", ["node1", "node2"])
def test_within_the_percentage_the_others_go_on_without_a_host_that_runs_no_module(site: Site, bad: str) -> None:
    """Also where it is the first, which most tasks that run once are begun on."""
    good = {"node1": "node2", "node2": "node1"}[bad]
    code, given = site.play(
        "site",
        {"colocation_max_fail_percentage": 50, "ansible_python_interpreter": None},
        "--check",
        "-i",
        no_python(site, bad),
    )
    assert code != 0, "a host was left out"
    assert f"{good} would take part." in given, given[-3000:]
    assert f"{bad} would take part." not in given
    assert f"{bad} takes no part in the rest of this play" in given
