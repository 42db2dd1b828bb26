from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils._values import RANGES, problems, waves

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


def test_a_lease_has_to_outlive_the_watch():
    assert problems({"colocation_manager_lease": 31, "colocation_health_soak": 30}) == []
    (answer,) = problems({"colocation_manager_lease": 30, "colocation_health_soak": 30})
    assert "run out" in answer


@pytest.mark.parametrize("good", [None, 1, "25%", [1, "25%", "100%"], ["3"]])
def test_waves_that_ansible_takes(good):
    assert waves(good) == []


@pytest.mark.parametrize("bad", [0, -1, "0%", "101%", [], [1, "many"], [True], {}])
def test_waves_that_no_play_can_have(bad):
    assert len(waves(bad)) == 1
