"""The profile balance: the real descheduler asks a real Prometheus, with the role's rights. Metrics are a stand-in."""

from __future__ import annotations

import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.assess.server import Prometheus
from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.process import run, wait_until

from .test_descheduler import GATE, cluster, uids
from .test_role import as_account, policy, role

__all__ = ["cluster"]
HEADROOM = {"d1": 0.3, "d2": 1.5}
"""Of d1 five pods of 0.1 cores are allocated: two are the excess."""


class Metrics:
    """What the manager would publish: each best-effort pod is 0.1 cores; those that left d1 run on d2."""

    def __init__(self) -> None:
        self.left = 5
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                allocated = {"d1": outer.left / 10, "d2": (5 - outer.left) / 10}
                rows = [f'colocation_node_allocated_cpu_cores{{node="{n}"}} {v}' for n, v in allocated.items()]
                rows += [f'colocation_node_headroom_cpu_cores{{node="{n}"}} {v}' for n, v in HEADROOM.items()]
                self.send_response(200)
                self.send_header("Content-Type", "text/plain; version=0.0.4")
                self.end_headers()
                self.wfile.write(("\n".join(rows) + "\n").encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    one = Metrics()
    yield one
    one.server.shutdown()
    one.server.server_close()


@pytest.fixture
def prometheus(metrics: Metrics, tmp_path: Path) -> Iterator[Prometheus]:
    server = Prometheus(tmp_path / "prometheus")
    target = {"job_name": "m", "static_configs": [{"targets": [f"127.0.0.1:{metrics.server.server_address[1]}"]}]}
    config = {"global": {"scrape_interval": "1s", "scrape_timeout": "1s"}, "scrape_configs": [target]}
    (server.folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with server:
        yield server


def scraped(prometheus: Prometheus, left: int) -> bool:
    asked = urllib.parse.urlencode({"query": 'round(10 * colocation_node_allocated_cpu_cores{node="d1"})'})
    with urllib.request.urlopen(f"{prometheus.url}/api/v1/query?{asked}", timeout=5) as answer:
        rows = json.load(answer)["data"]["result"]
    return bool(rows) and float(rows[0]["value"][1]) == left


def cycle(api: ApiServer, folder: Path, kubeconfig: Path, document: dict[str, Any]) -> str:
    """One cycle, with the files of a ServiceAccount where a pod has them: /run is this process's own."""
    account = folder / "run/secrets/kubernetes.io/serviceaccount"
    account.mkdir(parents=True, exist_ok=True)
    token = yaml.safe_load(kubeconfig.read_text())["users"][0]["user"]["token"]
    (account / "token").write_text(token)
    (account / "ca.crt").write_bytes(Path(api.ca_cert).read_bytes())
    (folder / "policy.yaml").write_text(yaml.safe_dump(document))
    binaries.ensure("descheduler")
    program = [str(binaries.path("descheduler")), f"--kubeconfig={kubeconfig}", "--secure-port=0", "--v=3"]
    program += [f"--policy-config-file={folder / 'policy.yaml'}", "--descheduling-interval=0"]
    own = [
        "unshare",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        'mount --bind "$0" /run && exec "$@"',
        str(folder / "run"),
    ]
    place = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(api.port), "PATH": "/usr/bin:/bin"}
    return run([*own, *program], env=place, timeout=120).stderr


def test_exactly_the_excess_leaves_then_nothing_and_nothing_while_the_other_node_is_closed(
    cluster: ApiServer, metrics: Metrics, prometheus: Prometheus, tmp_path: Path
) -> None:
    online = uids(cluster, "online")
    role(cluster, tmp_path, profiles=["balance"], prometheus_url=prometheus.url)
    account, document = as_account(cluster, tmp_path), policy(cluster)

    def step() -> tuple[int, str]:
        assert wait_until(lambda: scraped(prometheus, metrics.left), 30, 0.2)
        log = cycle(cluster, tmp_path, account, document)
        metrics.left = len(uids(cluster, "be"))
        return metrics.left, log

    def gate(value: str | None) -> None:
        amounts = json.dumps({"status": {"capacity": {GATE: value}, "allocatable": {GATE: value}}})
        cluster.kubectl("patch", "node", "d2", "--subresource=status", "--type=merge", "-p", amounts)

    try:
        gate(None)
        assert step()[0] == 5, "the other node is closed"
        gate("250")
        seen = [step() for _ in range(3)]
        assert [left for left, _ in seen] == [4, 3, 3], seen[0][1][-3000:]
        for _ in range(9):
            left, log = step()
            assert left == 3, "no more than the excess"
        assert "nothing to do" in log or "under target utilization" in log, log[-2000:]
        assert uids(cluster, "online") == online
    finally:
        role(cluster, tmp_path, state="absent")
