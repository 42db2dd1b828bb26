# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus on synthetic data: filled by promtool, started on loopback, ended with the test."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab import binaries
from tests.lab.apiserver import free_ports
from tests.lab.process import run, wait_until


class Prometheus:
    """Scrapes nothing; answers about what it was filled with."""

    def __init__(self, folder: Path, web_config: str = "", host: str = "127.0.0.1", *flags: str) -> None:
        """``web_config``: its --web.config.file, for TLS and passwords."""
        binaries.ensure("prometheus", "promtool")
        self.folder, self._host, self._flags = folder, host, flags
        (self.port,) = free_ports(1)
        self.url = f"http://{host}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "prometheus.yml").write_text("global: {scrape_interval: 1m}\n")
        (folder / "web.yml").write_text(web_config)

    def fill(self, openmetrics: Path) -> None:
        """Blocks of all samples in a file."""
        command = [str(binaries.path("promtool")), "tsdb", "create-blocks-from", "openmetrics", "--quiet"]
        run([*command, "--max-block-duration=486h", str(openmetrics), str(self.folder / "data")], timeout=1200)

    def __enter__(self) -> Self:
        argv = [
            "setpriv", "--pdeathsig", "SIGKILL", str(binaries.path("prometheus")),
            f"--config.file={self.folder / 'prometheus.yml'}", f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={self._host}:{self.port}", "--storage.tsdb.retention.time=10y", "--log.level=warn",
            f"--web.config.file={self.folder / 'web.yml'}", *self._flags,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        assert wait_until(self._ready, 60, 0.2), (self.folder / "log").read_text()[-2000:]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            return error.code == 401  # it is there, and wants to know who asks
        except OSError:
            return False
