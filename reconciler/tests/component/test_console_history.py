"""Charts from a real Prometheus that scrapes a real manager; and from the console's own memory once it is gone."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from colocation.console.prometheus import Prometheus, Source
from colocation.console.series import Charts
from tests.lab import binaries
from tests.lab.apiserver import free_ports
from tests.lab.waiting import eventually

from .cluster import Cluster, Manager
from .console import Desk, chart_rights, person
from .test_manager import publishing

pytestmark = pytest.mark.apiserver


@pytest.fixture
def prometheus(cluster: Cluster, tmp_path: Path) -> Iterator[tuple[Manager, subprocess.Popen[bytes], str]]:
    """One that scrapes a manager each second."""
    binaries.ensure("prometheus")
    cluster.policy("p")
    manager = cluster.manager()
    publishing(cluster, "n1")
    (port,) = free_ports(1)
    jobs = [{"job_name": "manager", "static_configs": [{"targets": [f"127.0.0.1:{manager.port}"]}]}]
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": jobs}))
    argv = [str(binaries.path("prometheus")), f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    process = subprocess.Popen([*argv, f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"])
    yield manager, process, f"http://127.0.0.1:{port}"
    process.kill()
    process.wait(10)


def test_a_chart_comes_from_prometheus_and_from_memory_when_it_is_away(
    cluster: Cluster, prometheus: tuple[Manager, subprocess.Popen[bytes], str]
) -> None:
    manager, process, url = prometheus
    chart_rights(cluster)
    reader = person(cluster, "historian", "reader")
    desk = Desk(cluster, manager)
    source = Prometheus(Source(url=url))
    charts = desk.console.app.services[Charts]
    charts._source = source
    try:
        eventually(lambda: desk.ask("GET", "/api/v1/nodes", reader).code == 200, 20)
        desk.fresh()

        def series(query: str) -> Any:
            given = desk.ask("GET", f"/api/v1/series?{query}", reader)
            assert given.code == 200, given.text
            return given.json

        def lines(query: str) -> dict[str, list[float]]:
            source._kept.clear()
            found = series(query)
            assert found["source"] == "prometheus"
            return {one["key"]: [v for v in one["values"] if v is not None] for one in found["series"]}

        eventually(lambda: lines("chart=cpu&range=10m").get("capacity", [0])[-1:] == [10.0], 60, every=1)
        assert lines("chart=nodeCpu&node=n1&range=10m")["published"][-1] == 5.0
        lines("chart=memory&range=14d")  # the widest step may have no point yet; it is answered all the same
        assert lines("chart=nodes&range=10m")["open"][-1] == 1
        assert "published" not in lines("chart=nodeCpu&node=n2&range=10m"), "of another node there is nothing"
        process.kill()
        process.wait(10)
        source._kept.clear()
        found = series("chart=cpu&range=1h")
        assert found["source"] == "memory"
        assert found["omitted"] == [{"part": "prometheus", "why": "away", "remedy": ""}]
        assert found["since"]
        values = {one["key"]: [v for v in one["values"] if v is not None] for one in found["series"]}
        assert values["capacity"][-1] == 10.0
    finally:
        desk.stop()
        cluster.api.kubectl("delete", "serviceaccount", "historian", "--namespace=openfuyao-colocation")
