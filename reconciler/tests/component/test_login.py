"""The ways in that a kubeconfig describes, as kubectl takes them: proxies, names, exec plugins; on a real server."""

from __future__ import annotations

import base64
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from colocation.kube.login import LoginError, kubeconfig
from colocation.kube.resources import NODES
from colocation.kube.rest import ApiError, Rest
from tests.lab.apiserver import ApiServer

pytestmark = pytest.mark.apiserver
VARIABLES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")


class ConnectProxy:
    """A forward proxy: takes CONNECT, passes bytes on, and remembers each request's head."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[str] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        self.heads.append(head.decode())
        host, port = re.match(r"CONNECT (\S+):(\d+) ", head.decode()).groups()  # type: ignore[union-attr]
        server = socket.create_connection((host, int(port)))
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        back = threading.Thread(target=self._pass, args=(server, client), daemon=True)
        back.start()
        self._pass(client, server)

    @staticmethod
    def _pass(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    made = ConnectProxy()
    yield made
    made.close()


@pytest.fixture(autouse=True)
def no_proxy_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def changed(api: ApiServer, folder: Path, user: dict[str, Any] | None = None, **cluster: Any) -> str:
    """The server's kubeconfig with more, or other, fields of its cluster, and another user."""
    config = yaml.safe_load(api.kubeconfig.read_text())
    fields = config["clusters"][0]["cluster"]
    for key, value in cluster.items():
        if value is None:
            fields.pop(key.replace("_", "-"), None)
        else:
            fields[key.replace("_", "-")] = value
    if user is not None:
        config["users"][0]["user"] = user
    file = folder / "changed.kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return str(file)


def nodes(path: str) -> Any:
    rest = Rest(kubeconfig(path))
    try:
        return rest.get(NODES.path(), dict)["kind"]
    finally:
        rest.close()


def test_the_kubeconfigs_proxy_is_used_whatever_no_proxy_says(
    api: ApiServer, tmp_path: Path, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,*")
    assert nodes(changed(api, tmp_path, proxy_url=proxy.url)) == "NodeList"
    assert len(proxy.heads) == 1


def test_a_proxy_with_a_password_is_given_it(api: ApiServer, tmp_path: Path, proxy: ConnectProxy) -> None:
    url = proxy.url.replace("http://", "http://me:secret@")
    assert nodes(changed(api, tmp_path, proxy_url=url)) == "NodeList"
    assert f"Basic {base64.b64encode(b'me:secret').decode()}" in proxy.heads[0]


@pytest.mark.parametrize(
    ("no_proxy", "used"),
    [(None, True), ("example.com", True), ("127.0.0.1", False), ("127.0.0.0/8", False), ("*", False)],
)
def test_the_environments_proxy_is_used_unless_no_proxy_names_the_server(
    api: ApiServer,
    tmp_path: Path,
    proxy: ConnectProxy,
    monkeypatch: pytest.MonkeyPatch,
    no_proxy: str | None,
    used: bool,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    if no_proxy is not None:
        monkeypatch.setenv("NO_PROXY", no_proxy)
    assert nodes(changed(api, tmp_path)) == "NodeList"
    assert bool(proxy.heads) is used


def test_a_proxy_that_is_not_there_is_an_error_that_names_it(api: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(ApiError, match="refused"):
        nodes(changed(api, tmp_path, proxy_url="http://127.0.0.1:9"))


def test_a_kind_of_proxy_that_is_not_supported_is_refused_with_its_name(api: ApiServer, tmp_path: Path) -> None:
    with pytest.raises(LoginError, match=r"socks5://127\.0\.0\.1:1080: only http and https"):
        nodes(changed(api, tmp_path, proxy_url="socks5://127.0.0.1:1080"))


def test_tls_server_name_is_the_name_that_is_checked(api: ApiServer, tmp_path: Path, proxy: ConnectProxy) -> None:
    for through in (None, proxy.url):
        assert nodes(changed(api, tmp_path, tls_server_name="localhost", proxy_url=through)) == "NodeList"
        with pytest.raises(ApiError, match=r"wrong\.example"):
            nodes(changed(api, tmp_path, tls_server_name="wrong.example", proxy_url=through))


def test_insecure_skip_tls_verify_trusts_any_certificate(api: ApiServer, tmp_path: Path) -> None:
    gone: dict[str, Any] = {"certificate_authority_data": None, "certificate_authority": None}
    with pytest.raises(ApiError, match="CERTIFICATE_VERIFY_FAILED"):
        nodes(changed(api, tmp_path, **gone))
    assert nodes(changed(api, tmp_path, insecure_skip_tls_verify=True, **gone)) == "NodeList"


def test_an_exec_plugins_token_is_used(api: ApiServer, tmp_path: Path) -> None:
    api.kubectl("create", "serviceaccount", "plugin", "--namespace=openfuyao-colocation")
    token = api.kubectl("create", "token", "plugin", "--namespace=openfuyao-colocation").strip()
    credential = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(0o755)
    run = {"apiVersion": credential["apiVersion"], "command": str(plugin), "interactiveMode": "Never"}
    with pytest.raises(ApiError, match="system:serviceaccount:openfuyao-colocation:plugin") as refused:
        nodes(changed(api, tmp_path, user={"exec": run}))
    assert refused.value.code == 403  # known to the server, and without rights


def test_an_oidc_token_is_sent_as_it_is(api: ApiServer, tmp_path: Path) -> None:
    parts = ({"alg": "RS256"}, {"iss": "https://issuer.example", "exp": 2**32})
    token = ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    given = {"id-token": f"{token}.c2ln", "idp-issuer-url": "https://issuer.example", "client-id": "me"}
    made = kubeconfig(changed(api, tmp_path, user={"auth-provider": {"name": "oidc", "config": given}}))
    assert made.headers() == {"authorization": f"Bearer {token}.c2ln"}
