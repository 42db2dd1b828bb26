"""The configuration of kubelet and containerd, on real machines: node2's kubelet has a drop-in folder, node1's none."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from build.paths import CLONE
from tests.e2e.conftest import differences, snapshot
from tests.lab.cluster import Cluster
from tests.lab.waiting import eventually
from tests.ops import versions
from tests.ops.conftest import changed, command, play

pytestmark = pytest.mark.lab
SERVICES = Path(__file__).with_name("services.yml")
FOLDER = "/etc/kubernetes/kubelet.conf.d"
KUBELET: dict[str, Any] = {
    "colocation_kubelet_static_cpu": True,
    "colocation_kubelet_system_reserved": {"cpu": "200m"},
    "colocation_kubelet_config": {"maxPods": 77},
}
MIRRORS: dict[str, Any] = {
    "colocation_containerd_mirrors": [
        {
            "registry": "docker.io",
            "server": "https://registry-1.docker.io",
            "hosts": [{"url": "https://mirror.lab:5000"}],
        }
    ]
}
QUICK: dict[str, Any] = {
    "colocation_kubelet_settle": 4,
    "colocation_containerd_settle": 3,
    "colocation_kubelet_timeout": 60,
}


@pytest.fixture(scope="module")
def before(cluster: Cluster) -> dict[str, object]:
    """The machines before us, their kubelets made to differ."""
    cluster.ssh(
        "node2",
        f"mkdir -p {FOLDER}; cd /etc/systemd/system; grep -q config-dir kubelet.service || "
        f"sed -i 's#^ExecStart=.*#& --config-dir={FOLDER}#' kubelet.service; "
        "systemctl daemon-reload; systemctl restart kubelet",
    )
    # containerd has to be told, and restarted, on one of them only
    cluster.ssh("node1", "sed -i '/config_path/d' /etc/containerd/config.toml && systemctl restart containerd")
    eventually(lambda: ready(cluster) == ["node1", "node2"], 120, "both nodes ready")
    return machines(cluster)


def machines(cluster: Cluster) -> dict[str, object]:
    """All that has to be as it was."""
    seen = {key: value for key, value in snapshot(cluster).items() if key.startswith("node")}
    for name in ("node1", "node2"):
        seen[f"{name} kubelet"] = configz(cluster, name)
        seen[f"{name} cpu manager"] = cluster.ssh(name, "cat /var/lib/kubelet/cpu_manager_state")
        seen[f"{name} modes"] = cluster.ssh(name, "stat -c '%n %a %U' /etc/kubernetes/* /etc/containerd/*").split("\n")
    return seen


def ready(cluster: Cluster) -> list[str]:
    items = cluster.get("nodes")["items"]
    return sorted(
        n["metadata"]["name"] for n in items if {"type": "Ready", "status": "True"}.items() <= _ready(n).items()
    )


def _ready(node: dict[str, Any]) -> dict[str, Any]:
    return next((c for c in node["status"].get("conditions", []) if c["type"] == "Ready"), {})


def configz(cluster: Cluster, node: str) -> dict[str, Any]:
    """What the running kubelet says it runs with."""
    output: dict[str, Any] = json.loads(cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/configz"))
    return {
        key: output["kubeletconfig"].get(key)
        for key in ("cpuManagerPolicy", "systemReserved", "maxPods", "evictionHard")
    }


def pids(cluster: Cluster) -> dict[str, str]:
    """node/unit to the process that runs it."""
    units = ("kubelet", "containerd")
    return {
        f"{n}/{u}": cluster.ssh(n, f"systemctl show -P MainPID {u}").strip() for n in ("node1", "node2") for u in units
    }


def services(cluster: Cluster, *extra: str, fails: bool = False, **variables: Any) -> str:
    """The plays that change kubelet and containerd, with these variables."""
    argv, env = command(cluster, versions.ours(), "site", "-e", json.dumps(QUICK | variables), *extra)
    argv[1] = str(SERVICES)
    done = subprocess.run(argv, cwd=CLONE, env=env, capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    assert bool(done.returncode) == fails, output[-8000:]
    assert "Traceback" not in output, output
    return output


def test_check_mode_shows_every_line_and_changes_nothing(cluster: Cluster, before: dict[str, object]) -> None:
    running = pids(cluster)
    output = services(cluster, "--check", "--diff", **KUBELET, **MIRRORS)
    assert "/etc/kubernetes/kubelet.yaml" in output, "merged on node1"
    assert output.count("+maxPods: 77") == 2
    assert f"{FOLDER}/90-openfuyao-colocation.conf" in output
    assert output.count("docker.io/hosts.toml") >= 2
    assert machines(cluster) == before
    assert pids(cluster) == running


def test_what_could_not_work_stops_before_any_node_is_touched(cluster: Cluster, before: dict[str, object]) -> None:
    output = " ".join(
        services(cluster, fails=True, colocation_kubelet_static_cpu=True, colocation_containerd_nri=True).split()
    )
    assert "has no NRI (1.7 and newer have)" in output
    output = " ".join(services(cluster, fails=True, colocation_kubelet_static_cpu=True).split())
    assert "cpuManagerPolicy static needs cores that are kept for the system" in output
    output = " ".join(
        services(cluster, fails=True, colocation_kubelet_config={"hostnameOverride": "x", "nodeIp": "::"}).split()
    )
    assert "--hostname-override=" in output
    assert machines(cluster) == before


def test_settings_reach_both_kubelets_each_in_its_own_way_and_a_second_run_changes_nothing(
    cluster: Cluster, before: dict[str, object]
) -> None:
    was = pids(cluster)
    services(cluster, **KUBELET, **MIRRORS)
    for name in ("node1", "node2"):
        now = configz(cluster, name)
        assert (now["cpuManagerPolicy"], now["systemReserved"], now["maxPods"]) == ("static", {"cpu": "200m"}, 77)
        assert '"policyName":"static"' in cluster.ssh(name, "cat /var/lib/kubelet/cpu_manager_state")
    assert "# the default refuses" in cluster.ssh("node1", "cat /etc/kubernetes/kubelet.yaml"), "comments stay"
    files = [k for k in before if k == "node2 files"]
    kept = [line for line in before[files[0]] if "kubelet.yaml" in line]  # type: ignore[attr-defined]
    assert kept[0] in snapshot(cluster)["node2 files"], "node2's own file is not touched"  # type: ignore[operator]
    now_pids = pids(cluster)
    assert now_pids["node1/containerd"] != was["node1/containerd"], "it had to be told where mirrors are"
    assert now_pids["node2/containerd"] == was["node2/containerd"], "it looks there at each pull"
    assert ready(cluster) == ["node1", "node2"]

    assert changed(services(cluster, **KUBELET, **MIRRORS)) == 0
    assert pids(cluster) == now_pids


def test_a_kubelet_that_does_not_come_back_gets_its_configuration_back_and_the_next_node_is_not_touched(
    cluster: Cluster,
) -> None:
    running, config = pids(cluster), configz(cluster, "node1")
    bad = KUBELET | {"colocation_kubelet_config": {"evictionHard": {"memory.available": "rubbish"}}}
    output = " ".join(services(cluster, fails=True, **bad, **MIRRORS, colocation_kubelet_timeout=15).split())
    assert "node1: kubelet did not come back with the new configuration" in output
    assert "failed to run Kubelet: quantities must match" in output, "its log says why"
    assert "The configuration of before was put back. It runs with that." in output
    assert "run the same playbook again" in output
    eventually(lambda: ready(cluster) == ["node1", "node2"], 60, "both ready")
    assert configz(cluster, "node1") == config
    assert pids(cluster)["node2/kubelet"] == running["node2/kubelet"], "the play stopped before it"
    assert changed(services(cluster, **KUBELET, **MIRRORS)) == 0, "nothing is left to do"


def test_a_run_that_was_cut_off_before_the_restart_is_finished_by_the_next(cluster: Cluster) -> None:
    """A fault is injected: the note and file of a run whose ssh died between writing and restarting."""
    note = "/var/lib/openfuyao-colocation/before/node.json"
    cut = (
        f"import json; p='{note}'; f='/etc/kubernetes/kubelet.yaml'; n=json.load(open(p)); t=open(f).read();"
        "n['kubelet']['pending']={f: t}; json.dump(n, open(p,'w'));"
        "open(f,'w').write(t.replace('maxPods: 77','maxPods: 78'))"
    )
    cluster.ssh("node1", f'python3 -c "{cut}"')
    services(cluster, **(KUBELET | {"colocation_kubelet_config": {"maxPods": 78}}), **MIRRORS)
    assert configz(cluster, "node1")["maxPods"] == configz(cluster, "node2")["maxPods"] == 78


def test_what_is_no_longer_asked_for_is_as_before_to_the_byte(cluster: Cluster, before: dict[str, object]) -> None:
    services(cluster)
    after = machines(cluster)
    states = {key: value for key, value in after.items() if key.endswith(" state")}
    assert differences(before, {k: v for k, v in after.items() if k not in states}) == {}
    assert changed(services(cluster)) == 0
    cluster.ssh("node1", "rm -r /var/lib/openfuyao-colocation")
    cluster.ssh("node2", "rm -r /var/lib/openfuyao-colocation")


def test_site_changes_them_and_uninstall_leaves_nothing(cluster: Cluster, before: dict[str, object]) -> None:
    everything = snapshot(cluster)
    asked = ("-e", json.dumps(QUICK | KUBELET | MIRRORS | {"colocation_node_sysctls": {"net.core.somaxconn": 4096}}))
    play(cluster, versions.ours(), "site", *asked)
    assert configz(cluster, "node1")["cpuManagerPolicy"] == configz(cluster, "node2")["cpuManagerPolicy"] == "static"
    assert changed(play(cluster, versions.ours(), "site", *asked)) == 0
    play(cluster, versions.ours(), "uninstall")
    assert differences(before, machines(cluster)) == {}
    assert differences(everything, snapshot(cluster)) == {}


IMAGE = """\
- hosts: all
  gather_facts: false
  roles:
    - role: openfuyao.colocation.colocation_node
  tasks:
    - openfuyao.colocation.kubelet_config: {config: {maxPods: 9}}
    - openfuyao.colocation.containerd_config:
        mirrors: [{registry: docker.io, hosts: [{url: "https://m:5000"}]}]
    - openfuyao.colocation.node_restore:
      register: refused
      ignore_errors: true
    - ansible.builtin.assert: {that: "'kubelet, containerd' in refused.msg or 'containerd, kubelet' in refused.msg"}
"""


def test_an_image_that_is_being_built_gets_files_and_nothing_is_started(tmp_path: Path, cluster: Cluster) -> None:
    """No systemd runs there. ansible's way in is an ssh that is chroot: there is nobody to answer a real one."""
    root = tmp_path / "root"
    base = cluster.lab.nodes[0].root
    subprocess.run(["cp", "-a", "--reflink=auto", base, root], check=True)
    way = tmp_path / "way-in"
    way.write_text(f'#!/bin/bash\nexec chroot {root} /bin/sh -c "${{@: -1}}"\n')
    way.chmod(0o755)
    (root / "var/lib/kubelet/config.yaml").unlink(missing_ok=True)
    (tmp_path / "play.yml").write_text(IMAGE)
    argv, env = command(cluster, versions.ours(), "site")
    wanted = {
        "ansible_ssh_executable": str(way),
        "ansible_ssh_transfer_method": "piped",
        "ansible_python_interpreter": "/usr/bin/python3",
        "ansible_pipelining": True,
        "colocation_node_sysctls": {"vm.swappiness": 1},
        "colocation_node_modules": ["br_netfilter"],
    }
    argv = [argv[0], str(tmp_path / "play.yml"), "-i", "image,", "-e", json.dumps(wanted)]
    for wanted_changes in (3, 0):
        done = subprocess.run(argv, cwd=CLONE, env=env, capture_output=True, text=True, check=False)
        assert not done.returncode, done.stdout + done.stderr
        assert changed(done.stdout) == wanted_changes, done.stdout
    assert "vm.swappiness = 1" in (root / "etc/sysctl.d/90-openfuyao-colocation.conf").read_text()
    assert "maxPods: 9" in (root / "var/lib/kubelet/config.yaml").read_text()
    assert "m:5000" in (root / "etc/containerd/certs.d/docker.io/hosts.toml").read_text()
