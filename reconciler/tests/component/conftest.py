"""A real API server for the session, with our CRDs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from colocation.kube.login import kubeconfig
from colocation.kube.resources import NODE_COLOCATIONS
from colocation.kube.rest import ApiError, Rest
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .cluster import Cluster, crds

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("api")) as server:
        server.kubectl("apply", "-f", "-", stdin=crds())
        server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        server.kubectl("create", "namespace", "openfuyao-colocation")
        server.kubectl("create", "serviceaccount", "colocation-reader", "--namespace=openfuyao-colocation")
        yield server


@pytest.fixture
def anything_goes(api: ApiServer, rest: Rest) -> Iterator[None]:
    """NodeColocations without a schema, for a while."""
    probe = NODE_COLOCATIONS.path("probe")
    body = {"apiVersion": NODE_COLOCATIONS.group_version, "kind": "NodeColocation", "metadata": {"name": "probe"}}

    def accepts(spec: object) -> bool:
        try:
            rest.create(NODE_COLOCATIONS.path(), {**body, "spec": spec})
        except ApiError:
            return False
        rest.delete(probe)
        return True

    api.kubectl("replace", "-f", "-", stdin=crds(anything=True))
    eventually(lambda: accepts({"pods": 7}))
    yield
    rest.delete(NODE_COLOCATIONS.path())
    api.kubectl("replace", "-f", "-", stdin=crds())
    eventually(lambda: not accepts({"pods": 7}))


@pytest.fixture
def rest(api: ApiServer) -> Iterator[Rest]:
    if not api.alive:
        api.start()
    api.resume()
    client = Rest(kubeconfig(str(api.kubeconfig)))
    yield client
    client.close()


@pytest.fixture
def cluster(api: ApiServer, rest: Rest, tmp_path: Path) -> Iterator[Cluster]:
    """An empty cluster: whatever a test makes is gone afterwards, its processes too."""
    made = Cluster(api, rest, tmp_path, next(_numbers))
    yield made
    made.close()
