"""What manager, agent and console export, by Prometheus' own tool: names, units and help; and where it is scraped."""

from __future__ import annotations

import re
import subprocess

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest

from colocation.console.main import Console, Running
from colocation.console.prometheus import Source
from colocation.manager.metrics import Metrics
from tests.lab import binaries
from tests.lab.config import CLONE

from .conftest import OPERATOR, render

DOCS = CLONE / "docs/monitoring.md"
ODD = re.compile(r"millicores|percent|milliseconds|_ms\b|mib|gib", re.IGNORECASE)


def lint(text: bytes) -> str:
    binaries.ensure("promtool")
    done = subprocess.run([binaries.path("promtool"), "check", "metrics"], input=text, capture_output=True, check=False)
    return (done.stdout + done.stderr).decode()


def test_promtool_finds_nothing_to_complain_of_in_the_managers_metrics() -> None:
    assert lint(generate_latest(Metrics().registry)) == ""


def of_console() -> CollectorRegistry:
    """Of one that has no server, and was never started."""
    away = "http://127.0.0.1:1"
    source = Source(url=away)
    console = Console(Running(port=0, probes_port=0, api_server=away, manager=away, prometheus=source))
    console.server.stop()
    return console._metrics.registry


def test_promtool_finds_nothing_to_complain_of_in_the_consoles_metrics_and_the_docs_have_them_all() -> None:
    registry = of_console()
    assert lint(generate_latest(registry)) == ""
    names = {family.name for family in registry.collect() if family.name.startswith("colocation_console_")}
    assert len(names) == 7, "the report's time is not there before the first"
    text = DOCS.read_text()
    assert not [name for name in names if f"`{name}" not in text]


def test_the_configuration_in_the_docs_scrapes_each_container_once_and_not_the_consoles_pages() -> None:
    (block,) = re.findall(r"<!-- the lab's Prometheus[^>]*-->\n```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (job,) = yaml.safe_load(block)["scrape_configs"]
    rules = [rule for rule in job["relabel_configs"] if rule.get("action") == "keep"]
    found = []
    for made in yaml.safe_load_all(render("--set=console.enabled=true")):
        if not made or made["kind"] not in ("Deployment", "DaemonSet"):
            continue
        template = made["spec"]["template"]
        labels = {re.sub(r"\W", "_", name): value for name, value in template["metadata"]["labels"].items()}
        meta = {f"__meta_kubernetes_pod_label_{name}": value for name, value in labels.items()}
        for port in template["spec"]["containers"][0]["ports"]:
            given = {**meta, "__meta_kubernetes_pod_container_port_name": port["name"]}
            joined = [";".join(given.get(label, "") for label in rule["source_labels"]) for rule in rules]
            if all(re.fullmatch(rule["regex"], text) for rule, text in zip(rules, joined, strict=True)):
                found.append((made["metadata"]["name"], port["containerPort"]))
    assert sorted(found) == [("colocation-agent", 9101), ("colocation-console", 9103), ("colocation-manager", 8080)]


def test_the_operator_scrapes_the_console_where_it_runs() -> None:
    def monitors(*settings: str) -> dict[str, str]:
        text = render("--set=monitoring.monitors.enabled=true", *settings, kube="1.36.0", apis=(OPERATOR,))
        found = [one for one in yaml.safe_load_all(text) if one and one["kind"] == "PodMonitor"]
        return {one["metadata"]["name"]: one["spec"]["podMetricsEndpoints"][0]["port"] for one in found}

    assert monitors() == {"colocation-agent": "http"}
    assert monitors("--set=console.enabled=true") == {"colocation-agent": "http", "colocation-console": "probes"}


@pytest.mark.parametrize("file", ["manager/metrics.py", "agent/server.py", "console/metrics.py"])
def test_no_name_carries_a_unit_that_is_no_base_unit(file: str) -> None:
    text = (CLONE / "reconciler/src/colocation" / file).read_text()
    names = re.findall(r'"((?:colocation|node|pods|be|online)_[a-z_]+)"', text)
    assert names
    assert not [name for name in names if ODD.search(name)]


def test_the_tool_sees_a_metric_without_help() -> None:
    assert "help" in lint(b"# TYPE colocation_x gauge\ncolocation_x 1\n")
