# SPDX-License-Identifier: Apache-2.0
"""One certificate authority, the certificates it signs, and kubeconfigs.

By the ``openssl`` command: the standard library signs nothing. Elliptic keys,
because a certificate then takes 10 ms, and a component test makes five.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .process import run

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
# openssl's own configuration would add CA:TRUE to every certificate it signs this way.
_CONFIG = "[req]\ndistinguished_name = dn\n[dn]\n"


@dataclass(frozen=True)
class Pair:
    """A certificate and its key."""

    cert: Path
    key: Path


class Pki:
    """A certificate authority in a folder; asking twice for a name gives the same files."""

    def __init__(self, directory: Path) -> None:
        """Make the folder, the authority and the key that signs ServiceAccount tokens."""
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._config = directory / "openssl.cnf"
        self._config.write_text(_CONFIG)
        self.ca = directory / "ca.crt"
        if not self.ca.exists():
            self._request(
                "ca",
                "/CN=colocation-lab-ca",
                "basicConstraints=critical,CA:TRUE",
                "keyUsage=critical,keyCertSign,cRLSign,digitalSignature",
            )
        self.service_accounts = Pair(directory / "sa.pub", directory / "sa.key")
        if not self.service_accounts.cert.exists():
            key = self.service_accounts.key
            run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", key])
            run(["openssl", "pkey", "-in", key, "-pubout", "-out", self.service_accounts.cert])

    def issue(self, name: str, user: str, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> Pair:
        """A certificate for `user` in `groups`, valid as a server for `hosts` ("IP:..", "DNS:..")."""
        pair = Pair(self.directory / f"{name}.crt", self.directory / f"{name}.key")
        if not pair.cert.exists():
            subject = "".join(f"/O={group}" for group in groups) + f"/CN={user}"
            extensions = [
                "basicConstraints=critical,CA:FALSE",
                "keyUsage=critical,digitalSignature",
                "extendedKeyUsage=clientAuth,serverAuth",
                "authorityKeyIdentifier=keyid",
            ]
            if hosts:
                extensions.append("subjectAltName=" + ",".join(hosts))
            self._request(name, subject, *extensions, signer=True)
        return pair

    def kubeconfig(self, url: str, pair: Pair) -> str:
        """A kubeconfig (JSON is YAML) that carries everything it needs."""
        cluster = {"server": url, "certificate-authority-data": _b64(self.ca)}
        user = {"client-certificate-data": _b64(pair.cert), "client-key-data": _b64(pair.key)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": cluster}],
            "users": [{"name": "lab", "user": user}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "current-context": "lab",
        }
        return json.dumps(config, indent=2) + "\n"

    def _request(self, name: str, subject: str, *extensions: str, signer: bool = False) -> None:
        temporary = self.directory / f"{name}.tmp"
        command: list[str | Path] = ["openssl", "req", "-x509", "-new", "-config", self._config, *_KEY]
        command += ["-days", "365", "-subj", subject, "-keyout", self.directory / f"{name}.key", "-out", temporary]
        if signer:
            command += ["-CA", self.ca, "-CAkey", self.directory / "ca.key"]
        for extension in ("subjectKeyIdentifier=hash", *extensions):
            command += ["-addext", extension]
        run(command)
        temporary.rename(self.directory / f"{name}.crt")


def _b64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
