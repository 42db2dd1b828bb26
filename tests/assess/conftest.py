# SPDX-License-Identifier: Apache-2.0
"""A real API server for the session, and `colocation assess` as a person runs it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from colocation.cli import main
from colocation.kube.login import kubeconfig
from colocation.kube.resources import NODES, PODS
from colocation.kube.rest import Rest
from tests.assess.server import Prometheus
from tests.assess.synthetic import Synthetic, objects, write_openmetrics
from tests.lab.apiserver import ApiServer

NAMESPACE = "shop"
Assess = Callable[..., Any]


def this_hour() -> int:
    """Unix seconds."""
    return int(time.time()) // 3600 * 3600


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        server.kubectl("create", "namespace", NAMESPACE)
        yield server


@pytest.fixture(scope="session")
def rest(api: ApiServer) -> Iterator[Rest]:
    client = Rest(kubeconfig(str(api.kubeconfig)))
    yield client
    client.close()


@pytest.fixture
def assess(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Assess:
    """Run it; its document, or with ``fails`` what it says on stderr. Answers are kept for this test only."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def run(*args: str, fails: bool = False, config: Path | None = None) -> Any:
        capsys.readouterr()
        code = main(["assess", f"--kubeconfig={config or api.kubeconfig}", "-o", "json", *args])
        out, err = capsys.readouterr()
        assert code == (1 if fails else 0), err
        return err if fails else json.loads(out) if out else err

    return run


def fill_cluster(rest: Rest, cluster: Synthetic) -> None:
    """The cluster's objects and no others."""
    empty_cluster(rest)
    for thing, status in objects(cluster):
        resource, namespace = (NODES, "") if thing["kind"] == "Node" else (PODS, NAMESPACE)
        rest.create(resource.path(namespace=namespace), thing)
        rest.patch(resource.path(thing["metadata"]["name"], namespace=namespace, sub="status"), {"status": status})


def empty_cluster(rest: Rest) -> None:
    rest.send("DELETE", PODS.path(namespace=NAMESPACE), body=b'{"gracePeriodSeconds": 0}')
    rest.delete(NODES.path())


def prometheus(
    folder: Path, cluster: Synthetic, *, scrape: int = 60, replicas: int = 1, published: int = 0, **more: Any
) -> Prometheus:
    """Filled, not started."""
    folder.mkdir(parents=True, exist_ok=True)
    server = Prometheus(folder / "prometheus", **more)
    write_openmetrics(cluster, folder / "use.txt", scrape, replicas, published)
    server.fill(folder / "use.txt")
    (folder / "use.txt").unlink()
    return server
