# SPDX-License-Identifier: Apache-2.0
"""A real registry (CNCF distribution) on an address of this machine: what is pushed stays in its folder.

::

    with Registry(folder) as registry:                              # on loopback
        run(["skopeo", "copy", "--dest-tls-verify=false", ..., f"docker://{registry.address}/team/app:1"])

    with Registry(folder, lab.root_address) as registry:            # for a lab's nodes
        registry.trust(lab)

Plain HTTP and no passwords: for loopback and the lab's own bridge, nothing else.
"""

from __future__ import annotations

import contextlib
import http.client
from pathlib import Path
from types import TracebackType
from typing import Self

from . import binaries
from .apiserver import free_ports
from .config import Lab
from .errors import LabError
from .process import Daemon, wait_until

_ACCEPT = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
_HOSTS = """\
server = "http://{address}"
[host."http://{address}"]
  capabilities = ["pull", "resolve"]
"""


class Registry:
    """The registry while the `with` block lasts; its content outlives it."""

    def __init__(self, home: Path, host: str = "127.0.0.1", port: int = 0) -> None:
        """Keep content in `home`; port 0 takes any that is free."""
        self.home, self.host, self.port = home, host, port
        self._daemon = Daemon(home / "registry.pid")

    @property
    def address(self) -> str:
        """What image references begin with."""
        return f"{self.host}:{self.port}"

    def __enter__(self) -> Self:
        """Start it, and wait until it answers."""
        binaries.ensure("registry")
        self.home.mkdir(parents=True, exist_ok=True)
        self.port = self.port or free_ports(1, self.host)[0]
        config = self.home / "config.yml"
        config.write_text(
            "version: 0.1\n"
            "log: {level: warn, accesslog: {disabled: true}}\n"
            f"storage: {{filesystem: {{rootdirectory: {self.home / 'data'}}}, delete: {{enabled: true}}}}\n"
            f"http: {{addr: '{self.address}'}}\n"
        )
        log = self.home / "registry.log"
        self._daemon.start([binaries.path("registry"), "serve", config], log)
        if not wait_until(self._answers, 15, 0.05):
            self.__exit__()
            raise LabError(f"the registry does not answer on {self.address}; see {log}")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        trace: TracebackType | None = None,
    ) -> None:
        """Stop it."""
        self._daemon.stop(5)

    def digest(self, repository: str, reference: str) -> str | None:
        """The digest of what a tag names (or a digest, if it is there); None where it names nothing."""
        answer = self._head(f"/v2/{repository}/manifests/{reference}")
        return answer.headers["Docker-Content-Digest"] if answer and answer.status == http.HTTPStatus.OK else None

    def trust(self, lab: Lab) -> None:
        """Let a lab's nodes pull from it, which is plain HTTP: containerd looks at that file before each pull."""
        for node in lab.nodes:
            file = node.root / "etc/containerd/certs.d" / self.address / "hosts.toml"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(_HOSTS.format(address=self.address))

    def _answers(self) -> bool:
        answer = self._head("/v2/") if self._daemon.pid is not None else None
        return answer is not None and answer.status == http.HTTPStatus.OK

    def _head(self, path: str) -> http.client.HTTPResponse | None:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=5)
        with contextlib.suppress(OSError), contextlib.closing(connection):
            connection.request("HEAD", path, headers={"Accept": _ACCEPT})
            return connection.getresponse()
        return None
