"""Descheduler policies, each judged by what descheduler 0.36 did with it (docs/schedulers.md)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from colocation.neighbours import descheduler
from colocation.neighbours.selectors import leaves_out

QOS = "openfuyao.com/qos-level"
OUT = {"matchExpressions": [{"key": QOS, "operator": "NotIn", "values": ["BE"]}]}


def load(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError("bad") from error


def judged(text: str) -> list[str]:
    configmap = {"metadata": {"namespace": "kube-system", "name": "descheduler"}, "data": {"policy.yaml": text}}
    return descheduler.warnings([configmap], load)


def policy(*plugins: str, evictor: Any = None, **args: Any) -> str:
    rows = [{"name": name, "args": each} for name, each in args.items()]
    rows.append({"name": "DefaultEvictor", "args": {"nodeFit": True, **(evictor or {})}})
    enabled = {"balance": {"enabled": list(plugins)}}
    profile = {"name": "default", "pluginConfig": rows, "plugins": enabled}
    body = {"apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy", "profiles": [profile]}
    return yaml.safe_dump(body)


def low(**args: Any) -> dict[str, Any]:
    return {"LowNodeUtilization": {"thresholds": {"cpu": 20}, "targetThresholds": {"cpu": 50}, **args}}


def high(**args: Any) -> dict[str, Any]:
    return {"HighNodeUtilization": {"thresholds": {"cpu": 20}, **args}}


THRESHOLDS = {key: {"kubernetes.io/be-cpu": 50} for key in ("thresholds", "targetThresholds")}
GATE = {key: {"colocation.openfuyao.com/be-pods": 50} for key in ("thresholds", "targetThresholds")}
METRICS = {"metricsUtilization": {"source": "KubernetesMetrics"}}


def query(text: str) -> dict[str, Any]:
    metric = {key: {"MetricResource": 40} for key in ("thresholds", "targetThresholds")}
    return {**metric, "metricsUtilization": {"source": "Prometheus", "prometheus": {"query": text}}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param(policy("LowNodeUtilization", **low()), ["all of a node's in one cycle"], id="the usual one"),
        pytest.param(policy("LowNodeUtilization", evictor={"labelSelector": OUT}, **low()), [], id="left out by label"),
        pytest.param(
            policy("LowNodeUtilization", evictor={"priorityThreshold": {"value": 0}}, **low()),
            ["all of a node's"],
            id="a threshold protects from above",
        ),
        pytest.param(policy("LowNodeUtilization", **low(**METRICS)), ["real use"], id="by metrics-server"),
        pytest.param(
            policy("LowNodeUtilization", **low(metricsUtilization={"metricsServer": True})),
            ["real use"],
            id="the same, older",
        ),
        pytest.param(
            policy("LowNodeUtilization", **low(**query("avg(node_load)"))), ["query of its own"], id="a query"
        ),
        pytest.param(
            policy("LowNodeUtilization", **low(**query("colocation_node_allocated_cpu_cores / 2"))), [], id="our query"
        ),
        pytest.param(policy("LowNodeUtilization", **low(**THRESHOLDS)), ["exactly full"], id="be-cpu"),
        pytest.param(
            policy("LowNodeUtilization", evictor={"labelSelector": OUT}, **low(**THRESHOLDS)),
            ["exactly full"],
            id="be-cpu, out",
        ),
        pytest.param(policy("LowNodeUtilization", **low(**GATE)), ["becomes a destination"], id="the gate"),
        pytest.param(policy("HighNodeUtilization", **high()), ["all of a node's"], id="compaction by requests"),
        pytest.param(
            policy("HighNodeUtilization", **high(evictionModes=["OnlyThresholdingResources"])),
            [],
            id="of online pods alone",
        ),
        pytest.param(
            policy("HighNodeUtilization", **high(thresholds={"kubernetes.io/be-cpu": 20})),
            [],
            id="of batch work, wanted",
        ),
        pytest.param(policy("PodLifeTime", evictor={"nodeFit": False}), ["nodeFit is off"], id="no nodeFit"),
        pytest.param(policy("PodLifeTime", evictor={"nodeFit": False, "labelSelector": OUT}), [], id="no nodeFit, out"),
        pytest.param(policy("PodLifeTime"), [], id="a plugin that harms nothing"),
        pytest.param(policy(**low()), [], id="configured and not enabled"),
    ],
)
def test_each_profile_gets_the_sentences_that_are_due(text: str, says: list[str]) -> None:
    found = judged(text)
    assert len(found) == len(says), found
    for sentence, part in zip(found, says, strict=True):
        assert sentence.startswith("ConfigMap kube-system/descheduler, key policy.yaml, profile default")
        assert part in sentence


OLD = """
apiVersion: descheduler/v1alpha1
kind: DeschedulerPolicy
strategies:
  LowNodeUtilization:
    enabled: {enabled}
    params:
      nodeFit: {fit}
      thresholdPriority: {priority}
      nodeResourceUtilizationThresholds: {{thresholds: {{cpu: 20}}, targetThresholds: {{cpu: 50}}}}
"""


def test_the_older_version_is_read_strategy_by_strategy() -> None:
    both = judged(OLD.format(enabled="true", fit="false", priority="null"))
    assert [("all of a node's" in s, "nodeFit is off" in s) for s in both] == [(True, False), (False, True)]
    assert all("which descheduler 0.36 refuses" in s for s in both)
    assert len(judged(OLD.format(enabled="true", fit="true", priority="null"))) == 1
    assert judged(OLD.format(enabled="false", fit="false", priority="null")) == []
    assert judged(OLD.format(enabled="true", fit="true", priority="-100")) == []


def test_what_is_no_policy_is_passed_over_and_what_cannot_be_read_is_named() -> None:
    assert judged("see DeschedulerPolicy in the docs") == []
    assert judged("kind: Other\nx: DeschedulerPolicy") == []
    assert "no YAML" in judged("kind: DeschedulerPolicy\n  a: [")[0]
    assert "version v9" in judged("kind: DeschedulerPolicy\napiVersion: descheduler/v9")[0]
    assert descheduler.warnings([{"metadata": {"name": "x"}, "binaryData": {}, "data": None}], load) == []


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "profiles",
                    "strategies",
                    "pluginConfig",
                    "plugins",
                    "balance",
                    "enabled",
                    "args",
                    "name",
                    "params",
                    "x",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(ANYTHING, st.sampled_from(["v1alpha1", "v1alpha2"]))
def test_no_document_whatever_stops_the_reader(document: Any, version: str) -> None:
    text = yaml.safe_dump(
        {
            "kind": "DeschedulerPolicy",
            "apiVersion": f"descheduler/{version}",
            "profiles": document,
            "strategies": document,
        }
    )
    assert all(isinstance(sentence, str) for sentence in judged(text))


@pytest.mark.parametrize(
    ("selector", "out"),
    [
        (OUT, True),
        ({"matchLabels": {QOS: "LS"}}, True),
        ({"matchExpressions": [{"key": QOS, "operator": "In", "values": ["LS", "HLS"]}]}, True),
        ({"matchExpressions": [{"key": QOS, "operator": "DoesNotExist"}]}, True),
        ({"matchLabels": {QOS: "BE"}}, False),
        ({"matchExpressions": [{"key": QOS, "operator": "In", "values": ["BE"]}]}, False),
        ({"matchExpressions": [{"key": QOS, "operator": "NotIn", "values": ["LS"]}]}, False),
        ({"matchExpressions": [{"key": QOS, "operator": "Exists"}]}, False),
        ({"matchLabels": {"app": "web"}}, False),
        ({}, False),
        (None, False),
    ],
)
def test_which_selectors_leave_best_effort_pods_out(selector: Any, out: bool) -> None:
    assert leaves_out(selector) is out
