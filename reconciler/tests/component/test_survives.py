"""What a manager survives, against the real API server: after each, every number is right again and nothing has leaked.

Faults on the wire are made by `proxy.py`, which is ours and says so; everything else is the real thing. `make survive`
runs all of them; `make test` those that are quick.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from colocation.kube.cache import Delete, Event, Reflector, Upsert
from colocation.kube.login import kubeconfig
from colocation.kube.resources import NODE_COLOCATIONS, NODES, POLICIES
from colocation.kube.rest import ApiError, Rest
from colocation.model.facts import NodeFacts, node_facts
from colocation.model.wire import Node
from tests.lab import debian
from tests.lab.apiserver import ApiServer
from tests.lab.waiting import eventually

from .cluster import GI, Cluster, Manager, compact, forget
from .proxy import Proxy

pytestmark = pytest.mark.apiserver

Number = tuple[int | None, int | None, int | None]
NOTHING: Number = (None, None, None)
HEADROOM: Number = (5000, 60 * GI, 250)  # 10 cores and 100Gi; 60 and 65 % of it; 1 core and 5Gi in use
LESS: Number = (4000, 60 * GI, 250)  # 2 cores in use
FAST = {"cpu": {"strategy": "usage"}, "memory": {"strategy": "usage"}, "growAfterSeconds": 0}
MANY = 1000


class Witness:
    """Sees every number that is ever published, straight from the API server."""

    def __init__(self, cluster: Cluster) -> None:
        self.now: dict[str, Number] = {}
        self.ever: dict[str, set[Number]] = {}
        self._reflector: Reflector[Node, NodeFacts] = Reflector(cluster.rest, NODES, Node, node_facts, self._take)
        self._reflector.start()

    def _take(self, event: Event[NodeFacts]) -> None:
        if isinstance(event, Upsert):
            answer = event.object.published
            number = (answer.cpu, answer.memory, answer.gate)
            self.now[event.key] = number
            self.ever.setdefault(event.key, set()).add(number)
        elif isinstance(event, Delete):
            self.now.pop(event.key, None)

    def all_are(self, number: Number, names: Iterable[str]) -> bool:
        return all(self.now.get(name) == number for name in names)

    def seen(self) -> set[Number]:
        return {number for numbers in self.ever.values() for number in numbers}

    def stop(self) -> None:
        self._reflector.stop()


@pytest.fixture
def witness(cluster: Cluster) -> Iterator[Witness]:
    made = Witness(cluster)
    yield made
    made.stop()


@pytest.fixture
def proxy(api: ApiServer, cluster: Cluster, tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(api, tmp_path) as made:
        yield made


def through(proxy: Proxy) -> str:
    return f"--kubeconfig={proxy.kubeconfig}"


def each(do: object, names: Iterable[str]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(do, names))  # type: ignore[arg-type]


def names(count: int) -> list[str]:
    return [f"n{number:04d}" for number in range(count)]


def made(cluster: Cluster, count: int) -> list[str]:
    """Nodes that have reported, before any manager was there."""

    def one(name: str) -> None:
        amounts = {"cpu": "10", "memory": "100Gi", "pods": "110"}
        meta = {"name": name, "labels": {"node.openfuyao.com/colocation": "true"}}
        status = {"capacity": amounts, "allocatable": amounts}
        cluster.rest.create(NODES.path(), {"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": status})
        group = NODE_COLOCATIONS.group_version
        body = {"apiVersion": group, "kind": "NodeColocation", "metadata": {"name": name}, "spec": {}}
        cluster.rest.create(NODE_COLOCATIONS.path(), body)
        cluster.report(name)

    each(one, names(count))
    return names(count)


def size(manager: Manager) -> tuple[int, float]:
    """Threads, and MiB resident."""
    status = Path(f"/proc/{manager.process.pid}/status").read_text()
    found = dict(re.findall(r"^(Threads|VmRSS):\s+(\d+)", status, re.MULTILINE))
    return int(found["Threads"]), int(found["VmRSS"]) / 1024


def nothing_leaked(manager: Manager, before: tuple[int, float], mib: float = 8) -> None:
    eventually(lambda: size(manager)[0] <= before[0], 15, "a thread was left over")
    assert size(manager)[1] < before[1] + mib


def publishing(
    cluster: Cluster, witness: Witness, count: int, *options: str
) -> tuple[Manager, list[str], tuple[int, float]]:
    """A manager with its nodes, all published, and its size then."""
    cluster.policy()
    nodes = made(cluster, count)
    manager = cluster.manager(*options)
    eventually(lambda: witness.all_are(HEADROOM, nodes), 60)
    return manager, nodes, size(manager)


def metric(manager: Manager, start: str) -> float:
    return sum(float(line.split()[-1]) for line in manager.http("/metrics").splitlines() if line.startswith(start))


# --- the API server goes away ---


@pytest.mark.long
def test_killed_in_the_middle_of_the_initial_list(
    cluster: Cluster, api: ApiServer, proxy: Proxy, witness: Witness
) -> None:
    cluster.policy()
    nodes = made(cluster, MANY)
    killed: list[int] = []

    def kill(passed: int) -> None:
        if passed > 300_000 and not killed:  # of about 2 MB
            killed.append(passed)
            api.kill()

    proxy.told = kill
    manager = cluster.manager("--rate=0", through(proxy), ready=False)
    eventually(lambda: killed, 20, "the list was over before it was cut")
    time.sleep(1)
    with pytest.raises(OSError):  # 503: it knows that it does not know
        manager.http("/readyz")
    api.start()
    eventually(lambda: witness.all_are(HEADROOM, nodes), 60)
    assert witness.seen() == {NOTHING, HEADROOM}


@pytest.mark.long
def test_killed_again_and_again_in_the_middle_of_a_watch(cluster: Cluster, api: ApiServer, witness: Witness) -> None:
    manager, nodes, before = publishing(cluster, witness, 20)
    for wanted, cpu in ((LESS, 2000), (HEADROOM, 1000), (LESS, 2000)):
        api.kill()
        time.sleep(random.Random(cpu).uniform(0.2, 2))
        api.start()
        each(lambda name, cpu=cpu: cluster.report(name, cpu=cpu), nodes)  # type: ignore[misc]
        eventually(lambda wanted=wanted: witness.all_are(wanted, nodes), 30)
    assert witness.seen() == {NOTHING, HEADROOM, LESS}
    nothing_leaked(manager, before)


@pytest.mark.long
def test_killed_in_the_middle_of_a_burst_of_writes(cluster: Cluster, api: ApiServer, witness: Witness) -> None:
    manager, nodes, before = publishing(cluster, witness, MANY, "--rate=0")
    cluster.rest.patch(POLICIES.path("p"), {"spec": {"oversell": {"cpu": {"reclaimPercent": 50}}}})
    eventually(lambda: sum(number == LESS for number in witness.now.values()) > 50, 20)
    api.kill()
    written = sum(number == LESS for number in witness.now.values())
    assert written < MANY, "the burst was over before it was cut"
    time.sleep(1)
    api.start()
    eventually(lambda: witness.all_are(LESS, nodes), 60)
    assert witness.seen() == {NOTHING, HEADROOM, LESS}
    nothing_leaked(manager, before, 25)


@pytest.mark.long
def test_history_that_is_compacted_away_while_nobody_watches_costs_a_new_list(
    cluster: Cluster, api: ApiServer, witness: Witness
) -> None:
    """410 Gone: etcd forgets what the watches would go on from, and one node vanishes unseen."""
    manager, nodes, before = publishing(cluster, witness, 20)
    for _ in range(2):  # compaction alone is nothing
        compact(api)
        cluster.report(nodes[0], cpu=2000)
        eventually(lambda: witness.now[nodes[0]] == LESS)
        cluster.report(nodes[0])
        eventually(lambda: witness.now[nodes[0]] == HEADROOM)
    api.kill()
    forget(api, f"/registry/minions/{nodes[7]}")
    api.start()
    rest = [name for name in nodes if name != nodes[7]]
    each(lambda name: cluster.report(name, cpu=2000), rest)
    eventually(lambda: witness.all_are(LESS, rest), 30)
    eventually(lambda: nodes[7] not in manager.http("/metrics"), 10, "the node that vanished is still known")
    assert metric(manager, 'colocation_api_requests_total{code="200",resource="nodes",verb="LIST"}') == 2
    nothing_leaked(manager, before)


# --- it answers, but badly ---


class Starved:
    """A user of a priority level whose one seat another one keeps: real 429s of APF, with real Retry-After."""

    def __init__(self, api: ApiServer, name: str) -> None:
        self._api, self._hungry, self._hog, self._over = api, name, f"{name}-hog", threading.Event()
        self._threads: list[threading.Thread] = []
        users = [f"--user={user}" for user in (self._hungry, self._hog)]
        api.kubectl("create", "clusterrolebinding", name, "--clusterrole=cluster-admin", *users)
        self.kubeconfig = f"--kubeconfig={api.user(self._hungry)}"
        self._rest = Rest(kubeconfig(str(api.user(self._hog))))

    def begin(self, resource: str) -> None:
        """From now on this resource (``*``: all) is refused; returns when it is."""
        level = {
            "nominalConcurrencyShares": 0,  # the least there is: one request at a time
            "lendablePercent": 0,
            "borrowingLimitPercent": 0,
            "limitResponse": {"type": "Reject"},
        }
        flow = {
            "priorityLevelConfiguration": {"name": self._hungry},
            "matchingPrecedence": 2,
            "rules": [_rule(self._hungry, resource), _rule(self._hog, "nodes")],
        }
        limited = {"type": "Limited", "limited": level}
        for kind, spec in (("PriorityLevelConfiguration", limited), ("FlowSchema", flow)):
            body = {"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": kind, "spec": spec}
            self._api.kubectl("apply", "-f", "-", stdin=json.dumps({**body, "metadata": {"name": self._hungry}}))
        self._threads = [threading.Thread(target=self._keep_busy, daemon=True) for _ in range(3)]
        for thread in self._threads:
            thread.start()
        time.sleep(1)

    def end(self) -> None:
        """Whoever waits may go on."""
        self._over.set()
        for kind in ("flowschema", "prioritylevelconfiguration"):
            self._api.kubectl("delete", kind, self._hungry, "--ignore-not-found")
        for thread in self._threads:
            thread.join(5)

    def close(self) -> None:
        self.end()
        self._api.kubectl("delete", "clusterrolebinding", self._hungry)
        self._rest.close()

    def _keep_busy(self) -> None:
        """Ask for a version of the future: the server waits three seconds for it."""
        future = {"resourceVersion": "99999999999", "resourceVersionMatch": "NotOlderThan"}
        while not self._over.is_set():
            with contextlib.suppress(ApiError):
                self._rest.send("GET", NODES.path(), query=future)
            time.sleep(0.002)


def _rule(user: str, resource: str) -> dict[str, object]:
    what = {"verbs": ["*"], "apiGroups": ["*"], "resources": [resource], "clusterScope": True, "namespaces": ["*"]}
    return {"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [what]}


@pytest.fixture
def starved(cluster: Cluster, api: ApiServer) -> Iterator[Starved]:
    made = Starved(api, f"starved-{cluster.number}")
    yield made
    made.close()


@pytest.mark.long
def test_a_storm_of_429_is_waited_out_and_not_fed(cluster: Cluster, witness: Witness, starved: Starved) -> None:
    """Writes alone have no seat left: what must go is kept, few are tried, and the end is right."""
    manager, nodes, before = publishing(cluster, witness, 40, "--rate=0", starved.kubeconfig)
    starved.begin("nodes/status")
    each(lambda name: cluster.report(name, cpu=2000), nodes)
    time.sleep(6)
    tried = metric(manager, 'colocation_writes_total{kind="node",outcome="429"}')
    starved.end()
    # Those on their way together at first, then as rarely as Retry-After says: without it, hundreds.
    assert 1 <= tried <= 4 * 8
    assert manager.json("/readyz")["leader"]
    eventually(lambda: witness.all_are(LESS, nodes), 40)
    assert witness.seen() == {NOTHING, HEADROOM, LESS}
    nothing_leaked(manager, before)


@pytest.mark.long
def test_a_manager_without_any_seat_stops_leading_and_comes_back(
    cluster: Cluster, witness: Witness, starved: Starved
) -> None:
    manager, nodes, before = publishing(cluster, witness, 10, starved.kubeconfig)
    starved.begin("*")
    eventually(lambda: not manager.json("/readyz")["leader"], 30, "it leads though it cannot renew its lease")
    each(lambda name: cluster.report(name, cpu=2000), nodes)
    assert manager.json("/healthz")
    starved.end()
    eventually(lambda: witness.all_are(LESS, nodes), 60)
    nothing_leaked(manager, before)


def test_slow_answers_delay_and_change_nothing(cluster: Cluster, proxy: Proxy, witness: Witness) -> None:
    manager, nodes, before = publishing(cluster, witness, 10, through(proxy))
    proxy.delay = 0.7
    each(lambda name: cluster.report(name, cpu=2000), nodes)
    eventually(lambda: witness.all_are(LESS, nodes), 30)
    assert manager.json("/readyz")["leader"]
    proxy.calm()
    assert witness.seen() == {NOTHING, HEADROOM, LESS}
    nothing_leaked(manager, before)


@pytest.mark.long
@pytest.mark.parametrize("fault", ["drop", "truncate", "all"])
def test_a_wire_that_drops_delays_and_truncates(cluster: Cluster, proxy: Proxy, witness: Witness, fault: str) -> None:
    manager, nodes, before = publishing(cluster, witness, 30, through(proxy))
    proxy.drop = 0.05 if fault in ("drop", "all") else 0
    proxy.truncate = 0.05 if fault in ("truncate", "all") else 0
    proxy.delay = 0.05 if fault == "all" else 0
    end, cpu = time.monotonic() + 15, 1000
    while time.monotonic() < end:
        cpu = 3000 - cpu
        each(lambda name, cpu=cpu: cluster.report(name, cpu=cpu), nodes)  # type: ignore[misc]
        time.sleep(0.5)
    assert proxy.faults > 5
    proxy.calm()
    each(lambda name: cluster.report(name, cpu=2000), nodes)
    eventually(lambda: witness.all_are(LESS, nodes), 40)
    assert witness.seen() == {NOTHING, HEADROOM, LESS}
    assert metric(manager, "colocation_bad_objects_total") == 0  # half an object is none
    nothing_leaked(manager, before)


def test_pods_bound_while_their_watch_is_away_are_seen_before_anything_is_published(
    cluster: Cluster, api: ApiServer, proxy: Proxy, witness: Witness
) -> None:
    """The API server is back and reports come in: an online pod bound meanwhile must count from the first patch on."""
    cluster.policy()
    nodes = made(cluster, 5)
    cluster.manager(through(proxy))
    eventually(lambda: witness.all_are(HEADROOM, nodes), 20)
    api.kill()
    time.sleep(2)
    api.start()
    for name in nodes:
        cluster.pod(f"web-{name}", name, cpu="2", memory="1Gi")
    each(lambda name: cluster.report(name, cpu=500), nodes)  # more headroom, were it not for the pod
    after = (3500, 59 * GI, 250)  # 10,000 - 4,000 - 500 - 2,000; 100 - 35 - 5 - 1
    eventually(lambda: witness.all_are(after, nodes), 30)
    assert witness.seen() == {NOTHING, HEADROOM, after}


@pytest.mark.parametrize("hangs", [False, True], ids=["away", "hangs"])
def test_an_outage_longer_than_agents_may_be_silent_withdraws_none_of_them(
    cluster: Cluster, api: ApiServer, witness: Witness, *, hangs: bool
) -> None:
    """Reports are as old as the outage when it ends, and agents in their back-off: they have the time to come back."""
    cluster.policy(oversell={**FAST, "staleAfterSeconds": 10}, report={"intervalSeconds": 5, "minIntervalSeconds": 1})
    nodes = made(cluster, 5)
    manager = cluster.manager()
    eventually(lambda: witness.all_are(HEADROOM, nodes), 20)
    each(cluster.report, nodes)
    (api.pause if hangs else api.kill)()
    time.sleep(14)
    (api.resume if hangs else api.start)()
    eventually(lambda: manager.json("/readyz")["leader"], 40)
    time.sleep(12)  # once more as long as they may be silent
    assert metric(manager, "colocation_withdrawals_total") == 0
    each(lambda name: cluster.report(name, cpu=2000), nodes)
    eventually(lambda: witness.all_are(LESS, nodes), 20)
    assert witness.seen() == {NOTHING, HEADROOM, LESS}
    eventually(lambda: witness.all_are(NOTHING, nodes), 30, "an agent that is silent now is withdrawn as ever")


# --- leaders and clocks ---


@pytest.mark.long
def test_a_leader_that_was_stopped_past_its_lease_begins_no_write_and_one_in_flight_dies(
    cluster: Cluster, proxy: Proxy, witness: Witness
) -> None:
    """SIGSTOP with a patch on its way: the next leader publishes, then that patch arrives, then the old one wakes."""
    cluster.policy()
    nodes = made(cluster, 3)
    one = cluster.manager("--identity=one", through(proxy))
    cluster.leader()
    eventually(lambda: witness.all_are(HEADROOM, nodes), 20)
    two = cluster.manager("--identity=two")
    written = metric(one, 'colocation_writes_total{kind="node",outcome="ok"}')
    proxy.passes_up.clear()  # watches go on, requests are held
    cluster.report(nodes[0], cpu=4000)
    eventually(lambda: metric(one, "colocation_writes_pending") >= 1, 5, "no patch on its way")
    time.sleep(0.5)  # (pending: from the queue on; now it is on the wire)
    one.process.send_signal(signal.SIGSTOP)
    cluster.report(nodes[0], cpu=2000)
    eventually(lambda: two.json("/readyz")["leader"], 25)
    eventually(lambda: witness.now[nodes[0]] == LESS)
    proxy.passes_up.set()  # now the API server gets it
    time.sleep(1)
    one.process.send_signal(signal.SIGCONT)
    each(lambda name: cluster.report(name, cpu=2000), nodes)
    eventually(lambda: witness.all_are(LESS, nodes), 10)
    eventually(lambda: metric(one, 'colocation_writes_total{kind="node",outcome="409"}') == 1, 10)
    assert metric(one, 'colocation_writes_total{kind="node",outcome="ok"}') == written
    assert witness.seen() == {NOTHING, HEADROOM, LESS}  # 2,000m, decided by the one that slept, never stood there
    assert not one.json("/readyz")["leader"]


@pytest.mark.long
def test_steps_of_the_wall_clock_change_nothing(cluster: Cluster, witness: Witness, tmp_path: Path) -> None:
    """Days ahead and back (libfaketime moves the wall clock alone): no withdrawal, no lost lease, silence in time."""
    steps = tmp_path / "steps"
    steps.write_text("+0")
    fake = {
        "LD_PRELOAD": str(debian.unpacked("libfaketime", "usr/lib/*/faketime/libfaketimeMT.so.1")),
        "FAKETIME_TIMESTAMP_FILE": str(steps),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    cluster.policy(oversell={**FAST, "staleAfterSeconds": 12}, report={"intervalSeconds": 5, "minIntervalSeconds": 1})
    nodes = made(cluster, 3)
    manager = cluster.manager(env=fake)
    eventually(lambda: witness.all_are(HEADROOM, nodes), 20)
    wall = metric(manager, "colocation_node_report_timestamp_seconds")
    for step in ("+2d", "+0", "+30d", "+2d"):
        steps.write_text(step)
        time.sleep(3)
        each(cluster.report, nodes)
    eventually(lambda: metric(manager, "colocation_node_report_timestamp_seconds") > wall + 3 * 86400)  # it did step
    assert manager.json("/readyz")["leader"]
    assert metric(manager, "colocation_withdrawals_total") == 0
    assert witness.seen() == {NOTHING, HEADROOM}
    began = time.monotonic()
    steps.write_text("+0")
    eventually(lambda: witness.all_are(NOTHING, nodes), 30)
    assert time.monotonic() - began > 9


# --- objects ---


@pytest.mark.long
def test_a_thousand_nodes_that_vanish_at_once_take_nobody_along(cluster: Cluster, witness: Witness) -> None:
    cluster.policy()
    cluster.node("stays")
    nodes = made(cluster, MANY)
    manager = cluster.manager("--rate=0")
    eventually(lambda: witness.all_are(HEADROOM, nodes), 60)
    eventually(lambda: cluster.ncol("stays"))
    cluster.report("stays")
    eventually(lambda: witness.now["stays"] == HEADROOM)
    before = size(manager)
    cluster.rest.send("DELETE", NODES.path(), query={"fieldSelector": "metadata.name!=stays"}, read_seconds=60)
    cluster.rest.send("DELETE", NODE_COLOCATIONS.path(), query={"fieldSelector": "metadata.name!=stays"})
    cluster.report("stays", cpu=2000)
    eventually(lambda: witness.now == {"stays": LESS}, 5)
    eventually(lambda: metric(manager, "colocation_node_open") == 1, 10, "nodes that are gone are still told of")
    eventually(lambda: metric(manager, "colocation_writes_pending") == 0, 10, "a write for a node that is gone")
    nothing_leaked(manager, before)
