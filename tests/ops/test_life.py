"""The plays of every day on real machines: report, verify, backup, restore, and taking over from another manager."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from build.paths import CLONE
from tests.e2e.conftest import differences, snapshot
from tests.e2e.pods import SPIN, pod
from tests.lab.cluster import Cluster
from tests.lab.extras import extras
from tests.lab.waiting import eventually
from tests.ops import versions
from tests.ops.bucket import KEYS, Bucket
from tests.ops.conftest import NS, changed, command, lease, manager, play
from tests.ops.standin import Standin

pytestmark = pytest.mark.lab
OVERSELL: dict[str, Any] = {
    # By requests and in coarse steps: the same numbers whatever the machine does meanwhile.
    "cpu": {"strategy": "request", "reclaimPercent": 80, "quantum": "1"},
    "memory": {"strategy": "request", "quantum": "1Gi"},
    "growAfterSeconds": 5,
    "staleAfterSeconds": 60,
}
SPEC: dict[str, Any] = {
    "oversell": OVERSELL,
    "report": {"intervalSeconds": 5, "minIntervalSeconds": 1, "changePercent": 3},
}
BY_HAND: dict[str, Any] = {
    "apiVersion": "colocation.openfuyao.com/v1alpha1",
    "kind": "ColocationPolicy",
    "metadata": {"name": "by-hand"},
    "spec": {
        **SPEC,
        "oversell": {**OVERSELL, "maxPods": 17},
        "priority": 5,
        "nodeSelector": {"matchLabels": {"kubernetes.io/hostname": "node2"}},
    },
}
CHECKED = ("backup", "restore", "verify", "report", "preflight", "site", "add_nodes", "upgrade")
EVERY = (*CHECKED, "remove_nodes", "rollback", "uninstall")


@pytest.fixture(scope="module")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The operator's settings, as a file: policy, a chart value, a kernel parameter of one node."""
    file = tmp_path_factory.mktemp("vars") / "site.json"
    settings = {
        "colocation_policies": [{"name": "default", "spec": SPEC}],
        # The manager itself takes from what its node can offer: it is to come back to the same one.
        "colocation_chart_values": {
            "manager": {"logLevel": "debug", "nodeSelector": {"kubernetes.io/hostname": "node1"}},
        },
        "colocation_node_sysctls": "{{ {'net.core.somaxconn': 4321} if inventory_hostname == 'node2' else {} }}",
    }
    file.write_text(json.dumps(settings))
    return ("-e", f"@{file}")


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> dict[str, object]:
    """What cluster and machines looked like before anything was rolled out."""
    return snapshot(cluster)


@pytest.fixture(scope="module")
def out(cluster: Cluster, before: dict[str, object], inventory: tuple[str, ...]) -> Cluster:
    """Rolled out, with a policy that was made by hand."""
    play(cluster, versions.ours(), "site", *inventory, own=True)
    cluster.apply(BY_HAND)
    eventually(lambda: numbers(cluster)["node2"][2] == "17", 60, "the policy made by hand holds")
    stand(cluster)
    return cluster


def numbers(cluster: Cluster) -> dict[str, list[str | None]]:
    """What each node publishes."""
    keys = ("kubernetes.io/be-cpu", "kubernetes.io/be-memory", "colocation.openfuyao.com/be-pods")
    found = cluster.get("nodes")["items"]
    return {n["metadata"]["name"]: [n["status"]["allocatable"].get(k) for k in keys] for n in found}


def stand(cluster: Cluster) -> None:
    """Wait until what is published has stood for twice as long as a number waits before it grows."""

    def same() -> bool:
        was = numbers(cluster)
        time.sleep(10)
        return numbers(cluster) == was and not any(None in each for each in was.values())

    eventually(same, 120, "the numbers stand")


def everything(cluster: Cluster) -> dict[str, object]:
    """The machines, the API objects, what is published, and what the release and the policies are."""
    policies = {p["metadata"]["name"]: p["spec"] for p in cluster.get("cpol")["items"]}
    secrets = cluster.kubectl("get", "secrets", *NS, "-o", "name").split()
    found = {**snapshot(cluster), "numbers": numbers(cluster), "policies": policies, "secrets": sorted(secrets)}
    # What agents keep for themselves comes and goes with pods and reports.
    return {k: [x for x in v if "/before" in x] if k.endswith(" state") else v for k, v in found.items()}  # type: ignore[attr-defined]


def back_to(before: Mapping[str, object], now: Callable[[], Mapping[str, object]], seconds: float) -> None:
    """Nothing is different, or soon no more."""

    def the_same() -> bool:
        if found := differences(before, now()):
            raise ValueError(found)  # which is what the failure tells
        return True

    eventually(the_same, seconds, "as it was")


@pytest.mark.parametrize("name", EVERY)
def test_no_playbook_changes_anything_in_check_mode(
    out: Cluster, inventory: tuple[str, ...], tmp_path: Path, name: str
) -> None:
    seen = everything(out)
    more = ["--check", "--diff"]
    if name in ("backup", "restore"):
        play(out, versions.ours(), "backup", "-e", f"colocation_backup={tmp_path}", own=True)
        more += ["-e", f"colocation_backup={tmp_path}"]
    if name != "restore":
        more += inventory
    if name in ("add_nodes", "remove_nodes"):
        more += ["--limit", "node2"]
    output = play(out, versions.ours(), name, *more, own=True)
    if name in CHECKED:  # the others would change something
        assert changed(output) == 0, output
    back_to(seen, lambda: everything(out), 30)
    assert lease(out) == ""


def test_tags_choose_a_part_and_a_limit_chooses_hosts(out: Cluster, inventory: tuple[str, ...]) -> None:
    output = play(out, versions.ours(), "site", *inventory, "--tags", "colocation_node", "--limit", "node2", own=True)
    assert "Prepare the node" in output
    assert "Install or change the chart" not in output
    assert "node1" not in output.split("PLAY RECAP")[1]
    assert changed(output) == 0


def test_verify_proves_each_claim_and_leaves_nothing(out: Cluster, tmp_path: Path) -> None:
    seen = everything(out)
    file = tmp_path / "verify.json"
    output = play(out, versions.ours(), "verify", "-e", f"colocation_report={file}", own=True)
    found = json.loads(file.read_text())
    assert [c["claim"] for c in found["claims"] if c["passed"] is not True] == [], found
    assert len(found["claims"]) == 8
    assert output.count("PASS: ") == 8
    assert changed(output) == 0
    assert lease(out) == ""
    back_to(seen, lambda: everything(out), 60)  # once the number has grown back


def test_verify_leaves_busy_nodes_alone_and_says_what_it_did_not_try(out: Cluster, tmp_path: Path) -> None:
    out.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}})
    out.kubectl("wait", "--for=create", "-n", "work", "serviceaccount/default", "--timeout=30s")
    names = [f"busy-{node}" for node in out.nodes()]
    out.apply(*(pod(f"busy-{node}", node, command=SPIN, cpu="50m", limit="50m") for node in out.nodes()))
    try:
        out.kubectl("wait", "-n", "work", "--for=condition=Ready", "pod", "--all", "--timeout=60s")
        uids = {name: out.get("pod", "-n", "work", name)["metadata"]["uid"] for name in names}
        file = tmp_path / "verify.json"
        play(out, versions.ours(), "verify", "-e", f"colocation_report={file}", own=True)
        found = {c["claim"]: c["passed"] for c in json.loads(file.read_text())["claims"]}
        assert [claim for claim, passed in found.items() if passed is None] == [
            "it gives way to an online pod under load",
            "above the memory mark it is evicted, and the online pod stays",
        ]
        assert all(found[claim] for claim in found if found[claim] is not None)
        for name, uid in uids.items():
            seen = out.get("pod", "-n", "work", name)
            assert (seen["metadata"]["uid"], seen["status"]["phase"]) == (uid, "Running")
    finally:
        out.kubectl("delete", "namespace", "work")


def test_verify_fails_and_names_the_claim_that_does_not_hold(out: Cluster, tmp_path: Path) -> None:
    """An agent that is stopped (a fault that is injected here) holds nothing to anything."""
    stop = '{"spec":{"template":{"spec":{"nodeSelector":{"test/absent":"true"}}}}}'
    slow = '{"spec":{"oversell":{"staleAfterSeconds":600}}}'
    for policy in ("default", "by-hand"):
        out.kubectl("patch", "cpol", policy, "--type=merge", "-p", slow)
    out.kubectl("patch", "daemonset", *NS, "colocation-agent", "-p", stop)
    out.kubectl("wait", *NS, "--for=delete", "pod", "-l", "app.kubernetes.io/component=agent", "--timeout=60s")
    try:
        file = tmp_path / "verify.json"
        output = play(
            out,
            versions.ours(),
            "verify",
            "-e",
            f"colocation_report={file}",
            "-e",
            "colocation_verify_timeout=15",
            own=True,
            fails=True,
        )
        found = json.loads(file.read_text())
        assert found["passed"] is False
        assert {c["claim"]: c["passed"] for c in found["claims"]}["it is held to its CPU"] is False
        assert "FAIL: it is held to its CPU. After 15 s it uses more than 0.20 cores" in output
        assert "namespace/colocation-verify" not in out.kubectl("get", "ns", "-o", "name")
    finally:
        undo = '[{"op":"remove","path":"/spec/template/spec/nodeSelector/test~1absent"}]'
        out.kubectl("patch", "daemonset", *NS, "colocation-agent", "--type=json", "-p", undo)
        for policy in ("default", "by-hand"):
            out.kubectl("patch", "cpol", policy, "--type=merge", "-p", slow.replace("600", "60"))
    eventually(lambda: all(None not in each for each in numbers(out).values()), 90, "both nodes offer again")


def test_a_verify_that_is_interrupted_cleans_up(out: Cluster) -> None:
    argv, env = command(out, versions.ours(), "verify", own=True)
    with subprocess.Popen(
        argv, cwd=CLONE, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as running:
        eventually(
            lambda: "online" in out.kubectl("get", "pods", "-n", "colocation-verify", "-o", "name"),
            120,
            "half way",
        )
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=60)
    gone = ("--ignore-not-found", "-o", "name")
    eventually(lambda: not out.kubectl("get", "ns", "colocation-verify", *gone), 90, "its namespace is gone")
    assert not out.kubectl("get", "cpol", "0-colocation-verify", *gone)
    play(out, versions.ours(), "verify", own=True)


def test_report_says_the_gain_as_table_json_csv_and_page(out: Cluster, tmp_path: Path) -> None:
    output = play(out, versions.ours(), "report", "-e", f"colocation_report={tmp_path}", own=True)
    assert "best-effort pods use" in output
    result = json.loads((tmp_path / "gain.json").read_text())
    assert [n["node"] for n in result["nodes"]] == ["node1", "node2"]
    lines = (tmp_path / "gain.csv").read_text().splitlines()
    assert len(lines) == 1 + 2 * 2
    assert all(node in (tmp_path / "gain.html").read_text() for node in ("node1", "node2"))
    assert changed(output) == 0
    only = play(out, versions.ours(), "report", "--limit", "node2", "-e", f"colocation_report={tmp_path}", own=True)
    assert [n["node"] for n in json.loads((tmp_path / "gain.json").read_text())["nodes"]] == ["node2"]
    assert "1 node)" in only


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    """A real S3 server on loopback."""
    with Bucket(tmp_path_factory.mktemp("s3")) as made:
        yield made


def s3(bucket: Bucket) -> tuple[str, ...]:
    more: dict[str, Any] = {"colocation_backup": f"s3://{bucket.name}/prod", "colocation_backup_endpoint": bucket.url}
    more |= {
        "colocation_backup_access_key": KEYS[0],
        "colocation_backup_secret_key": KEYS[1],
        "colocation_backup_encrypt": False,
    }
    return ("-e", json.dumps(more))


def test_backup_to_a_folder_and_to_a_bucket_and_a_second_one_changes_nothing(
    out: Cluster, bucket: Bucket, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(extras("s3")), prepend=os.pathsep)
    for where in (("-e", f"colocation_backup={kept}"), s3(bucket)):
        assert changed(play(out, versions.ours(), "backup", *where, own=True)) >= 1
        assert changed(play(out, versions.ours(), "backup", *where, own=True)) == 0
    files = {file.name: file.read_bytes() for file in kept.iterdir()}
    assert len(files) == 2
    assert {file.name: file.read_bytes() for file in bucket.files("prod")} == files
    assert KEYS[1].encode() not in b"".join(files.values())


def test_a_bucket_without_key_is_told_in_a_sentence(
    out: Cluster, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(extras("s3")), prepend=os.pathsep)
    wrong = json.dumps({"colocation_backup_secret_key": "wrong"})
    output = play(out, versions.ours(), "backup", *s3(bucket), "-e", wrong, own=True, fails=True)
    assert "could not be written" in output
    assert "colocation_backup_secret_key" in output


def test_restore_on_an_empty_cluster_gives_the_same_published_numbers(
    out: Cluster, bucket: Bucket, kept: Path, before: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(extras("s3")), prepend=os.pathsep)
    stand(out)
    was = everything(out)
    for where in (("-e", f"colocation_backup={kept}"), s3(bucket)):
        play(out, versions.ours(), "uninstall", own=True)
        assert differences(before, snapshot(out)) == {}, "it is empty"
        play(out, versions.ours(), "restore", *where, own=True)
        stand(out)
        now = everything(out)
        assert now["numbers"] == was["numbers"]
        assert now["policies"] == was["policies"]
        assert now["node2 files"] == was["node2 files"]
        assert out.ssh("node2", "sysctl -n net.core.somaxconn").strip() == "4321"
        args = out.get("deployment", *NS, "colocation-manager")["spec"]["template"]["spec"]["containers"][0]["args"]
        assert "--log-level=debug" in args
        again = play(out, versions.ours(), "restore", *where, own=True)
        assert changed(again) == 0, again


def test_a_damaged_backup_is_refused_before_anything_is_changed(out: Cluster, kept: Path, tmp_path: Path) -> None:
    stand(out)
    seen = everything(out)
    good = (kept / "colocation-latest.json").read_text()
    for text, output in ((good[:-30], "not all of it"), (good.replace('"priority": 5', '"priority": 6'), "checksum")):
        (tmp_path / "bad.json").write_text(text)
        assert output in play(
            out, versions.ours(), "restore", "-e", f"colocation_backup={tmp_path}/bad.json", own=True, fails=True
        )
    assert everything(out) == seen


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the backups."""
    return tmp_path_factory.mktemp("kept")


def test_site_takes_over_from_another_manager_and_its_numbers_are_never_absent(
    out: Cluster, before: dict[str, object], inventory: tuple[str, ...]
) -> None:
    play(out, versions.ours(), "uninstall", own=True)
    theirs = Standin(out, versions.ours().image)
    theirs.start()
    try:
        assert all(each[:2] == ["1500", "3Gi"] for each in numbers(out).values())
        output = play(out, versions.ours(), "site", *inventory, own=True, fails=True)
        assert "Deployment/theirs/colocation-manager (openFuyao's own manager) oversells on this cluster" in output
        assert "colocation-verify" not in output
        with theirs.watch() as seen:
            play(out, versions.ours(), "site", *inventory, "-e", "colocation_migrate=true", own=True)
            assert manager(out) == versions.ours().number
            eventually(lambda: all(None not in each for each in numbers(out).values()), 60, "open")
        stood = seen()
        assert {name for name, _ in stood} == {"node1", "node2"}
        assert [s for s in stood if None in s[1][:2]] == [], "be-* were absent"
        assert len({s[1][0] for s in stood}) > 1, "the numbers became ours"
        assert theirs.replicas() == 0
        assert changed(play(out, versions.ours(), "site", *inventory, "-e", "colocation_migrate=true", own=True)) == 0
        play(out, versions.ours(), "uninstall", own=True)
        assert theirs.replicas() == 1, "uninstall starts it again"
    finally:
        theirs.end()
    back_to(before, lambda: snapshot(out), 60)
