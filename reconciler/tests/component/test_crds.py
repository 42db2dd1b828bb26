"""The chart's CRDs as the API server takes them, and what it says to a policy with nonsense in it."""

from __future__ import annotations

import pytest

from colocation.kube.resources import POLICIES
from colocation.kube.rest import ApiError, Rest
from colocation.model.policy import PolicySpec
from colocation.model.wire import ColocationPolicy

from .cluster import Cluster

pytestmark = pytest.mark.apiserver


def test_an_empty_policy_gets_the_defaults_of_the_structs(cluster: Cluster, rest: Rest) -> None:
    body = {"apiVersion": POLICIES.group_version, "kind": "ColocationPolicy", "metadata": {"name": "p"}, "spec": {}}
    rest.create(POLICIES.path(), body)
    assert rest.get(POLICIES.path("p"), ColocationPolicy).spec == PolicySpec()


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ({"oversell": {"cpu": {"reclaimPercent": 101}}}, "reclaimPercent"),
        ({"oversell": {"staleAfterSeconds": 60}}, "at least twice"),
        ({"suppress": {"cpu": {"mode": "sometimes"}}}, "Unsupported value"),
        ({"suppress": {"cpu": {"minPercent": 90}}}, "targetPercent"),
        ({"oversell": {"memory": {"quantum": "nonsense"}}}, "quantum"),
        ({"oversell": {"memory": {"quantum": "0"}}}, "above 0"),
    ],
)
def test_nonsense_is_refused_with_a_sentence(cluster: Cluster, rest: Rest, spec: object, answer: str) -> None:
    body = {"apiVersion": POLICIES.group_version, "kind": "ColocationPolicy", "metadata": {"name": "p"}, "spec": spec}
    with pytest.raises(ApiError) as caught:
        rest.create(POLICIES.path(), body)
    assert caught.value.code == 422
    assert answer in caught.value.message
