# SPDX-License-Identifier: Apache-2.0
"""What is read from a real Prometheus is what went into it: the report is exact to the millicore."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from colocation.assess.assessment import Assessment, Settings
from colocation.assess.assessment import assess as assessed
from colocation.assess.files import read
from colocation.assess.shape import VERSION, Header, Inventory
from colocation.kube.rest import Rest
from tests.assess.conftest import Assess, fill_cluster, prometheus, this_hour
from tests.assess.server import Prometheus
from tests.assess.synthetic import Synthetic, synthesize, traces
from tests.lab.config import CLONE

DAYS = 14
SHOTS = CLONE / "docs/pictures/assess.png"


@pytest.fixture(scope="module")
def cluster(rest: Rest) -> Synthetic:
    """Two weeks and some hours, into the future: the test may take longer than the hour lasts."""
    made = synthesize(this_hour() - (DAYS * 24 + 2) * 3600, DAYS * 24 + 6)
    fill_cluster(rest, made)
    return made


@pytest.fixture(scope="module")
def server(cluster: Synthetic, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus(tmp_path_factory.mktemp("two-weeks"), cluster) as running:
        yield running


@pytest.fixture(scope="module")
def expected(cluster: Synthetic) -> Any:
    """The replay of what went into Prometheus, for the window of a report."""
    known: dict[tuple[int, int], Assessment] = {}

    def of(document: dict[str, Any]) -> Assessment:
        start, end = document["start"], document["end"]
        if (start, end) not in known:
            selectors = {pool: {"pool": pool} for pool in ("web", "batch")}
            header = Header(
                version=VERSION, source=document["source"], start=start, steps=(end - start) // 300,
                nodes=len(cluster.nodes), inventory=Inventory(selectors=selectors),
            )  # fmt: skip
            known[start, end] = assessed(header, traces(cluster, start, header.steps), Settings(risk=0.01))
        return known[start, end]

    return of


def test_the_report_is_the_replay_of_what_went_in(assess: Assess, server: Prometheus, expected: Any) -> None:
    document = assess(f"--prometheus={server.url}")
    assert document["end"] - document["start"] == DAYS * 86400
    wanted = json.loads(msgspec.json.encode(expected(document)))
    for key in ("cpu", "memory", "worth", "pools", "nodes", "week", "pods", "notes"):
        assert document[key] == wanted[key], key
    assert document["cpu"]["used"] > 0
    assert document["pools"][0]["policy"]["spec"]["nodeSelector"] == {"matchLabels": {"pool": "batch"}}


def test_a_recorded_trace_says_the_same_elsewhere(
    assess: Assess, server: Prometheus, expected: Any, tmp_path: Path
) -> None:
    assess(f"--prometheus={server.url}", f"--record={tmp_path / 'use.gz'}")
    _, nodes = read(tmp_path / "use.gz")
    assert len(list(nodes)) == 4
    document = assess(f"--trace={tmp_path / 'use.gz'}", config=tmp_path / "no-cluster-is-asked")
    wanted = json.loads(msgspec.json.encode(expected(document)))
    assert document["pools"] == wanted["pools"]


def test_the_page_is_as_it_is_shown_in_the_docs(assess: Assess, server: Prometheus, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    assess(f"--prometheus={server.url}", f"--html={page}")
    picture = tmp_path / "report.png"
    try:
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
             "--window-size=1280,1500", f"--screenshot={picture}", page.as_uri()],
            check=True, capture_output=True, timeout=120,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    assert picture.stat().st_size > 50_000
    SHOTS.write_bytes(picture.read_bytes())
