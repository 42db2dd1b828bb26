# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a module asks the manager, and what it says when there is no answer."""

from __future__ import annotations

import pytest

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _manager
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import ApiError
from ansible_collections.openfuyao.colocation.plugins.modules import colocation_info

MINT = "/api/v1/namespaces/ns/serviceaccounts/colocation-reader/token"
PROXY = "/api/v1/namespaces/ns/services/http:colocation-manager:8080/proxy"


class FakeApi:
    """NOT an API server: answers from a table, so that each refusal can be had."""

    def __init__(self, answers, events=()):
        self.answers, self.events, self.asked = answers, list(events), []

    def request(self, method, path, body=None, headers=None):
        self.asked.append((method, path))
        if path == MINT:
            assert (method, body["spec"]) == ("POST", {"audiences": ["colocation"], "expirationSeconds": 600})
            answer = self.answers.get(path, {"status": {"token": "a.b.c"}})
        else:
            assert headers == {"X-Colocation-Token": "a.b.c"}
            answer = self.answers[path]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def list(self, path, field_selector):
        assert (path, field_selector) == ("/api/v1/namespaces/default/events", "involvedObject.kind=Node")
        return self.events


def event(node="n1", time="2026-11-21T08:00:00Z", controller="colocation.openfuyao.com/manager"):
    return {
        "involvedObject": {"kind": "Node", "name": node},
        "eventTime": time,
        "reportingComponent": controller,
        "reason": "PublishedDecreased",
        "message": "be-cpu 5,000m -> 4,000m",
    }


def test_report_and_explanations_come_through_the_service_proxy():
    api = FakeApi(
        {
            PROXY + "/v1/report": {"nodes": [{"node": "n1"}], "leader": True},
            PROXY + "/v1/explain/n%2F1": {"node": "n/1", "reason": "r"},
        }
    )
    found = colocation_info.gather(api, "ns", ["n/1"], False)
    assert found == {
        "report": [{"node": "n1"}],
        "leader": True,
        "explanations": {"n/1": {"node": "n/1", "reason": "r"}},
    }
    assert [method for method, path in api.asked] == ["POST", "GET", "GET"], "one proof for all questions"


def test_without_nodes_only_the_report_is_asked_for():
    api = FakeApi({PROXY + "/v1/report": {"nodes": []}})
    assert colocation_info.gather(api, "ns", [], False) == {"report": [], "leader": False, "explanations": {}}
    assert [path for method, path in api.asked] == [MINT, PROXY + "/v1/report"]


def test_history_is_the_managers_own_oldest_first():
    events = [
        event(time="2026-11-21T09:00:00Z"),
        event(),
        event(node="n2"),
        event(controller="kubelet"),
    ]
    api = FakeApi({PROXY + "/v1/report": {"nodes": []}}, events)
    rows = colocation_info.gather(api, "ns", [], True)["history"]
    assert [(row["node"], row["time"][11:13]) for row in rows] == [("n1", "08"), ("n2", "08"), ("n1", "09")]
    assert [row["node"] for row in _manager.history(events, ["n2"])] == ["n2"]
    assert rows[0]["note"] == "be-cpu 5,000m -> 4,000m"


@pytest.mark.parametrize(
    "error, words",
    [
        (ApiError(404, 'services "colocation-manager" not found', "GET x"), "There is no manager in namespace ns"),
        (ApiError(503, "no endpoints available", "GET x"), "kubectl -n ns get pods"),
        (ApiError(403, "forbidden", "GET x"), "bind the Role colocation-explain in ns"),
        (ApiError(404, "no node 'n9' with a known capacity", "GET x"), "no node 'n9'"),
        (ApiError(0, "no answer from the API server", "GET x"), "no answer"),
        (ValueError("Expecting value"), "is no colocation manager"),
    ],
)
def test_every_refusal_says_what_to_do(error, words):
    api = FakeApi({PROXY + "/v1/report": error})
    with pytest.raises(_manager.NoAnswer, match=words):
        colocation_info.gather(api, "ns", [], False)


@pytest.mark.parametrize(
    "error, words",
    [
        (ApiError(404, 'serviceaccounts "colocation-reader" not found', "POST x"), "There is no manager in namespace ns"),
        (ApiError(403, "forbidden", "POST x"), "bind the Role colocation-explain in ns"),
    ],
)
def test_who_gets_no_proof_is_told_what_to_do(error, words):
    with pytest.raises(_manager.NoAnswer, match=words):
        colocation_info.gather(FakeApi({MINT: error}), "ns", [], False)
