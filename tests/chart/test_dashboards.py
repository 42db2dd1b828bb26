"""The dashboards' structure."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from tools import dashboards
from tools.dashboards import CLUSTER, NODE, Dashboard

from .conftest import render


def test_there_are_enough_panels_and_each_says_what_it_shows() -> None:
    assert len(CLUSTER.panels) >= 8
    assert len(NODE.panels) >= 6
    for panel in (*CLUSTER.panels, *NODE.panels):
        assert panel.about.endswith("."), panel.title
        assert panel.queries, panel.title


@pytest.mark.parametrize("dashboard", [CLUSTER, NODE], ids=lambda d: d.uid)
def test_panels_lie_side_by_side_and_ask_the_chosen_source(dashboard: Dashboard) -> None:
    panels: list[dict[str, Any]] = dashboard.body()["panels"]
    taken = {(p["gridPos"]["x"], p["gridPos"]["y"]) for p in panels}
    assert len(taken) == len({p["id"] for p in panels}) == len(panels)
    assert all(p["gridPos"]["x"] + dashboards.WIDTH <= 24 for p in panels)
    assert {p["datasource"]["uid"] for p in panels} == {"${datasource}"}
    for target in (t for p in panels for t in p["targets"]):
        assert ("$node" in target["expr"]) == dashboard.node
        assert re.search(r"\bcolocation_\w+", target["expr"])


def test_the_cluster_gets_them_whole_where_grafana_looks() -> None:
    rendered = render("--set=monitoring.dashboards.enabled=true", kube="1.30.0", apis=())
    maps = [d for d in yaml.safe_load_all(rendered) if d and d["kind"] == "ConfigMap"]
    assert all(d["metadata"]["labels"]["grafana_dashboard"] == "1" for d in maps)
    bodies = [json.loads(text) for d in maps for text in d["data"].values()]
    assert sorted(bodies, key=lambda b: str(b["uid"])) == [CLUSTER.body(), NODE.body()]
