# SPDX-License-Identifier: Apache-2.0
"""What comes out of order, one by one, against a real Prometheus and a real API server."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from colocation.assess.collect import Collector
from colocation.assess.inventory import CLUSTER_ROLE, look
from colocation.assess.prometheus import Prometheus as Client
from colocation.kube.login import Login
from colocation.kube.rest import Rest
from tests.assess.conftest import NAMESPACE, Assess, empty_cluster, fill_cluster, prometheus, this_hour
from tests.assess.server import Prometheus
from tests.assess.synthetic import GI, Synthetic, synthesize, traces
from tests.chart.behind import own_address
from tests.lab.apiserver import ApiServer

HOURS = 12


def small(hours: int = HOURS, nodes: int = 1) -> Synthetic:
    return synthesize(this_hour() - (hours - 2) * 3600, hours, nodes=nodes, pods=2)


@pytest.fixture
def cluster(rest: Rest) -> Synthetic:
    made = small()
    fill_cluster(rest, made)
    return made


def collected(rest: Rest, server: Prometheus, **more: Any) -> Collector:
    direct = Rest(Login(server.url, dict, lambda: None))
    return Collector(Client(direct, "", "it"), look(rest), 14, **more)


def same(collector: Collector, cluster: Synthetic) -> None:
    """What is read is what went in."""
    got = [node for group in collector.groups() for node in group]
    wanted = traces(cluster, collector.header.start, collector.header.steps)
    assert collector.header.steps >= (HOURS - 3) * 12
    for one, other in zip(got, wanted, strict=True):
        for name in ("cpu", "memory", "pods_cpu", "pods_memory"):
            assert getattr(one, name) == getattr(other, name), name
        assert sorted(one.pods, key=lambda p: p.name) == sorted(other.pods, key=lambda p: p.name)


@pytest.mark.parametrize("scrape", [5, 15, 30, 60])
def test_scrape_intervals_up_to_a_minute_lose_nothing(
    rest: Rest, cluster: Synthetic, tmp_path: Path, scrape: int
) -> None:
    with prometheus(tmp_path, cluster, scrape=scrape) as server:
        collector = collected(rest, server)
        assert collector.header.scrape_seconds == scrape
        same(collector, cluster)


def test_a_scrape_each_five_minutes_is_read_and_its_cost_is_said(
    rest: Rest, cluster: Synthetic, tmp_path: Path
) -> None:
    with prometheus(tmp_path, cluster, scrape=300) as server:
        collector = collected(rest, server)
        (got,) = next(collector.groups())
    assert any("Scraped each 300 s" in note for note in collector.notes)
    (wanted,) = traces(cluster, collector.header.start, collector.header.steps)
    pairs = [(a, b) for a, b in zip(got.cpu, wanted.cpu, strict=True) if a is not None and b is not None]
    assert len(pairs) > 100
    assert sum(a for a, _ in pairs) == pytest.approx(sum(b for _, b in pairs), rel=0.02)
    assert max(a for a, _ in pairs) <= max(b for _, b in pairs), "a mean of more than one step has no higher peak"


def test_series_of_two_replicas_count_once(rest: Rest, cluster: Synthetic, tmp_path: Path) -> None:
    with prometheus(tmp_path, cluster, replicas=2) as server:
        same(collected(rest, server), cluster)


def test_gaps_stay_gaps(assess: Assess, rest: Rest, cluster: Synthetic, tmp_path: Path) -> None:
    begin = cluster.start + 5 * 3600
    with _edited(tmp_path, cluster, lambda _, at, value: None if begin < at <= begin + 1800 else value) as server:
        document = assess(f"--prometheus={server.url}")
        (got,) = next(collected(rest, server).groups())
    assert got.cpu.count(None) == 6
    assert any("not measured all the time" in note for note in document["notes"])
    assert document["nodes"][0]["covered"] < 1


def test_counters_that_begin_anew_are_no_use(rest: Rest, cluster: Synthetic, tmp_path: Path) -> None:
    reset = cluster.start + 5 * 3600
    first: dict[str, float] = {}

    def again(name: str, at: int, value: float) -> float:
        if "_total{" not in name or at < reset:
            return value
        return value - first.setdefault(name, value)

    with _edited(tmp_path, cluster, again) as server:
        collector = collected(rest, server)
        (got,) = next(collector.groups())
    (wanted,) = traces(cluster, collector.header.start, collector.header.steps)
    hole = (reset - collector.header.start) // 300 - 1
    for at, (one, other) in enumerate(zip(got.cpu, wanted.cpu, strict=True)):
        assert one == other or (abs(at - hole) <= 1 and one is not None and other is not None and one <= 2 * other), at


def test_another_clock_is_said_and_prometheus_own_counts(rest: Rest, cluster: Synthetic, tmp_path: Path) -> None:
    """This machine's clock is a fake: a real one cannot be moved for a test."""
    with prometheus(tmp_path, cluster) as server:
        collector = collected(rest, server, clock=lambda: this_hour() + 5 * 86400.0)
    assert any("clock differs" in note for note in collector.notes)
    assert collector.header.end <= this_hour() + 3600


def test_nodes_that_were_replaced_are_left_out_and_said(assess: Assess, rest: Rest, tmp_path: Path) -> None:
    made = small(nodes=3)
    fill_cluster(rest, structs.replace(made, nodes=made.nodes[1:]))
    with prometheus(tmp_path, structs.replace(made, nodes=made.nodes[:2])) as server:
        document = assess(f"--prometheus={server.url}")
    assert [node["name"] for node in document["nodes"]] == ["node-1"]
    assert any("1 nodes of the cluster have no series" in note for note in document["notes"])
    assert any("1 nodes with series are not in the cluster" in note for note in document["notes"])


def test_too_little_history_is_said(assess: Assess, rest: Rest, tmp_path: Path) -> None:
    for hours, sentence in ((3, "two hours are the least"), (7, "of use: the first 6 h are learnt from")):
        made = small(hours)
        fill_cluster(rest, made)
        with prometheus(tmp_path / str(hours), made) as server:
            assert sentence in assess(f"--prometheus={server.url}", fails=True)


def test_a_prometheus_without_cadvisor_or_of_another_cluster_is_said(
    assess: Assess, rest: Rest, cluster: Synthetic, tmp_path: Path
) -> None:
    with Prometheus(tmp_path / "empty") as empty:
        assert "does not scrape the kubelets' cAdvisor" in assess(f"--prometheus={empty.url}", fails=True)
    for node in cluster.nodes:
        node.name = f"other-{node.name}"
    with prometheus(tmp_path / "other", cluster) as other:
        assert "Prometheus of another cluster?" in assess(f"--prometheus={other.url}", fails=True)


def test_without_series_of_whole_nodes_the_cost_is_said(assess: Assess, cluster: Synthetic, tmp_path: Path) -> None:
    with _edited(tmp_path, cluster, lambda name, _, value: None if 'id="/"' in name else value) as server:
        document = assess(f"--prometheus={server.url}")
    assert any("no series of whole nodes" in note for note in document["notes"])


def test_requests_of_pods_that_are_gone_are_missed_and_said(assess: Assess, rest: Rest, tmp_path: Path) -> None:
    made = small()
    made.nodes[0].pods[0].live = False
    fill_cluster(rest, made)
    with _edited(tmp_path, made, lambda name, _, value: None if name.startswith("kube_") else value) as server:
        document = assess(f"--prometheus={server.url}")
    assert any("Requests of 1 pods that are gone are not known" in note for note in document["notes"])


def test_after_the_roll_out_what_was_foretold_stands_beside_what_happened(
    assess: Assess, rest: Rest, tmp_path: Path
) -> None:
    made = small(hours=16)
    fill_cluster(rest, made)
    date = time.strftime("%Y-%m-%dT%H:00", time.gmtime(this_hour() - 4 * 3600))
    with prometheus(tmp_path, made, published=4000) as server:
        document = assess(f"--prometheus={server.url}", f"--since={date}")
        foretold = document["since"]["cpu"]
        assert document["end"] == this_hour() - 4 * 3600
        assert foretold["foretold"] == document["cpu"]["published"]
        assert (foretold["published"], foretold["allocated"], foretold["used"]) == (4000, 1000, 500)
        assert document["since"]["memory"]["used"] == GI / 2
        assert document["since"]["nodes"] == 1
    with prometheus(tmp_path / "none", made) as server:
        assert "is the manager scraped" in assess(f"--prometheus={server.url}", f"--since={date}", fails=True)
    assert "write it as" in assess("--prometheus=http://127.0.0.1:9", "--since=yesterday", fails=True)


def test_an_empty_cluster_is_said(assess: Assess, rest: Rest) -> None:
    empty_cluster(rest)
    assert "no Node that reports its capacity" in assess(fails=True)


def test_who_may_not_list_learns_which_rights_are_missing(
    assess: Assess, api: ApiServer, cluster: Synthetic, tmp_path: Path
) -> None:
    person = api.user("somebody")
    said = assess("--prometheus=http://127.0.0.1:9", fails=True, config=person)
    assert "not allowed to list nodes" in said
    assert CLUSTER_ROLE in said
    api.kubectl("apply", "-f", "-", stdin=CLUSTER_ROLE)
    api.kubectl("create", "clusterrolebinding", "somebody", "--clusterrole=colocation-assess", "--user=somebody")
    with prometheus(tmp_path, cluster) as server:
        document = assess(f"--prometheus={server.url}", config=person)
    assert not [note for note in document["notes"] if "could not be listed" in note]


def test_none_is_found_and_where_it_was_looked_for_is_said(assess: Assess, cluster: Synthetic) -> None:
    said = assess(fails=True)
    assert "no Prometheus found" in said
    assert "no Service looks like one" in said
    assert "--prometheus URL" in said


def _edited(folder: Path, cluster: Synthetic, change: Callable[[str, int, float], float | None]) -> Prometheus:
    """A Prometheus whose samples were changed: by series, second and value; None leaves one out."""
    from tests.assess.synthetic import write_openmetrics  # noqa: PLC0415

    folder.mkdir(exist_ok=True)
    plain, edited = folder / "plain.txt", folder / "edited.txt"
    write_openmetrics(cluster, plain)
    with plain.open() as lines, edited.open("w") as out:
        for line in lines:
            if line.startswith("#"):
                out.write(line)
                continue
            name, value, at = line.rsplit(" ", 2)
            changed = change(name, int(at), float(value))
            if changed is not None:
                out.write(f"{name} {changed:.3f} {at}")
    server = Prometheus(folder / "prometheus")
    server.fill(edited)
    return server


class TestThroughTheApiServer:
    """Found by its Service, reached by the API server's proxy. Endpoints by hand: no controller is here to do it."""

    @pytest.fixture
    def behind(self, api: ApiServer) -> Callable[[Prometheus], None]:
        def publish(server: Prometheus) -> None:
            address = own_address()
            pod = {"kind": "Pod", "name": "prometheus-0", "namespace": NAMESPACE}
            meta = {
                "name": "prometheus-k8s",
                "namespace": NAMESPACE,
                "labels": {"app.kubernetes.io/name": "prometheus"},
            }
            things: list[dict[str, Any]] = [
                {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "prometheus-0", "namespace": NAMESPACE},
                 "spec": {"containers": [{"name": "a", "image": "x"}]}},
                {"apiVersion": "v1", "kind": "Service", "metadata": meta,
                 "spec": {"ports": [{"name": "web", "port": 9090}]}},
                {"apiVersion": "v1", "kind": "Endpoints",
                 "metadata": {"name": "prometheus-k8s", "namespace": NAMESPACE},
                 "subsets": [{"addresses": [{"ip": address, "targetRef": pod}],
                              "ports": [{"name": "web", "port": server.port}]}]},
            ]  # fmt: skip
            for thing in things:
                api.kubectl("apply", "-f", "-", stdin=json.dumps(thing))
            status = {"status": {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}}
            where = ["prometheus-0", f"--namespace={NAMESPACE}", "--subresource=status", "--type=merge"]
            api.kubectl("patch", "pod", *where, "-p", json.dumps(status))

        return publish

    def test_it_is_found(self, assess: Assess, cluster: Synthetic, tmp_path: Path, behind: Any) -> None:
        with prometheus(tmp_path, cluster, host=own_address()) as server:
            behind(server)
            document = assess()
        assert document["source"] == f"Service {NAMESPACE}/prometheus-k8s:web"

    def test_a_401_behind_the_proxy_is_explained(self, assess: Assess, rest: Rest, tmp_path: Path, behind: Any) -> None:
        fill_cluster(rest, small())
        # bcrypt of "secret"
        web = "basic_auth_users: {me: $2b$04$0HoLCYZLTXdMQMGCXVLu4.MYbsZf07l1AkSn/CzNCmkYMdmdG5Jum}\n"
        with Prometheus(tmp_path / "prometheus", web, own_address()) as server:
            behind(server)
            said = assess(fails=True)
        assert "the API server's proxy drops the token" in said
        assert f"kubectl -n {NAMESPACE} port-forward svc/prometheus-k8s 9090:web" in said
