from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils._values import RANGES, differing, part, problems, serial

ROLES = Path(__file__).resolve().parents[4] / "roles"


@pytest.mark.parametrize("name", sorted(RANGES))
def test_the_ends_of_a_range_are_in_it_and_one_further_is_not(name):
    low, high = RANGES[name]
    assert problems({name: low}) == problems({name: str(high)}) == []
    for beyond in (low - 1, high + 1):
        assert problems({name: beyond}) == [f"{name} is {beyond}; it must be from {low} to {high}."]


def test_a_range_is_said_where_the_variable_is_documented():
    for spec in ROLES.glob("colocation_*/meta/argument_specs.yml"):
        for name, option in yaml.safe_load(spec.read_text())["argument_specs"]["main"]["options"].items():
            if name in RANGES:
                assert "from {} to {}".format(*RANGES[name]) in " ".join(option["description"]), name


def test_a_wrong_type_is_left_to_the_argument_specs():
    assert problems({"colocation_health_soak": "soon", "colocation_manager_timeout": True, "else": 1}) == []


def test_hosts_that_disagree_on_what_a_play_goes_by_are_told():
    assert differing({"colocation_waves": ([1, 2], [1, 2]), "colocation_serial": (None, None)}, "b", "a") == []
    (answer,) = differing({"colocation_waves": ([1, 2], None)}, "b", "a")
    assert answer.startswith("colocation_waves is [1, 2] for b and None for a, and a play can go by one only.")


@pytest.mark.parametrize("good", [None, 1, "25%", [1, "25%", "100%"], ["3"]])
def test_waves_that_ansible_takes(good):
    assert serial("colocation_serial", good) == []


@pytest.mark.parametrize("bad", [0, -1, "0%", "101%", [], [1, "many"], [True], {}])
def test_waves_that_no_play_can_have(bad):
    assert len(serial("colocation_waves", bad)) == 1


@pytest.mark.parametrize(
    ("value", "whole", "want"), [("10%", 3, 1), ("10%", 10, 1), ("10%", 11, 2), ("0%", 9, 0), (2, 9, 2), ("100%", 7, 7), ("10%", 0, 0)]
)
def test_a_part_of_the_nodes_is_rounded_up(value, whole, want):
    assert part(value, whole) == want


@pytest.mark.parametrize("bad", ["many", "101%", -1, True, "1.5"])
def test_a_number_of_sick_nodes_that_cannot_be(bad):
    assert len(problems({"colocation_max_sick_nodes": bad})) == 1
    assert problems({"colocation_max_sick_nodes": "10%"}) == []
