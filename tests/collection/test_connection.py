"""Two real API servers: every call of a play reaches the one that its connection names, and none reaches the other."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.conftest import helm
from tests.lab import binaries
from tests.lab.apiserver import ApiServer

from .conftest import ansible, put_node, tasks

NAMESPACE = "openfuyao-colocation"
AUDIT = {"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": [{"level": "Metadata"}]}
CHART = {
    "Chart.yaml": {"apiVersion": "v2", "name": "colocation-package", "version": "1.0.0"},
    "values.yaml": {"which": "first"},
    "templates/manager.yaml": {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "colocation-manager"},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": {"a": "m"}},
            "template": {
                "metadata": {"labels": {"a": "m"}},
                "spec": {"containers": [{"name": "m", "image": "m"}]},
            },
        },
    },
    "templates/which.yaml": {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "which"},
        "data": {"which": "{{ .Values.which }}"},
    },
}
STEPS = {"previous": {"revision": 1, "version": "1.0.0", "policies": [{"name": "old", "spec": {}}], "settings": {}}}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    """An API server that writes down each request."""
    folder = tmp_path_factory.mktemp("other")
    (folder / "audit.yaml").write_text(yaml.safe_dump(AUDIT))
    log = [f"--audit-policy-file={folder / 'audit.yaml'}", f"--audit-log-path={folder / 'audit.log'}"]
    with ApiServer(folder, log) as server:
        yield server


def reached(server: ApiServer) -> list[str]:
    """What the administrator, whom all kubeconfigs here log in as, asked of the server."""
    rows = [json.loads(line) for line in (server.directory / "audit.log").read_text().splitlines()]
    return [f"{row['verb']} {row['requestURI']}" for row in rows if row["user"]["username"] == "admin"]


@pytest.fixture
def both(api: ApiServer, other: ApiServer, tmp_path: Path) -> Path:
    """One kubeconfig for both; its current context is the other's."""
    merged: dict[str, Any] = {"apiVersion": "v1", "kind": "Config", "current-context": "other"}
    for name, server in {"right": api, "other": other}.items():
        one = json.loads(server.kubeconfig.read_text())
        merged.setdefault("clusters", []).append({"name": name, "cluster": one["clusters"][0]["cluster"]})
        merged.setdefault("users", []).append({"name": name, "user": one["users"][0]["user"]})
        merged.setdefault("contexts", []).append({"name": name, "context": {"cluster": name, "user": name}})
    path = tmp_path / "both.kubeconfig"
    path.write_text(json.dumps(merged))
    return path


@pytest.fixture
def rolled_out(api: ApiServer, tmp_path: Path) -> Iterator[None]:
    """A release of two revisions with a policy, and what to go back to noted as a rollout notes it."""
    put_node(api, tmp_path, "n1", {}, "10.0.0.9")
    for name, content in CHART.items():
        file = tmp_path / "chart" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(yaml.safe_dump(content))
    install: list[str | Path] = [
        "upgrade",
        "--install",
        "colocation",
        tmp_path / "chart",
        f"--namespace={NAMESPACE}",
        "--create-namespace",
    ]
    helm(*install, kubeconfig=api.kubeconfig)
    helm(*install, "--set=which=second", kubeconfig=api.kubeconfig)
    api.kubectl(
        *("patch", "deployment", "colocation-manager", f"-n={NAMESPACE}", "--subresource=status", "--type=merge", "-p"),
        json.dumps({"status": {"observedGeneration": 9}}),
    )
    api.kubectl(
        "create", "configmap", "colocation-rollout", f"-n={NAMESPACE}", f"--from-literal=steps={json.dumps(STEPS)}"
    )
    policy = {
        "apiVersion": "colocation.openfuyao.com/v1alpha1",
        "kind": "ColocationPolicy",
        "metadata": {"name": "new", "labels": {"app.kubernetes.io/managed-by": "openfuyao.colocation"}},
        "spec": {},
    }
    api.kubectl("apply", "-f", "-", stdin=json.dumps(policy))
    yield
    api.kubectl("delete", "cpol", "--all")
    helm("uninstall", "colocation", f"--namespace={NAMESPACE}", kubeconfig=api.kubeconfig)
    api.kubectl("delete", "node", "n1")
    api.kubectl("delete", "configmap", "colocation-rollout", f"-n={NAMESPACE}")


def rollback(folder: Path, env: dict[str, str], **variables: Any) -> str:
    """The playbook. What it does on nodes is left out: this machine is none."""
    node = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, "colocation_node_name": "n1"}
    known = {"colocation_helm_binary": str(binaries.path("helm")), **variables}
    inventory = {"colocation_nodes": {"hosts": {"n1": node}, "vars": known}}
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
    argv: list[str | Path] = [
        "-i",
        folder / "inventory.yml",
        "openfuyao.colocation.rollback",
        "--skip-tags",
        "colocation_node",
    ]
    return ansible("ansible-playbook", *argv, env=env)


def stands(api: ApiServer) -> tuple[str, list[str]]:
    which = api.kubectl("get", "configmap", "which", f"-n={NAMESPACE}", "-o", "jsonpath={.data.which}")
    return which, api.kubectl("get", "cpol", "-o", "name").split()


def environments(api: ApiServer, other: ApiServer, both: Path) -> dict[str, tuple[dict[str, str], dict[str, Any]]]:
    """Ways to name the right cluster, in a shell in which everything else leads to the other one."""
    shell = {"KUBECONFIG": str(other.kubeconfig), "HELM_KUBECONTEXT": "other", "HELM_KUBEAPISERVER": other.url}
    inline = {"host": api.url, "ca_cert": api.ca_cert, "client_cert": api.client_cert, "client_key": api.client_key}
    return {
        "environment": ({**shell, "K8S_AUTH_KUBECONFIG": str(both), "K8S_AUTH_CONTEXT": "right"}, {}),
        "variables": (shell, {"colocation_kubeconfig": str(both), "colocation_context": "right"}),
        "inline": (shell, {f"colocation_api_{name}": str(value) for name, value in inline.items()}),
    }


@pytest.mark.usefixtures("rolled_out")
@pytest.mark.parametrize("way", ["environment", "variables", "inline"])
def test_every_call_of_rollback_reaches_the_cluster_that_is_named(
    api: ApiServer, other: ApiServer, both: Path, tmp_path: Path, way: str
) -> None:
    before = len(reached(other))
    assert before > 0, "the other one would have written a request down"
    env, variables = environments(api, other, both)[way]
    rollback(tmp_path, env, **variables)
    assert stands(api) == ("first", ["colocationpolicy.colocation.openfuyao.com/old"])
    assert reached(other)[before:] == []


@pytest.mark.usefixtures("rolled_out")
def test_going_back_to_the_revision_that_stands_changes_nothing(api: ApiServer, tmp_path: Path) -> None:
    release = {"name": "colocation", "namespace": NAMESPACE, "revision": 1}
    back = {"kubeconfig": str(api.kubeconfig), "binary_path": str(binaries.path("helm")), **release}
    task = {"openfuyao.colocation.helm_rollback": back}
    assert tasks(tmp_path, api, task, check=True)[0]["changed"]
    assert stands(api)[0] == "second", "check mode says what it would do, and does not do it"
    done, again = tasks(tmp_path, api, task, task)
    assert (done["changed"], done["revision_before"], again["changed"], again["revision_before"]) == (True, 2, False, 3)
    assert stands(api)[0] == "first"


def test_a_cluster_named_by_variables_and_completed_by_the_environment_is_refused(
    api: ApiServer,
) -> None:
    show = "msg={{ lookup('openfuyao.colocation.connection') }}"
    argv = ["localhost", "-m", "ansible.builtin.debug", "-e", f"colocation_kubeconfig={api.kubeconfig}", "-a", show]
    answer = ansible("ansible", *argv, fails=True, K8S_AUTH_CONTEXT="right")
    assert "K8S_AUTH_CONTEXT" in answer
    assert "unset the environment, or set colocation_context too" in answer


def test_hosts_of_the_inventory_plugin_carry_their_cluster(api: ApiServer, both: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.nodes.colocation.yml"
    file.write_text(
        yaml.safe_dump({"plugin": "openfuyao.colocation.nodes", "kubeconfig": both.name, "context": "right"})
    )
    assert both.parent == tmp_path
    answer = ansible("ansible-inventory", "-i", file, "--list")
    known = json.loads(answer, object_hook=lambda o: o.get("__ansible_unsafe", o))["_meta"]["hostvars"]["web-1"]
    assert known["colocation_kubeconfig"] == str(both)
    assert known["colocation_context"] == "right"
    assert "colocation_api_key" not in known


def test_a_secret_of_the_environment_is_carried_by_no_host(api: ApiServer, tmp_path: Path) -> None:
    file = tmp_path / "b.nodes.colocation.yml"
    file.write_text(yaml.safe_dump({"plugin": "openfuyao.colocation.nodes"}))
    api.kubectl("create", "serviceaccount", "reader", "-n=default")
    api.kubectl(
        "create", "clusterrolebinding", "reader", "--clusterrole=cluster-admin", "--serviceaccount=default:reader"
    )
    token = api.kubectl("create", "token", "reader", "-n=default").strip()
    env = {"K8S_AUTH_HOST": api.url, "K8S_AUTH_API_KEY": token, "K8S_AUTH_SSL_CA_CERT": str(api.ca_cert)}
    answer = ansible("ansible-inventory", "-i", file, "--list", env=env)
    assert token not in answer
    assert api.url in answer


@pytest.mark.usefixtures("rolled_out")
def test_become_of_an_inventory_does_not_reach_the_control_host(api: ApiServer, tmp_path: Path) -> None:
    """A sudo that does not exist stands for one that the control machine does not grant."""
    node = {"colocation_node_name": "n1"}
    known = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "ansible_become": True,
        "ansible_become_user": "nobody",
        "ansible_become_exe": "/nonexistent/sudo",
        "colocation_kubeconfig": str(api.kubeconfig),
    }
    inventory = {"all": {"vars": known, "children": {"colocation_nodes": {"hosts": {"n1": node}}}}}
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump(inventory))
    answer = ansible(
        *("ansible-playbook", "-b", "-i", tmp_path / "inventory.yml", "openfuyao.colocation.backup"),
        *("-e", f"colocation_backup={tmp_path / 'kept'}"),
    )
    assert "Kept as" in answer


def test_hosts_of_two_clusters_are_not_one_play(tmp_path: Path) -> None:
    known = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {name: {"colocation_kubeconfig": f"/{name}", **known} for name in ("blue", "green")}
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"colocation_nodes": {"hosts": hosts}}))
    answer = ansible("ansible-playbook", "-i", tmp_path / "inventory.yml", "openfuyao.colocation.preflight", fails=True)
    assert "name 2 clusters" in answer
    assert "/blue" in answer
    assert "/green" in answer
