from __future__ import annotations

import pytest
import yaml
from ansible_collections.openfuyao.colocation.plugins.filter.descheduler_objects import descheduler_objects
from ansible_collections.openfuyao.colocation.plugins.module_utils.descheduler import _objects, _policy
from ansible_collections.openfuyao.colocation.plugins.module_utils.neighbours._selectors import leaves_out

BASE = {"kind": "CronJob", "schedule": "*/5 * * * *", "interval": "5m", "image": "r.example/d:1", "namespace": "kube-system"}
LOW = {"thresholds": {"cpu": 20}, "targetThresholds": {"cpu": 70}}
URL = "http://prometheus.example"
TAINTS = {"RemovePodsViolatingNodeTaints": {}}
RAW = {"name": "own", "pluginConfig": [], "plugins": {"balance": {"enabled": ["RemoveDuplicates"]}}}


def evictor(profile):
    return next(row["args"] for row in profile["pluginConfig"] if row["name"] == "DefaultEvictor")


@pytest.mark.parametrize("name", _policy.PROFILES)
def test_profiles_for_best_effort_pods_take_no_others_and_know_the_gate(name):
    (profile,) = _policy.policy({"profiles": [name], "prometheus_url": URL})["profiles"]
    assert evictor(profile) == {"nodeFit": True, "labelSelector": {"matchLabels": {"openfuyao.com/qos-level": "BE"}}}


@pytest.mark.parametrize("name", sorted(_policy.POINTS))
def test_each_classical_strategy_leaves_best_effort_pods_out_whatever_labels_are_asked_for(name):
    asked = {"strategies": {name: {}}, "filters": {"labels": {"matchLabels": {"app": "a"}}}}
    (profile,) = _policy.policy(asked)["profiles"]
    assert evictor(profile)["nodeFit"] is True
    assert leaves_out(evictor(profile)["labelSelector"])
    assert evictor(profile)["labelSelector"]["matchLabels"] == {"app": "a"}
    assert profile["plugins"] == {_policy.POINTS[name]: {"enabled": [name]}}


def test_only_balance_keeps_the_policy_to_nodes_of_the_colocation():
    assert "nodeSelector" not in _policy.policy({"profiles": ["compact", "tidy"]})
    assert _policy.policy({"profiles": ["balance"], "prometheus_url": URL})["nodeSelector"] == "node.openfuyao.com/colocation=true"


def test_limits_and_filters_go_where_the_descheduler_reads_them():
    filters = {"exclude_namespaces": ["a"], "priority": "1000", "min_replicas": 2, "keep_volume_claims": True}
    asked = {"strategies": {**TAINTS, "LowNodeUtilization": LOW}, "filters": filters, "limits": {"node": "2", "total": 9}}
    made = _policy.policy(asked)
    assert (made["maxNoOfPodsToEvictPerNode"], made["maxNoOfPodsToEvictTotal"]) == (2, 9)
    args = {row["name"]: row["args"] for row in made["profiles"][0]["pluginConfig"]}
    assert args["RemovePodsViolatingNodeTaints"] == {"namespaces": {"exclude": ["a"]}}
    assert args["LowNodeUtilization"] == {"evictableNamespaces": {"exclude": ["a"]}, **LOW}
    rest = {key: args["DefaultEvictor"][key] for key in ("priorityThreshold", "minReplicas", "ignorePvcPods")}
    assert rest == {"priorityThreshold": {"value": 1000}, "minReplicas": 2, "ignorePvcPods": True}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"kind": "DaemonSet"}, "there are: CronJob, Deployment, Job"),
        ({"image": ""}, "colocation_descheduler_image is empty"),
        ({"schedule": "* * *"}, "five fields"),
        ({"kind": "Deployment", "interval": "5"}, "a duration such as 5m"),
        ({"profiles": ["ballance"]}, "no profile ballance. Did you mean balance?"),
        ({"profiles": ["xyz"]}, "There are: balance, compact, tidy."),
        ({"profiles": ["balance"]}, "prometheus_url, an http or https address, not ''"),
        ({"profiles": []}, "asks for anything"),
        ({"strategies": {"RemoveDuplicate": {}}}, "no strategy RemoveDuplicate. Did you mean RemoveDuplicates?"),
        ({"strategies": TAINTS, "filters": {"exclude_namespace": []}}, "Did you mean exclude_namespaces?"),
        ({"filters": {"priority": 1}}, "and there are none"),
        ({"strategies": TAINTS, "filters": {"include_namespaces": ["a"], "exclude_namespaces": ["b"]}}, "takes one of them"),
        ({"strategies": TAINTS, "filters": {"priority": 1, "priority_class": "x"}}, "takes one of them"),
        ({"strategies": TAINTS, "filters": {"priority": "high"}}, "filters.priority is high; it is a whole number"),
        ({"strategies": {"LowNodeUtilization": LOW}, "filters": {"include_namespaces": ["a"]}}, "use exclude_namespaces"),
        ({"strategies": {"LowNodeUtilization": {"thresholds": {"cpu": 1}}}}, "needs thresholds and targetThresholds"),
        (
            {"strategies": {"LowNodeUtilization": {"thresholds": {"cpu": 80}, "targetThresholds": {"cpu": 70}}}},
            "the threshold 80 of cpu is above its target threshold 70",
        ),
        (
            {"strategies": {"LowNodeUtilization": {"thresholds": {"cpu": 20, "memory": 20}, "targetThresholds": {"cpu": 70}}}},
            "has memory in only one of",
        ),
        ({"strategies": {"HighNodeUtilization": {"thresholds": {"cpu": 120}}}}, "a percentage, a whole number of 0 to 100"),
        ({"strategies": {"HighNodeUtilization": LOW}}, "takes no targetThresholds"),
        (
            {
                "strategies": {
                    "LowNodeUtilization": {
                        "thresholds": {"kubernetes.io/be-cpu": 60},
                        "targetThresholds": {"kubernetes.io/be-cpu": 95},
                    }
                }
            },
            "evicts in every cycle without end",
        ),
        ({"limits": {"node": 0}}, "limits.node is 0"),
        ({"limits": {"nodes": 1}}, "Did you mean node?"),
        ({"profiles_raw": [{"apiVersion": "descheduler/v1alpha1", "strategies": {}}]}, "v1alpha1, which descheduler 0.36 refuses"),
        ({"profiles_raw": [{"profiles": []}]}, "list its profiles instead"),
        ({"profiles_raw": [{"name": "x"}]}, "no profile of v1alpha2"),
        ({"profiles_raw": [{**RAW, "name": "tidy"}]}, "a second profile is called tidy"),
    ],
)
def test_what_cannot_be_gets_one_sentence_and_no_objects(changed, sentence):
    answer = descheduler_objects({**BASE, "profiles": ["tidy"], **changed})
    assert len(answer["problems"]) == 1
    assert sentence in answer["problems"][0]
    assert answer["objects"] == []


def test_a_raw_profile_that_harms_best_effort_pods_is_taken_with_a_warning():
    plugins = {"balance": {"enabled": ["LowNodeUtilization"]}}
    raw = {"name": "own", "pluginConfig": [{"name": "LowNodeUtilization", "args": LOW}], "plugins": plugins}
    answer = descheduler_objects({**BASE, "profiles_raw": [raw]})
    assert answer["problems"] == []
    assert any("evicted first" in sentence for sentence in answer["warnings"])
    asked = {"profiles": list(_policy.PROFILES), "prometheus_url": URL, "strategies": {**TAINTS, "LowNodeUtilization": LOW}}
    assert descheduler_objects({**BASE, **asked})["warnings"] == []


@pytest.mark.parametrize("kind", sorted(_objects.KINDS))
def test_a_workload_of_another_policy_is_another_one(kind):
    def workload(**changed):
        return _objects.objects({**BASE, "kind": kind, "profiles": ["tidy"], **changed}, yaml.safe_dump)[-1]

    assert workload() == workload()
    assert workload()["kind"] == kind
    assert workload() != workload(profiles=["compact"])
    assert (workload()["metadata"]["name"] == workload(profiles=["compact"])["metadata"]["name"]) == (kind != "Job")


def test_the_policy_is_in_the_configmap():
    made = {one["kind"]: one for one in _objects.objects({**BASE, "profiles": ["tidy"]}, yaml.safe_dump)}
    assert yaml.safe_load(made["ConfigMap"]["data"]["policy.yaml"]) == _policy.policy({"profiles": ["tidy"]})
    assert list(made) == ["ServiceAccount", "ClusterRole", "ClusterRoleBinding", "ConfigMap", "CronJob"]
