"""Which engine the hosts of an inventory ask for: one for all, or none."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from .conftest import ansible

FEATURES = {"cpu.qos_level": {"available": False}}


def preflight(tmp_path: Path, first: dict[str, str], second: dict[str, str], *, fails: bool) -> str:
    common = {"ansible_connection": "local", "__colocation_preflight_node": {"features": FEATURES}}
    hosts = {"one": {**common, **first}, "two": {**common, **second}}
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump({"colocation_nodes": {"hosts": hosts}}))
    role = {"name": "openfuyao.colocation.colocation_engine", "tasks_from": "preflight"}
    task = {"ansible.builtin.include_role": role, "when": "colocation_engine is defined"}
    play = [{"hosts": "colocation_nodes", "gather_facts": False, "tasks": [task]}]
    (tmp_path / "play.yml").write_text(yaml.safe_dump(play))
    return ansible("ansible-playbook", "-i", str(tmp_path / "hosts.yml"), str(tmp_path / "play.yml"), fails=fails)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"colocation_engine": "native"}, {"colocation_engine": "none"}),
        ({"colocation_engine": "native"}, {}),
        ({}, {"colocation_engine": "native"}),
    ],
)
def test_hosts_that_say_different_engines_are_refused_with_the_way_to_say_it(
    tmp_path: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    answer = " ".join(preflight(tmp_path, first, second, fails=True).split())
    assert "give them a policy of their own in colocation_policies, with engine and nodeSelector" in answer


def test_one_engine_for_all_hosts_is_taken(tmp_path: Path) -> None:
    preflight(tmp_path, {"colocation_engine": "none"}, {"colocation_engine": "none"}, fails=False)


def test_a_node_that_cannot_run_the_engine_gets_advice_that_its_policy_can_follow(tmp_path: Path) -> None:
    rubik = {"colocation_engine": "rubik", "colocation_engine_image": "r.example/rubik:2.0.1"}
    answer = " ".join(preflight(tmp_path, rubik, rubik, fails=True).split())
    assert "a policy of its own in colocation_policies" in answer
    assert "cpu.qos_level" in answer
