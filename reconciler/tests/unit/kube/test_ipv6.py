"""An API server that has IPv6 addresses only: by a kubeconfig, and as a pod sees it."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path
from socket import AF_INET6

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from colocation.kube.login import in_cluster, kubeconfig
from colocation.kube.rest import Rest
from colocation.serving import server_context


class Six(HTTPServer):
    address_family = AF_INET6


class Handler(BaseHTTPRequestHandler):
    """NOT an API server: tells the path that was asked for, and the name by which it was."""

    def do_GET(self) -> None:
        body = json.dumps({"path": self.path, "host": self.headers["Host"]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def certificate() -> tuple[bytes, bytes]:
    """Of the address ::1, signed by itself."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "six")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("::1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(pem), private


@pytest.fixture
def server(tmp_path: Path) -> Iterator[int]:
    """Its port on ::1; its authority is in ca.crt."""
    made, key = certificate()
    (tmp_path / "ca.crt").write_bytes(made)
    server = Six(("::1", 0), Handler)
    server.socket = server_context(made, key).wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def asked(rest: Rest) -> dict[str, str]:
    try:
        return rest.get("/api/v1/nodes", dict)
    finally:
        rest.close()


def test_a_kubeconfig_with_an_ipv6_address(server: int, tmp_path: Path) -> None:
    cluster = {"server": f"https://[::1]:{server}", "certificate-authority": str(tmp_path / "ca.crt")}
    config = {
        "clusters": [{"name": "six", "cluster": cluster}],
        "users": [{"name": "six", "user": {"token": "t"}}],
        "contexts": [{"name": "six", "context": {"cluster": "six", "user": "six"}}],
        "current-context": "six",
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    login = kubeconfig(str(tmp_path / "kubeconfig"))
    assert isinstance(login.context, ssl.SSLContext)
    assert asked(Rest(login)) == {"path": "/api/v1/nodes", "host": f"[::1]:{server}"}


def test_a_pod_whose_api_server_has_an_ipv6_address(server: int, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    environment = {"KUBERNETES_SERVICE_HOST": "::1", "KUBERNETES_SERVICE_PORT": str(server)}
    assert asked(Rest(in_cluster(environment, tmp_path)))["path"] == "/api/v1/nodes"
