"""Volcano, cluster-autoscaler, VerticalPodAutoscaler, Kyverno; and which of them cannot be looked at."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from colocation.neighbours import kyverno, look, scalers, volcano

QOS = "openfuyao.com/qos-level"


def configuration(metrics: str = "prometheus", **usage: Any) -> dict[str, Any]:
    body = {
        "actions": "enqueue, allocate",
        "tiers": [{"plugins": [{"name": "priority"}, {"name": "usage", **usage}]}],
        "metrics": {"type": metrics},
    }
    metadata = {"namespace": "volcano-system", "name": "volcano-scheduler-configmap"}
    return {"metadata": metadata, "data": {"volcano-scheduler.conf": yaml.safe_dump(body)}}


@pytest.mark.parametrize(
    ("given", "closes"),
    [
        (configuration(), True),
        (configuration(enablePredicate=True), True),
        (configuration(enablePredicate=False), False),
        (configuration(enabledPredicate=False), False),
        (configuration(metrics="prometheus_adaptor"), False),
    ],
)
def test_the_usage_plugin_closes_nodes_unless_its_predicate_is_off(given: dict[str, Any], closes: bool) -> None:
    found = volcano.warnings([given], yaml.safe_load)
    assert len(found) == closes
    assert all(
        s.startswith("ConfigMap volcano-system/volcano-scheduler-configmap, key volcano-scheduler.conf") for s in found
    )
    other = {**given, "metadata": {"name": "something-else"}}
    assert volcano.warnings([other], yaml.safe_load) == []


def deployment(*command: str) -> dict[str, Any]:
    pod = {"spec": {"containers": [{"command": list(command)}]}}
    return {"metadata": {"namespace": "kube-system", "name": "autoscaler"}, "spec": {"template": pod}}


@pytest.mark.parametrize(
    ("command", "warned"),
    [
        (["--expendable-pods-priority-cutoff=-1000"], True),
        (["--expendable-pods-priority-cutoff", "-100"], True),
        (["--expendable-pods-priority-cutoff=-99"], False),
        (["--expendable-pods-priority-cutoff=-10"], False),
        (["--expendable-pods-priority-cutoff=x"], False),
        (["--expendable-pods-priority-cutoff"], False),
        ([], False),
    ],
)
def test_a_cutoff_at_or_below_best_effort_counts_it(command: list[str], warned: bool) -> None:
    assert len(scalers.autoscaler_warnings([deployment("cluster-autoscaler", *command)])) == warned


def autoscaler(kind: str = "Deployment", **policy: Any) -> dict[str, Any]:
    spec = {"targetRef": {"kind": kind, "name": "batch"}, **({"updatePolicy": policy} if policy else {})}
    return {"metadata": {"namespace": "jobs", "name": "vpa"}, "spec": spec}


def workload(qos: str | None, cron: bool = False) -> dict[str, Any]:  # noqa: FBT002
    pods = {"metadata": {"annotations": {QOS: qos} if qos else {}}}
    return {"spec": {"jobTemplate": {"spec": {"template": pods}}} if cron else {"template": pods}}


def test_a_vertical_autoscaler_is_named_only_where_it_acts_on_best_effort_pods() -> None:
    def judged(vpa: dict[str, Any], target: dict[str, Any], kind: str = "Deployment", **labels: str) -> list[str]:
        namespaces = {"jobs": {"metadata": {"labels": labels}}}
        return scalers.vpa_warnings([vpa], {("jobs", kind, "batch"): target}, namespaces)

    default = {"colocation.openfuyao.com/default-qos-level": "BE"}
    assert "VerticalPodAutoscaler jobs/vpa evicts" in judged(autoscaler(), workload("BE"))[0]
    assert "gives cpu" in judged(autoscaler(updateMode="Initial"), workload("BE"))[0]
    assert judged(autoscaler(updateMode="Off"), workload("BE")) == []
    assert judged(autoscaler(), workload(None)) == []
    assert judged(autoscaler(), workload("LS"), **default) == []
    assert len(judged(autoscaler(), workload(None), **default)) == 1
    assert len(judged(autoscaler("CronJob"), workload("BE", cron=True), "CronJob")) == 1
    assert judged(autoscaler("Unknown"), workload("BE")) == [], "its pods are not known"


def rule(match: Any = None, exclude: Any = None, **does: Any) -> dict[str, Any]:
    about = match or {"any": [{"resources": {"kinds": ["Pod"]}}]}
    return {"name": "r", "match": about, **({"exclude": exclude} if exclude else {}), **does}


def kyverno_policy(*rules: dict[str, Any], **spec: Any) -> dict[str, Any]:
    return {"kind": "ClusterPolicy", "metadata": {"name": "p"}, "spec": {"rules": list(rules), **spec}}


ADDS = {"spec": {"containers": [{"(name)": "*", "resources": {"requests": {"+(cpu)": "100m"}}}]}}
JSON6902 = "- op: add\n  path: /spec/containers/0/resources/limits/memory\n  value: 1Gi\n"
FOREACH = [{"list": "request.object.spec.containers", "patchStrategicMerge": ADDS}]
WANTS = {"spec": {"containers": [{"resources": {"requests": {"memory": "?*", "cpu": "?*"}}}]}}
SPARED = {"any": [{"resources": {"annotations": {QOS: "BE"}}}]}
ONLINE = {"all": [{"resources": {"kinds": ["Pod"], "selector": {"matchLabels": {QOS: "LS"}}}}]}
SERVICES = {"resources": {"kinds": ["Service"]}}


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (kyverno_policy(rule(mutate={"patchStrategicMerge": ADDS})), "it writes cpu or memory"),
        (kyverno_policy(rule(mutate={"patchesJson6902": JSON6902})), "it writes cpu or memory"),
        (kyverno_policy(rule(mutate={"foreach": FOREACH})), "it writes cpu or memory"),
        (kyverno_policy(rule({"resources": {"kinds": ["v1/Pod"]}}, mutate={"patchStrategicMerge": ADDS})), "it writes"),
        (kyverno_policy(rule(exclude=SPARED, mutate={"patchStrategicMerge": ADDS})), ""),
        (kyverno_policy(rule(ONLINE, mutate={"patchStrategicMerge": ADDS})), ""),
        (kyverno_policy(rule(SERVICES, mutate={"patchStrategicMerge": ADDS})), ""),
        (kyverno_policy(rule(mutate={"patchStrategicMerge": {"metadata": {"labels": {"cpu": "x"}}}})), ""),
        (kyverno_policy(rule(validate={"pattern": WANTS}), validationFailureAction="Enforce"), "it refuses pods"),
        (kyverno_policy(rule(validate={"pattern": WANTS, "failureAction": "Enforce"})), "it refuses pods"),
        (kyverno_policy(rule(validate={"pattern": WANTS})), ""),
        (kyverno_policy(rule(validate={"anyPattern": [WANTS, {"spec": {"x": 1}}], "failureAction": "Enforce"})), ""),
        (kyverno_policy(rule(validate={"deny": {}, "failureAction": "Enforce"})), ""),
    ],
)
def test_rules_that_write_or_want_cpu_are_named(given: dict[str, Any], says: str) -> None:
    found = kyverno.warnings([given])
    assert len(found) == bool(says)
    if says:
        assert found[0].startswith(f"ClusterPolicy p, rule r: {says}")


def test_what_may_not_be_listed_is_named_and_the_rest_is_looked_at() -> None:
    def read(path: str, fields: str) -> list[dict[str, Any]] | None:
        if path == look.CONFIGMAPS:
            assert fields == "metadata.name!=kube-root-ca.crt"
            return None
        return [deployment("--expendable-pods-priority-cutoff=-200")] if path == look.DEPLOYMENTS else []

    first, second = look.warnings(read, yaml.safe_load)
    assert "autoscaler" in first
    assert second == "Not looked at, because these may not be listed here: /api/v1/configmaps."
