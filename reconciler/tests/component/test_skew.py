"""Version skew: an older agent, manager or CRD beside today's, and an upgrade and its rollback, on a real API server.

"Older" is one commit, `OLDER`: the last one before the newest change of the CRDs. A change of the CRDs sets it to the
message of the commit before itself. Its tree is taken out of git's history, so a clone without that history fails here,
and says so.
"""

from __future__ import annotations

import io
import itertools
import os
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import pytest

from colocation.kube.login import kubeconfig
from colocation.kube.resources import POLICIES
from colocation.kube.rest import ApiError, Rest
from reconciler.tests.unit.node.conftest import Tree
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.waiting import eventually

from . import cluster as parts
from .cluster import NAMESPACE, Cluster, Manager

OLDER: Final = "Preflight names the neighbours that would harm best-effort pods"
"""First words of its message: unlike its hash, they outlive a rebase."""

pytestmark = pytest.mark.apiserver
CLONE: Final = Path(__file__).parents[3]
CRDS: Final = "charts/colocation-package/templates/crds"
MEMORY: Final = 2**30
"""Request and limit of each best-effort pod here."""


class Version:
    """The sources and CRDs of one commit, or of the work tree."""

    def __init__(self, name: str, tree: Path) -> None:
        self.name, self.sources, self._crds = name, tree / "reconciler/src", tree / CRDS
        self.env = {**os.environ, "PYTHONPATH": str(self.sources)}
        where = [sys.executable, "-c", "import colocation; print(colocation.__file__)"]
        found = subprocess.run(where, env=self.env, capture_output=True, text=True, check=True).stdout
        assert Path(found.strip()).is_relative_to(self.sources), f"{name} would run {found}"

    def apply(self, api: ApiServer) -> None:
        """Have the API server serve this version's CRDs, as `helm upgrade` and `helm rollback` do."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(parts, "CRDS", self._crds)
            text = parts.crds()
        api.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
        api.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")


def older() -> str:
    """The commit's hash; empty where the history of what is checked out does not have it."""
    search = ["git", "log", "-1", "--format=%H", "--fixed-strings", f"--grep={OLDER}"]
    return subprocess.run(search, cwd=CLONE, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Version]:
    commit = older()
    if not commit:
        pytest.fail(
            f"version skew cannot be tested: this clone's history does not reach back to the commit {OLDER!r}. "
            "Clone it whole, or run `git fetch --unshallow`"
        )
    packed = subprocess.run(
        ["git", "archive", commit, "reconciler/src", CRDS], cwd=CLONE, capture_output=True, check=True
    )
    folder = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return {"old": Version("old", folder), "new": Version("new", CLONE)}


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """A server of its own: other tests' CRDs stay as they are."""
    with ApiServer(tmp_path_factory.mktemp("skew")) as server:
        server.kubectl("create", "namespace", NAMESPACE)
        yield server


class Agents:
    """``colocation agent`` as processes of either version, on one made node."""

    def __init__(self, api: ApiServer, folder: Path) -> None:
        self._api, self._folder = api, folder
        self._numbers = itertools.count(1)
        self._tree = Tree(folder / "cgroup", 2, "cgroupfs")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, version: Version) -> None:
        """In the place of the one that runs, with what that one left on disk."""
        self.stop()
        (port,) = free_ports(1)
        argv = [sys.executable, "-m", "colocation", "agent", "--node=n1", f"--kubeconfig={self._api.kubeconfig}"]
        argv += [f"--listen=127.0.0.1:{port}", f"--cgroup-root={self._folder / 'cgroup'}"]
        argv += [f"--state-dir={self._folder / 'state'}", "--interval=0.2"]
        with (self._folder / f"agent{next(self._numbers)}-{version.name}.log").open("wb") as log:
            self.process = subprocess.Popen(argv, env=version.env, stdout=log, stderr=log)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(15)
            self.process = None

    def group(self, uid: str) -> Path:
        """Have kubelet's group of this pod."""
        return self._tree.dir("memory", self._tree.pod(uid))


@pytest.fixture
def cluster(api: ApiServer, tmp_path: Path) -> Iterator[Cluster]:
    rest = Rest(kubeconfig(str(api.kubeconfig)))
    made = Cluster(api, rest, tmp_path, 1)
    yield made
    made.close()
    rest.close()


@pytest.fixture
def agents(api: ApiServer, tmp_path: Path) -> Iterator[Agents]:
    made = Agents(api, tmp_path)
    yield made
    made.stop()


def manager(cluster: Cluster, version: Version) -> Manager:
    """In the place of the one that runs."""
    for running in cluster.managers:
        running.end()
    return cluster.manager(env={"PYTHONPATH": str(version.sources)})


def begin(cluster: Cluster, agents: Agents, by: Version, agent: Version) -> None:
    """A node with a policy, both components at work, and a number on the Node."""
    cluster.policy(report={"intervalSeconds": 5, "minIntervalSeconds": 1}, oversell={"growAfterSeconds": 0})
    manager(cluster, by)
    cluster.node("n1", cpu="100", memory="1000Gi")
    eventually(lambda: cluster.ncol("n1"), 20, "no NodeColocation")
    agents.start(agent)
    eventually(lambda: None not in cluster.published("n1"), 40, "not published")


def enforced(cluster: Cluster, agents: Agents, name: str) -> None:
    """A best-effort pod that comes now gets its limit from the agent, and the manager counts it."""
    pod = cluster.pod(name, "n1", be=(3000, MEMORY), running=True)
    group = agents.group(pod["metadata"]["uid"])
    # Its CPU quota depends on what else this machine does; its memory limit does not.
    eventually(lambda: (group / "memory.max").read_text().strip() == str(MEMORY), 20, f"{name}: no limit")
    assert condition(cluster, "SpecReadable") == "True"


def condition(cluster: Cluster, kind: str) -> str:
    rows = cluster.ncol("n1").get("status", {}).get("conditions", [])
    return next((str(row["status"]) for row in rows if row["type"] == kind), "")


def again(cluster: Cluster) -> None:
    """The manager acts on what it reads now: a larger margin shrinks the number of a node that has reported anew."""
    before, percent = cluster.published("n1")[0], itertools.cycle((40, 50))
    assert before is not None
    spec = cluster.get(POLICIES.path("p"))["spec"]
    wanted = next(p for p in percent if p != spec["oversell"]["cpu"]["reclaimPercent"])
    cluster.rest.patch(POLICIES.path("p"), {"spec": {"oversell": {"cpu": {"reclaimPercent": wanted}}}})
    eventually(lambda: cluster.published("n1")[0] != before, 30, "the manager follows no policy any more")


@pytest.mark.parametrize(("by", "agent"), [("new", "old"), ("old", "new"), ("old", "old")])
def test_each_pair_publishes_enforces_and_follows_the_policy_under_the_new_crds(
    cluster: Cluster, agents: Agents, api: ApiServer, versions: dict[str, Version], by: str, agent: str
) -> None:
    versions["new"].apply(api)
    begin(cluster, agents, versions[by], versions[agent])
    enforced(cluster, agents, "batch")
    again(cluster)
    assert cluster.withdrawn("n1") is None


class Watcher:
    """Looks at the Node all the time: was a number ever gone while versions changed?"""

    def __init__(self, api: ApiServer) -> None:
        self._rest = Rest(kubeconfig(str(api.kubeconfig)))
        self._end = threading.Event()
        self.gaps: list[Any] = []
        self.looks = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        cluster = Cluster.__new__(Cluster)
        cluster.rest = self._rest
        while not self._end.wait(0.05):
            try:
                seen = cluster.published("n1")
            except (ApiError, AssertionError):  # between two patches of capacity and allocatable
                continue
            self.looks += 1
            if None in seen[:2] or cluster.withdrawn("n1") is not None:
                self.gaps.append(seen)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)
        self._rest.close()


def test_an_upgrade_and_its_rollback_keep_what_the_older_version_stored_and_published(
    cluster: Cluster, agents: Agents, api: ApiServer, versions: dict[str, Version]
) -> None:
    old, new = versions["old"], versions["new"]
    old.apply(api)
    begin(cluster, agents, old, old)
    enforced(cluster, agents, "first")
    eventually(lambda: cluster.get(POLICIES.path("p")).get("status", {}).get("observedGeneration"), 20)
    with Watcher(api) as watcher:
        # The order of `upgrade`: CRDs, manager, agents. After each step the parts that run are at work.
        new.apply(api)
        again(cluster)
        manager(cluster, new)
        again(cluster)
        agents.start(new)
        enforced(cluster, agents, "second")
        again(cluster)
        # The order of `rollback`: agents, manager, CRDs.
        agents.start(old)
        enforced(cluster, agents, "third")
        manager(cluster, old)
        again(cluster)
        old.apply(api)
        again(cluster)
        enforced(cluster, agents, "fourth")
    assert watcher.looks > 50
    assert watcher.gaps == []
    assert len(cluster.ncol("n1")["spec"]["pods"]) == 4


def test_the_older_version_is_a_commit_before_this_tree(versions: dict[str, Version]) -> None:
    assert versions["old"].sources != versions["new"].sources
    before = subprocess.run(["git", "merge-base", "--is-ancestor", older(), "HEAD"], cwd=CLONE, check=False)
    assert before.returncode == 0, f"{OLDER!r} is no ancestor of what is checked out"
