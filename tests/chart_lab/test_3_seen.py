"""A real Prometheus on the real manager and agents: every expression has series, every alert fires for real."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tests.chart_lab.conftest import CHART, NAMESPACE, POLICY, helm, policy
from tests.chart_lab.prometheus import RULES, Prometheus
from tests.e2e.pods import SPIN, pod
from tests.lab.cluster import Cluster
from tests.lab.waiting import eventually
from tools.dashboards import CLUSTER, NODE

pytestmark = pytest.mark.lab
EXPRESSIONS = [
    pytest.param(
        expr.replace("$__rate_interval", "1m").replace("$node", "node1"), id=f"{board.uid}: {panel.title}: {legend}"
    )
    for board in (CLUSTER, NODE)
    for panel in board.panels
    for legend, expr in panel.queries.items()
]

DEFAULT_CLASS: dict[str, Any] = {
    "apiVersion": "scheduling.k8s.io/v1",
    "kind": "PriorityClass",
    "metadata": {"name": "later"},
    "value": 3,
    "globalDefault": True,
}
ONLY_WHILE_WRONG = {"colocation_node_be_pods_left_out", "colocation_node_report_suspect"}
BY_PROMTOOL_ONLY = {"ColocationPodsNotLimited", "ColocationAgentBehind"}
"""More than 500 pods, another cgroup driver, or a watch that brings nothing: not brought about here."""


@pytest.fixture(scope="module")
def busy(installed: Cluster, prometheus: Prometheus) -> Cluster:
    """Online and best-effort work on node1, seen by at least two scrapes."""
    installed.apply(
        pod("batch", "node1", command=SPIN, cpu="200m", limit="300m"),
        pod("service", "node1", qos="LS", command=SPIN, cpu="50m", limit="100m"),
    )
    installed.kubectl("wait", "-n", "work", "pod/batch", "pod/service", "--for=condition=Ready", "--timeout=60s")
    busy = 'min_over_time(colocation_agent_be_cpu_cores{node="node1"}[30s]) > 0'
    eventually(lambda: prometheus.query(busy), 120, "Prometheus has seen the batch work", every=2)
    return installed


def test_manager_and_agents_are_scraped_and_named(busy: Cluster, prometheus: Prometheus) -> None:
    def all_of_them() -> bool:
        nodes = {series["metric"]["node"] for series in prometheus.query("colocation_agent_be_pods")}
        return nodes == {"node1", "node2"} and len(prometheus.query("colocation_leader == 1")) == 1

    eventually(all_of_them, 60, "the agents of both nodes and one leader are scraped", every=2)
    assert all(float(series["value"][1]) == 1 for series in prometheus.query('up{job="colocation"}'))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_expression_of_the_dashboards_has_series(busy: Cluster, prometheus: Prometheus, expression: str) -> None:
    series = eventually(lambda: prometheus.query(expression), 60, expression, every=2)  # a rate wants two scrapes
    assert all(s["value"][1] != "NaN" for s in series), series


def test_figures_agree_with_the_node_and_with_the_explanation(busy: Cluster, prometheus: Prometheus) -> None:
    def agree() -> bool:
        result = busy.explain("node1")["cpu"]
        shown = {
            name: float(prometheus.query(f'max(colocation_node_{name}_cpu_cores{{node="node1"}})')[0]["value"][1])
            for name in ("published", "allocated", "headroom")
        }
        given = {"published": result["published"], "allocated": result["allocated"], "headroom": result["headroom"]}
        return shown == {name: millicores / 1000 for name, millicores in given.items()}

    eventually(agree, 60, "Prometheus and the explanation agree", every=2)


def test_every_series_of_the_rules_is_there_to_be_judged(busy: Cluster, prometheus: Prometheus) -> None:
    names = {name for rule in _rules() for name in re.findall(r"\bcolocation_\w+", rule["expr"])}
    names -= ONLY_WHILE_WRONG
    assert len(names) >= 6
    for name in names:
        assert prometheus.query(name), name


def test_every_alert_fires_for_real(busy: Cluster, prometheus: Prometheus, capsys: pytest.CaptureFixture[str]) -> None:
    assert prometheus.firing() == set()
    # node2 keeps its label and loses its agent; on node1 nothing is left for batch work, and the service waits.
    helm(
        busy, "upgrade", "colocation", str(CHART), "--set-json", 'agent.nodeSelector={"kubernetes.io/hostname":"node1"}'
    )
    policy(busy, suppress={"cpu": {"targetPercent": 1}})
    seen = prometheus.wait_firing(
        ("ColocationReportStale", "node2"),
        ("ColocationNodeWithdrawn", "node2"),
        ("ColocationBestEffortStarved", "node1"),
        ("ColocationOnlinePressure", "node1"),
        seconds=900,
    )
    assert {node for _, node in seen} == {"node1", "node2"}
    assert ("ColocationNodeWithdrawn", "node1") not in seen
    busy.kubectl("apply", "-f", "-", stdin=json.dumps(DEFAULT_CLASS))
    seen |= prometheus.wait_firing(("ColocationDefaultPriorityChanged", ""), seconds=420)
    busy.kubectl("scale", "deployment", "colocation-manager", "-n", NAMESPACE, "--replicas=0")
    seen = prometheus.wait_firing(("ColocationManagerWithoutLeader", ""), seconds=420) | seen  # those that still fire
    assert {alert for alert, _ in seen} == {rule["alert"] for rule in _rules()} - BY_PROMTOOL_ONLY
    with capsys.disabled():
        print(f"\nfired, in seconds after their cause: {seen}")


def test_alerts_end_with_their_causes(busy: Cluster, prometheus: Prometheus) -> None:
    busy.kubectl("delete", "priorityclass", DEFAULT_CLASS["metadata"]["name"])
    helm(busy, "upgrade", "colocation", str(CHART), "--reset-values", "--wait", "--timeout=3m")
    policy(busy, **POLICY)
    busy.kubectl("scale", "deployment", "colocation-manager", "-n", NAMESPACE, "--replicas=1")
    busy.kubectl("delete", "pods", "-n", "work", "--all", "--grace-period=0", "--force")
    eventually(lambda: prometheus.firing() == set(), 180, "no alert fires", every=2)


def _rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
