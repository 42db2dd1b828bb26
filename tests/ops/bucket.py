"""A real S3 server (versitygw) on loopback with one bucket, and what amazon.aws needs to speak with it."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.lab import binaries
from tests.lab.apiserver import free_ports
from tests.lab.process import Daemon, wait_until

KEYS = ("a-test", "a-test-that-nobody-else-knows")


class Bucket:
    """The server while the `with` block lasts. Its objects are files."""

    name = "backups"

    def __init__(self, home: Path) -> None:
        """Keep everything in `home`."""
        self.home = home
        self.port = 0
        self._daemon = Daemon(home / "s3.pid")

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    def files(self, prefix: str) -> list[Path]:
        """The objects below a prefix."""
        return sorted((self.home / "data" / self.name / prefix).iterdir())

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        binaries.ensure("versitygw")
        # A bucket is a folder of the server's own; metadata beside it, for file systems without attributes.
        for folder in (self.home / "data" / self.name, self.home / "meta"):
            folder.mkdir(parents=True)
        (self.port,) = free_ports(1)
        os.environ.update(ROOT_ACCESS_KEY=KEYS[0], ROOT_SECRET_KEY=KEYS[1])
        where: list[str | Path] = ["posix", "--sidecar", self.home / "meta", self.home / "data"]
        try:
            command: list[str | Path] = [
                binaries.path("versitygw"),
                "--port",
                f"127.0.0.1:{self.port}",
                "--quiet",
                *where,
            ]
            self._daemon.start(command, self.home / "s3.log")
        finally:
            for name in ("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"):
                del os.environ[name]
        if not wait_until(self._answers, 15, 0.05):
            raise AssertionError(f"the S3 server does not answer on {self.url}: {(self.home / 's3.log').read_text()}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self._daemon.stop(5)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.url, timeout=2):
                return True
        except urllib.error.HTTPError:
            return True  # who nobody is is not told what there is
        except OSError:
            return False
