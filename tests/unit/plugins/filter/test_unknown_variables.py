from __future__ import annotations

from ansible_collections.openfuyao.colocation.plugins.filter.unknown_variables import PLAYBOOKS, known, unknown_variables


def test_a_misspelt_variable_is_told_with_the_nearest_known_one():
    (answer,) = unknown_variables(["colocation_kubeconfig", "colocation_polices"])
    assert answer.startswith("There is no variable colocation_polices. Did you mean colocation_policies?")


def test_one_that_is_like_none_leads_to_the_documentation():
    (answer,) = unknown_variables(["colocation_zzzzzzzzzzzzzz"])
    assert "ansible-doc" in answer


def test_what_plays_and_roles_use_is_known():
    assert unknown_variables(known()) == []
    assert "colocation_node_sysctls" in known() - PLAYBOOKS
