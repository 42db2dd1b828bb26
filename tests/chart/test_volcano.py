"""What files/volcano says: rules that leave best-effort use out, and a configuration that closes no node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from colocation.neighbours import volcano
from tests.lab import binaries
from tests.lab.config import CLONE
from tests.lab.process import run

FILES = CLONE / "files/volcano"


def documents(name: str) -> Any:
    return yaml.safe_load((FILES / name).read_text())


def test_promtool_computes_the_use_of_online_pods_alone(tmp_path: Path) -> None:
    binaries.ensure("promtool")
    rules = [
        {"record": rule["name"]["as"], "expr": rule["metricsQuery"].replace("<<.LabelMatchers>>", 'node=~"a|b|c"')}
        for rule in documents("prometheus-adapter.yaml")["rules"]
    ]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "g", "rules": rules}]}))
    figures = {  # capacity, used, best-effort use (none: no report of it)
        "a": (10, 9, 7),
        "b": (10, 4, None),
        "c": (10, 1, 2),
    }
    series = []
    for node, amounts in figures.items():
        for what, amount in zip(("capacity", "used", "be_used"), amounts, strict=True):
            for unit in ("cpu_cores", "memory_bytes"):
                if amount is not None:
                    name = f'colocation_node_{what}_{unit}{{node="{node}", pod="%s"}}'
                    series += [{"series": name % pod, "values": f"{amount}x3"} for pod in ("m1", "m2")]
    wanted = {"a": 0.2, "b": 0.4, "c": 0}
    expected = [
        {
            "expr": name,
            "eval_time": "1m",
            "exp_samples": [{"labels": f'{name}{{node="{node}"}}', "value": part} for node, part in wanted.items()],
        }
        for name in ("node_cpu_usage_avg", "node_memory_usage_avg")
    ]
    test = {"interval": "30s", "input_series": series, "promql_expr_test": expected}
    body = {"rule_files": ["rules.yaml"], "evaluation_interval": "30s", "tests": [test]}
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(body))
    run([binaries.path("promtool"), "test", "rules", "test.yaml"], cwd=tmp_path)


def test_preflight_finds_nothing_in_the_configuration_and_something_without_its_switch() -> None:
    text = (FILES / "scheduler.yaml").read_text()

    def judged(configuration: str) -> list[str]:
        metadata = {"name": "volcano-scheduler-configmap", "namespace": "volcano-system"}
        return volcano.warnings(
            [{"metadata": metadata, "data": {"volcano-scheduler.conf": configuration}}], yaml.safe_load
        )

    assert judged(text) == []
    assert len(judged(text.replace("enablePredicate: false", "enablePredicate: true"))) == 1


def test_queue_and_group_name_what_best_effort_pods_request() -> None:
    ours = {"kubernetes.io/be-cpu", "kubernetes.io/be-memory"}
    assert set(documents("queue.yaml")["spec"]["capability"]) == ours
    assert set(documents("podgroup.yaml")["spec"]["minResources"]) == ours
