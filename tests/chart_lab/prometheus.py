"""A Prometheus in the lab's hub, from where it reaches the API server and every pod."""

from __future__ import annotations

import json
import re
import time
import urllib.parse
import urllib.request
from typing import Any, Self

import yaml

from tests.lab import binaries
from tests.lab.config import CLONE, Lab
from tests.lab.network import in_netns
from tests.lab.process import Daemon, wait_until

DOCS = CLONE / "docs/monitoring.md"
RULES = CLONE / "charts/colocation-package/files/rules.yaml"
PORT = 9090


def documented() -> dict[str, Any]:
    """The configuration that the docs give to people without the operator."""
    (text,) = re.findall(r"<!-- the lab's Prometheus[^>]*-->\n```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    config: dict[str, Any] = yaml.safe_load(text)
    return config


class Prometheus:
    """Started on entry, gone on exit; its data lies in the lab's folder."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._url = lab, f"http://{lab.api_address}:{PORT}"
        self._daemon = Daemon(lab.run / "prometheus.pid")

    def __enter__(self) -> Self:
        folder = self._lab.state / "prometheus"
        folder.mkdir(exist_ok=True)
        config = documented()
        (discovery,) = config["scrape_configs"][0]["kubernetes_sd_configs"]
        discovery["kubeconfig_file"] = str(self._lab.kubeconfig)  # it runs beside the cluster, not in it
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "rules.yaml").write_text(RULES.read_text())
        argv = [
            str(binaries.path("prometheus")),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={self._lab.api_address}:{PORT}",
            "--log.level=warn",
        ]
        self._daemon.stop(10)  # one that an earlier session left
        self._daemon.start(in_netns(self._lab.hub, argv), self._lab.logs / "prometheus.log")
        assert wait_until(self._ready, 30, 0.2), f"Prometheus is not ready; see {self._lab.logs}/prometheus.log"
        return self

    def __exit__(self, *_: object) -> None:
        self._daemon.stop(10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """An instant query's series. Raises OSError for one that Prometheus refuses."""
        answer: list[dict[str, Any]] = self._get(f"/api/v1/query?{urllib.parse.urlencode({'query': expression})}")[
            "result"
        ]
        return answer

    def firing(self) -> set[tuple[str, str]]:
        """(alert, node) of all that fire now; the node is "" where an alert names none."""
        alerts = self._get("/api/v1/alerts")["alerts"]
        return {(a["labels"]["alertname"], a["labels"].get("node", "")) for a in alerts if a["state"] == "firing"}

    def wait_firing(self, *wanted: tuple[str, str], seconds: float) -> dict[tuple[str, str], float]:
        """Wait until all of them have fired once; after how many seconds each was seen to."""
        began, seen = time.monotonic(), dict[tuple[str, str], float]()

        def all_seen() -> bool:
            for alert in self.firing():
                seen.setdefault(alert, round(time.monotonic() - began))
            return set(wanted) <= set(seen)

        assert wait_until(all_seen, seconds, 2), f"never fired: {set(wanted) - set(seen)}; did: {seen}"
        return seen

    def _get(self, path: str) -> dict[str, Any]:
        with urllib.request.urlopen(self._url + path, timeout=10) as answer:
            data: dict[str, Any] = json.load(answer)["data"]
        return data

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self._url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
