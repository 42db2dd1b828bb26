"""The reflector against a real API server, through everything that ends a watch."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from msgspec import Struct

from colocation.kube.backoff import Backoff
from colocation.kube.cache import Bad, Delete, Event, Reflector, Synced, Upsert
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS
from colocation.kube.rest import ApiError, Rest
from colocation.model.facts import PodFacts, pod_facts
from colocation.model.report import NodeColocationSpec
from colocation.model.wire import Metadata, Node, Pod
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .cluster import Cluster, forget

pytestmark = pytest.mark.apiserver


class Seen:
    """What a reflector said, as the names that are there now."""

    def __init__(self) -> None:
        self.there: dict[str, object] = {}
        self.bad: dict[str, str] = {}
        self.syncs = 0

    def __call__(self, event: Event[object]) -> None:
        match event:
            case Upsert():
                self.there[event.key] = event.object
            case Delete():
                self.there.pop(event.key)
            case Bad():
                self.bad[event.key] = event.reason
            case Synced():
                self.syncs += 1


@pytest.fixture
def seen() -> Seen:
    return Seen()


@pytest.fixture
def nodes(rest: Rest, seen: Seen) -> Iterator[Reflector[Node, str]]:
    reflector = Reflector(rest, NODES, Node, _labels, seen, page=3, backoff=Backoff(0.1, 1))
    yield reflector
    reflector.stop()


def _labels(node: Node) -> str:
    return node.metadata.labels.get("x", "")


def test_a_paged_list_is_whole_and_the_watch_goes_on_where_it_ended(
    cluster: Cluster, seen: Seen, nodes: Reflector[Node, str]
) -> None:
    for i in range(10):
        cluster.node(f"n{i}")
    nodes.start()
    eventually(lambda: seen.syncs == 1)
    assert set(seen.there) == {f"n{i}" for i in range(10)}
    cluster.node("late")
    cluster.rest.delete(NODES.path("n3"))
    cluster.rest.patch(NODES.path("n4"), {"metadata": {"labels": {"x": "changed"}}})
    eventually(lambda: "late" in seen.there and "n3" not in seen.there and seen.there["n4"] == "changed")
    assert nodes.lists == 1


def test_a_killed_server_costs_a_resumed_watch_and_no_second_list(
    cluster: Cluster, api: ApiServer, seen: Seen, nodes: Reflector[Node, str]
) -> None:
    cluster.node("a")
    nodes.start()
    eventually(lambda: seen.syncs == 1)
    api.kill()
    time.sleep(0.5)
    api.start()
    cluster.node("b")
    eventually(lambda: "b" in seen.there)
    assert nodes.lists == 1


def test_gone_lists_again_and_tells_what_vanished_meanwhile(
    cluster: Cluster, api: ApiServer, seen: Seen, nodes: Reflector[Node, str]
) -> None:
    """Etcd is compacted while nobody watches, so the version to resume from is lost: 410."""
    cluster.node("stays")
    cluster.node("vanishes")
    nodes.start()
    eventually(lambda: seen.syncs == 1)
    api.kill()
    forget(api, "/registry/minions/vanishes")
    api.start()
    eventually(lambda: seen.syncs == 2, 20)
    assert set(seen.there) == {"stays"}


def test_a_bad_object_is_told_and_nothing_stops(cluster: Cluster, anything_goes: None, rest: Rest, seen: Seen) -> None:
    class Told(Struct):
        metadata: Metadata
        spec: NodeColocationSpec = NodeColocationSpec()

    def project(ncol: Told) -> int:
        return len(ncol.spec.pods)

    base = {"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": "NodeColocation"}
    rest.create(NODE_COLOCATIONS.path(), {**base, "metadata": {"name": "bad"}, "spec": {"pods": "nonsense"}})
    reflector = Reflector(rest, NODE_COLOCATIONS, Told, project, seen)
    reflector.start()
    eventually(lambda: seen.syncs == 1)
    rest.create(NODE_COLOCATIONS.path(), {**base, "metadata": {"name": "bad2"}, "spec": {"pods": [{"uid": 7}]}})
    rest.create(NODE_COLOCATIONS.path(), {**base, "metadata": {"name": "good"}, "spec": {"pods": [{"uid": "u"}]}})
    eventually(lambda: seen.there == {"good": 1})
    assert set(seen.bad) == {"bad", "bad2"}
    assert reflector.lists == 1
    reflector.stop()


def test_a_field_selector_ends_finished_pods(cluster: Cluster, rest: Rest, seen: Seen) -> None:
    cluster.node("n")
    cluster.pod("p", "n", cpu="1")
    query = {"fieldSelector": "spec.nodeName!=,status.phase!=Failed,status.phase!=Succeeded"}
    reflector: Reflector[Pod, PodFacts] = Reflector(rest, PODS, Pod, pod_facts, seen, query=query)
    reflector.start()
    eventually(lambda: "default/p" in seen.there)
    rest.patch(PODS.path("p", namespace="default", sub="status"), {"status": {"phase": "Succeeded"}})
    eventually(lambda: not seen.there)
    reflector.stop()


def test_stop_is_quick_while_the_watch_is_silent(cluster: Cluster, seen: Seen, nodes: Reflector[Node, str]) -> None:
    nodes.start()
    eventually(lambda: seen.syncs == 1)
    time.sleep(0.3)
    began = time.monotonic()
    nodes.stop(5)
    assert time.monotonic() - began < 1
    assert not [t for t in threading.enumerate() if t.name == "watch-nodes"]


def test_a_peer_that_falls_silent_is_noticed(cluster: Cluster, api: ApiServer, rest: Rest, seen: Seen) -> None:
    """SIGSTOP leaves the connection open: only the read timeout tells."""
    cluster.node("a")
    reflector = Reflector(rest, NODES, Node, _labels, seen, read_seconds=1, backoff=Backoff(0.1, 0.5))
    reflector.start()
    eventually(lambda: seen.syncs == 1)
    api.pause()
    time.sleep(2.5)
    assert reflector._backoff.failures > 0
    api.resume()
    cluster.node("b")
    eventually(lambda: "b" in seen.there)
    reflector.stop()


def test_errors_have_code_and_reason(rest: Rest) -> None:
    with pytest.raises(ApiError) as caught:
        rest.text(NODES.path("nobody"))
    assert (caught.value.code, caught.value.reason) == (404, "NotFound")


def test_nobody_there_is_an_error_with_a_sentence(api: ApiServer, rest: Rest) -> None:
    api.kill()
    with pytest.raises(ApiError) as caught:
        rest.text(NODES.path())
    assert caught.value.code == 0
    assert "refused" in str(caught.value)
    assert "HTTPSConnectionPool" not in str(caught.value)
    api.start()
