from __future__ import annotations

import copy

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils._names import (
    BE_CPU,
    BE_MEMORY,
    GATE,
    NODE_LABEL,
    WITHDRAWN_ANNOTATION,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import ApiError
from ansible_collections.openfuyao.colocation.plugins.modules import node_state

KEYS = {BE_CPU: "100", BE_MEMORY: "1", GATE: "9"}


class FakeApi:
    """A cluster of dicts; a merge patch merges, an eviction removes."""

    def __init__(self, nodes, pods=(), refuse=0, manager=False, broken=()):
        self.all = {n["metadata"]["name"]: n for n in nodes}
        self.pods = list(pods)
        self.refuse = refuse
        self.manager = manager
        self.broken = broken
        self.looks = 0
        self.writes = []

    def nodes(self):
        return [copy.deepcopy(n) for n in self.all.values()]

    def node(self, name):
        if self.manager and NODE_LABEL not in self.all[name]["metadata"]["labels"] and not self.pods:
            self.all[name]["status"] = {"capacity": {}, "allocatable": {}}
        return copy.deepcopy(self.all.get(name))

    def list(self, path):
        """The NodeColocations: agents have reported where something is published."""
        answer = [n["metadata"] for n in self.all.values() if n["status"]["capacity"]]
        return [{"metadata": m, "status": {"observedAt": "2026-11-21T00:00:00Z"}} for m in answer]

    def pods_on(self, name):
        self.looks += 1
        return [p for p in self.pods if p["spec"]["nodeName"] == name]

    def merge(self, path, patch, dry_run=False):
        self.writes.append((path, patch, dry_run))
        if not dry_run:
            merge(self.all[path.split("/")[4]], patch)

    def evict(self, namespace, name, uid, dry_run=False):
        if name in self.broken:
            raise ApiError(500, "this pod has two disruption budgets", "POST eviction")
        if self.refuse:
            self.refuse -= 1
            raise ApiError(429, "the disruption budget web needs 1 healthy pods", "POST eviction")
        if not dry_run:
            self.pods = [p for p in self.pods if p["metadata"]["uid"] != uid]


def merge(into, patch):
    for key, value in patch.items():
        if value is None:
            into.pop(key, None)
        elif isinstance(value, dict):
            merge(into.setdefault(key, {}), value)
        else:
            into[key] = value


def node(name, label=None, keys=None, annotations=None):
    labels = {} if label is None else {NODE_LABEL: label}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": annotations or {}, "resourceVersion": "1"},
        "status": {"capacity": dict(keys or {}), "allocatable": dict(keys or {})},
    }


def be_pod(name, on):
    return {
        "metadata": {"name": name, "namespace": "batch", "uid": name, "annotations": {"openfuyao.com/qos-level": "BE"}},
        "spec": {"nodeName": on, "containers": [{"resources": {"requests": {BE_CPU: "100"}}}]},
        "status": {"phase": "Running"},
    }


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch):
    monkeypatch.setattr(node_state, "POLL_SECONDS", 0.01)


def run(api, check_mode=False, **params):
    default = {"nodes": ["a"], "state": "present", "wait": True, "drain": False, "purge": False, "timeout": 0.1, "may_be_sick": 0}
    params = {**default, **params}
    module = node_state.NodeState(api, params, check_mode)
    module.present() if params["state"] == "present" else module.absent()
    return module.result()


def test_joining_twice_changes_once():
    api = FakeApi([node("a", keys=KEYS)])
    assert run(api)["changed"] is True
    again = run(api)
    assert again["changed"] is False
    assert again["nodes"][0]["label_before"] == "true"


def test_who_has_not_published_is_told_for_each_node():
    api = FakeApi([ready(node("a", keys=KEYS)), ready(node("b"))])
    with pytest.raises(node_state.Failure, match=r"1 of 2 node\(s\).*b: the manager has made no NodeColocation"):
        run(api, nodes=["a", "b"])


def test_an_unknown_node_stops_before_any_change():
    api = FakeApi([node("a")])
    with pytest.raises(node_state.Failure, match="No such Node: z. Known Nodes: a"):
        run(api, nodes=["a", "z"])
    assert api.writes == []


def test_check_mode_only_asks():
    api = FakeApi([node("a")])
    assert run(api, check_mode=True)["changed"] is True
    assert all(dry for _path, _patch, dry in api.writes)


def test_leaving_drains_then_waits_for_the_manager():
    api = FakeApi([node("a", "true", KEYS)], [be_pod("j1", "a"), be_pod("j2", "a")], manager=True)
    result = run(api, state="absent", drain=True)
    assert result["nodes"][0]["evicted"] == ["batch/j1", "batch/j2"]
    assert result["diff"]["after"]["a"] == {"label": None, "keys": []}
    assert run(api, state="absent", drain=True)["changed"] is False


def test_a_budget_that_refuses_is_asked_again():
    api = FakeApi([node("a", "true", KEYS)], [be_pod("j1", "a")], refuse=3, manager=True)
    assert run(api, state="absent", drain=True)["changed"] is True


def test_a_budget_that_always_refuses_is_named():
    api = FakeApi([node("a", "true", KEYS)], [be_pod("j1", "a")], refuse=10**6)
    with pytest.raises(node_state.Failure, match=r"batch/j1 \(the disruption budget web needs"):
        run(api, state="absent", drain=True)


def test_without_a_manager_the_remedy_is_named_and_works():
    api = FakeApi([node("a", "true", KEYS, {WITHDRAWN_ANNOTATION: "x", "other": "kept"})])
    with pytest.raises(node_state.Failure, match="purge=true"):
        run(api, state="absent", drain=True)
    result = run(api, state="absent", drain=True, purge=True)
    assert result["nodes"][0]["purged"] == [BE_CPU, BE_MEMORY, GATE]
    assert api.all["a"]["metadata"]["annotations"] == {"other": "kept"}
    assert run(api, state="absent", purge=True)["changed"] is False


def test_one_refusal_keeps_all_nodes_in():
    web = be_pod("web", "b")
    web["metadata"]["annotations"] = {}
    web["spec"] = {"nodeName": "b", "containers": [], "nodeSelector": {NODE_LABEL: "true"}}
    api = FakeApi([node("a", "true"), node("b", "true")], [web])
    with pytest.raises(node_state.Failure, match=r"Node b keeps its label.*batch/web"):
        run(api, nodes=["a", "b"], state="absent", drain=True)
    assert api.writes == []


def test_a_pod_that_cannot_go_at_all_stops_before_any_change_and_every_such_pod_is_named():
    api = FakeApi([node("a", "true", KEYS)], [be_pod("j1", "a"), be_pod("j2", "a"), be_pod("j3", "a")], broken=("j1", "j3"))
    with pytest.raises(node_state.Failure, match=r"2 best-effort pod\(s\) cannot be evicted: batch/j1 .*, batch/j3 .*Nothing was changed"):
        run(api, state="absent", drain=True)
    assert (api.writes, len(api.pods)) == ([], 3)


def test_a_node_whose_pods_have_not_left_gets_its_label_back_and_the_other_pods_were_tried():
    api = FakeApi([node("a", "true", KEYS), node("b", "true", KEYS)], [be_pod("j1", "a"), be_pod("j2", "a"), be_pod("j3", "b")])
    asked = api.evict

    def evict(namespace, name, uid, dry_run=False):
        if name == "j1":
            raise ApiError(429, "the disruption budget web needs 1 healthy pods", "POST eviction")
        asked(namespace, name, uid, dry_run)

    api.evict = evict
    with pytest.raises(node_state.Failure, match=r"1 best-effort pod.*batch/j1 \(the disruption.*Node\(s\) a have their label again"):
        run(api, nodes=["a", "b"], state="absent", drain=True)
    assert [p["metadata"]["name"] for p in api.pods] == ["j1"]
    assert {name: n["metadata"]["labels"].get(NODE_LABEL) for name, n in api.all.items()} == {"a": "true", "b": None}


def test_nodes_that_are_empty_are_not_looked_at_each_second():
    nodes = [node(f"n{i}", "true", KEYS) for i in range(50)]
    api = FakeApi(nodes, [be_pod("j1", "n0")], refuse=6, manager=True)
    run(api, nodes=[f"n{i}" for i in range(50)], state="absent", drain=True, timeout=5)
    # Before the first label goes (twice), the first round, the last one, and a few for the one that has a pod.
    assert api.looks <= 4 * 50 + 10


def unready(one):
    one["status"]["conditions"] = [{"type": "Ready", "status": "False", "message": "kubelet is gone"}]
    return one


def ready(one):
    one["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    return one


def test_a_node_that_is_not_ready_is_not_waited_for_and_is_named():
    api = FakeApi([ready(node("a", keys=KEYS)), unready(node("b"))])
    rows = {row["name"]: row for row in run(api, nodes=["a", "b"], may_be_sick=1, timeout=3600)["nodes"]}
    assert rows["b"]["labelled"] is True
    assert rows["b"]["why"] == "the node is not ready: kubelet is gone"
    assert "why" not in rows["a"]


def test_one_sick_node_more_than_stated_is_too_many():
    api = FakeApi([unready(node("a")), unready(node("b")), ready(node("c", keys=KEYS))])
    with pytest.raises(node_state.Failure, match=r"2 of 3 node\(s\)"):
        run(api, nodes=["a", "b", "c"], may_be_sick=1)
