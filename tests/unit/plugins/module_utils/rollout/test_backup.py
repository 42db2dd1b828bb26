# SPDX-License-Identifier: Apache-2.0
"""What a backup holds, that the same colocation gives the same bytes, and what is no backup."""

from __future__ import annotations

import json

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _backup, _rollout

LABEL = {"node.openfuyao.com/colocation": "true"}
RELEASE = {"revision": 3, "status": "deployed", "version": "0.1.0"}


def policy(name, made):
    labels = {"app.kubernetes.io/managed-by": "openfuyao.colocation"} if made else {}
    return {"metadata": {"name": name, "labels": labels, "resourceVersion": "7"}, "spec": {"priority": 1}, "status": {"x": 1}}


def node(name, labelled=True):
    return {"metadata": {"name": name, "labels": dict(LABEL) if labelled else {}}}


def made(values=None, notes=None):
    policies, nodes = [policy("b", False), policy("a", True)], [node("n1"), node("n2", labelled=False)]
    return _backup.document(RELEASE, values or {}, notes or {}, policies, nodes)


def test_it_holds_policies_of_both_kinds_and_nodes_that_take_part_with_their_settings():
    found = made(notes={"settings": {"n1": {"sysctls": {"vm.swappiness": "1"}}, "gone": {}}})
    assert found["policies"] == [
        {"name": "a", "spec": {"priority": 1}, "by_hand": False},
        {"name": "b", "spec": {"priority": 1}, "by_hand": True},
    ]
    assert found["nodes"] == {"n1": {"sysctls": {"vm.swappiness": "1"}}}
    assert found["chart"] == "0.1.0"


def test_values_that_the_roles_set_for_this_cluster_are_left_out_and_the_operators_kept():
    pinned = _rollout.affinity(["n1"])
    values = {
        "global": {"chartDigest": "abc"},
        "manager": {"affinity": pinned, "replicas": 2},
        "agent": {"updateStrategy": "OnDelete"},
    }
    assert made(values, {"image": {"nodes": ["n1"]}})["chart_values"] == {"manager": {"replicas": 2}}
    own = {"manager": {"affinity": {"podAffinity": {}}}, "agent": {"updateStrategy": "RollingUpdate"}}
    assert made(own)["chart_values"] == own


def test_the_same_colocation_gives_the_same_bytes_and_is_read_back():
    assert _backup.text(made()) == _backup.text(made())
    assert _backup.opened(_backup.text(made())) == made()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "no backup, or not all of it"),
        (_backup.text(made())[:-20], "not all of it"),
        ("[]", "schema is None"),
        (json.dumps({"schema": "colocation.openfuyao.com/backup/v9"}), "backup/v9"),
        (_backup.text(made()).replace('"priority": 1', '"priority": 2'), "checksum"),
    ],
)
def test_what_is_no_backup_or_damaged_is_refused_in_words(text, answer):
    with pytest.raises(_backup.Unusable, match=answer):
        _backup.opened(text)
