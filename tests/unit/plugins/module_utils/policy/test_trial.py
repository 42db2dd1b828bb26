from __future__ import annotations

import copy

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.policy import _trial as trial

CRD = {
    "metadata": {"name": "colocationpolicies.g", "labels": {"a": "b"}},
    "spec": {
        "group": "g",
        "names": {"plural": "colocationpolicies"},
        "versions": [
            {
                "schema": {
                    "openAPIV3Schema": {
                        "properties": {
                            "spec": {
                                "properties": {
                                    "enabled": {"type": "boolean"},
                                    "evict": {"properties": {"high": {"type": "integer"}, "low": {"type": "integer"}}},
                                    "labels": {"additionalProperties": {"type": "string"}},
                                    "rows": {"items": {"properties": {"key": {"type": "string"}}}},
                                },
                                "default": {"enabled": True, "evict": {"high": 85, "low": 80}},
                            }
                        }
                    }
                }
            }
        ],
    },
}


def test_what_is_tried_is_the_whole_policy_under_a_name_of_its_own():
    before = copy.deepcopy(CRD)
    tried = trial.trial(CRD, {"evict": {"high": 70}})
    assert tried["metadata"] == {"name": "colocationpolicies.preflight.g"}
    assert trial.schema_of(tried)["default"] == {"enabled": True, "evict": {"high": 70, "low": 80}}
    assert before == CRD


def test_a_value_of_another_shape_is_left_for_the_server_to_refuse():
    assert trial.merged({"a": {"b": 1}}, {"a": 7}) == {"a": 7}


def test_unknown_fields_are_told_at_every_depth():
    spec = {"evikt": {}, "evict": {"hihg": 1}, "labels": {"any": "x"}, "rows": [{"key": "k"}, {"kee": "k"}], "zzz": 1}
    assert trial.unknown(trial.schema_of(CRD), spec) == [
        "spec has no field evikt. Did you mean evict?",
        "spec.evict has no field hihg. Did you mean high?",
        "spec.rows[1] has no field kee. Did you mean key?",
        "spec has no field zzz. There are enabled, evict, labels, rows.",
    ]


def test_names_are_as_in_dns_and_there_once():
    assert trial.named([{"name": "a"}, {"name": "b.c-1"}]) == []
    assert len(trial.named([{"name": "a"}, {"name": "a"}, {"name": "A"}, {"name": ""}])) == 3


def test_the_servers_answer_is_told_by_field():
    at = "spec.validation.openAPIV3Schema.properties[spec].default"
    causes = [
        {"field": f"{at}.evict.high", "message": "Invalid value: 140: should be less than or equal to 100"},
        {"field": f"{at}.evict", "message": 'Invalid value: {"high":70,"low":80}: low must be smaller'},
        {"field": "status.storedVersions", "message": "else"},
    ]
    assert trial.refusals({"details": {"causes": causes}}, "all of it") == [
        "spec.evict.high: Invalid value: 140: should be less than or equal to 100",
        "spec.evict: low must be smaller",
    ]
    assert trial.refusals({}, "all of it") == ["all of it"]


def test_what_is_no_definition_is_told():
    with pytest.raises(ValueError, match="no CustomResourceDefinition"):
        trial.schema_of({"spec": {}})
