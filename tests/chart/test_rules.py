"""The alerts, by Prometheus' own tool: each fires for what it is about, in time, and for nothing near it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from tests.lab import binaries
from tests.lab.errors import LabError
from tests.lab.process import run

from .conftest import CHART, DATA, OPERATOR, render

RULES = CHART / "files/rules.yaml"
TESTS = DATA / "rules-test.yaml"


def promtool(folder: Path, rules: str) -> str:
    binaries.ensure("promtool")
    (folder / "rules.yaml").write_text(rules)
    shutil.copy(TESTS, folder)
    run([binaries.path("promtool"), "check", "rules", "--lint=all", "--lint-fatal", folder / "rules.yaml"])
    return run([binaries.path("promtool"), "test", "rules", TESTS.name], cwd=folder).stdout


def alerts() -> list[str]:
    return [rule["alert"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def test_every_alert_fires_for_what_it_is_about_and_for_nothing_near_it(tmp_path: Path) -> None:
    promtool(tmp_path, RULES.read_text())
    fired = {
        test["alertname"]
        for case in yaml.safe_load(TESTS.read_text())["tests"]
        for test in case["alert_rule_test"]
        if test["exp_alerts"]
    }
    assert fired == set(alerts())


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("> max by", "> 2 * max by"), ("for: 2m", "for: 20m"), ("Disabled|", ""), ("0.2 *", "2 *"), ("> 0.25", "> 0.5")],
)
def test_a_changed_threshold_is_seen(tmp_path: Path, right: str, wrong: str) -> None:
    text = RULES.read_text()
    assert right in text
    with pytest.raises(LabError):
        promtool(tmp_path, text.replace(right, wrong))


def test_the_cluster_gets_the_same_rules_whole() -> None:
    rendered = render("--set=monitoring.rules.enabled=true", kube="1.30.0", apis=(OPERATOR,))
    (made,) = [d for d in yaml.safe_load_all(rendered) if d and d["kind"] == "PrometheusRule"]
    assert made["spec"] == yaml.safe_load(RULES.read_text())


def test_every_alert_is_told_in_the_docs() -> None:
    result = (CHART.parents[1] / "docs/monitoring.md").read_text()
    assert set(re.findall(r"`(Colocation\w+)`", result)) == set(alerts())
