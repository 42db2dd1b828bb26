# SPDX-License-Identifier: Apache-2.0
"""The web console of a lab: rolled out as all else is, reached through the API server, and somebody who may use it.

console.roll_out(cluster, "-e", "@rollout.yml")     # site.yml again, with the console
url = console.open_way(cluster.lab)                 # `kubectl proxy`, until the lab is taken down
token = console.person(cluster, "alice", "operator")
"""

from __future__ import annotations

import urllib.request

import yaml

from colocation.cli.grant import bindings
from colocation.model.names import NAMESPACE

from . import binaries
from .apiserver import free_ports
from .cluster import Cluster
from .config import Lab
from .errors import LabError
from .process import Daemon, wait_until

_SECONDS = 120.0


def path(namespace: str = NAMESPACE) -> str:
    """Below which path the API server's service proxy has it."""
    return f"/api/v1/namespaces/{namespace}/services/http:colocation-console:80/proxy"


def roll_out(cluster: Cluster, *settings: str) -> None:
    """Run site.yml with the console; ``settings``: those of the roll-out that is there."""
    cluster.playbook("site", *settings, "-e", "colocation_console=true")
    where = ("deployment/colocation-console", f"--namespace={NAMESPACE}")
    cluster.kubectl("rollout", "status", *where, f"--timeout={_SECONDS:.0f}s")


def open_way(lab: Lab) -> str:
    """Address of the console on this machine, by `kubectl proxy`, which ends with the lab."""
    daemon = Daemon(lab.run / "console-proxy.pid")
    daemon.stop(3)  # one that an earlier demo left: the token of its administrator may be another
    (port,) = free_ports(1)
    kubectl = [str(binaries.path("kubectl")), f"--kubeconfig={lab.kubeconfig}", "proxy", f"--port={port}"]
    daemon.start(kubectl, lab.logs / "console-proxy.log")
    url = f"http://127.0.0.1:{port}{path()}"
    if not wait_until(lambda: answers(f"{url}/login"), _SECONDS, 0.5):
        raise LabError(f"the console does not answer at {url}/; see {lab.logs}/console-proxy.log")
    return url


def person(cluster: Cluster, name: str, role: str, hours: int = 8) -> str:
    """A token for the API server of a ServiceAccount with a role of ours."""
    meta = {"name": name, "namespace": NAMESPACE}
    cluster.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta})
    made = bindings(role, f"system:serviceaccount:{NAMESPACE}:{name}", NAMESPACE)
    cluster.apply(yaml.safe_dump_all(made))
    return cluster.kubectl("create", "token", name, f"--namespace={NAMESPACE}", f"--duration={hours}h").strip()


def answers(url: str) -> bool:
    """Something good comes from there."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:  # not there yet; an answer with an error (HTTPError) is one of these
        return False
