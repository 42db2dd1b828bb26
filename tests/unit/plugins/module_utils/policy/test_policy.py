"""Options of the policy module and the API's own form, converted both ways."""

from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.policy import _policy
from ansible_collections.openfuyao.colocation.plugins.module_utils.policy._fields import FIELDS


def filled(fields):
    """Every option set to something that is not None, lists with one item."""
    values = {"bool": False, "int": 7, "str": "x", "float": 0.5, "dict": {"some_key/with-dashes_": "kept_as_is"}}

    def one(field):
        below = field.get("options")
        if field["type"] == "list":
            return [filled(below)] if below else ["a_b"]
        return filled(below) if below else values[field["type"]]

    return {name: one(field) for name, field in fields.items()}


def test_every_option_survives_the_way_to_the_api_and_back():
    options = filled(FIELDS)
    spec = _policy.to_api(options)
    assert _policy.from_api(spec) == options
    assert spec["oversell"]["staleAfterSeconds"] == 7


def test_no_name_of_the_api_has_an_underscore_and_no_option_a_capital():
    def names(fields):
        return [n for name, f in fields.items() for n in (name, *names(f.get("options") or {}))]

    assert [n for n in names(FIELDS) if n != n.lower()] == []
    assert [n for n in names(FIELDS) if "_" in _policy.camel(n)] == []


def test_labels_are_users_words_and_are_not_converted():
    options = {"node_selector": {"match_labels": {"my_pool.x/snake_case": "a_b"}, "match_expressions": None}}
    assert _policy.to_api(options) == {"nodeSelector": {"matchLabels": {"my_pool.x/snake_case": "a_b"}}}


def test_a_field_of_a_newer_cluster_is_shown_and_not_hidden():
    assert _policy.from_api({"newThing": {"someValue": 1}, "enabled": True}) == {
        "newThing": {"someValue": 1},
        "enabled": True,
    }


@pytest.mark.parametrize(
    "before, after, result",
    [
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b: 1 -> 2"]),
        ({"a": 1}, {}, ["a: 1 -> not set"]),
        ({}, {"a": {"b": 1}}, ["a: not set -> {'b': 1}"]),
        ({"a": [1]}, {"a": [1]}, []),
    ],
)
def test_changes_are_told_by_path(before, after, result):
    assert _policy.changes(before, after) == result
