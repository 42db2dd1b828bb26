"""A console in front of a real API server and a real manager, and the people who ask it."""

from __future__ import annotations

import base64
import http.client
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from colocation.cli.grant import bindings
from colocation.console.main import Console, Running
from colocation.console.place import Options
from colocation.model import names
from tests.lab import binaries
from tests.lab.process import run

from .cluster import CRDS, NAMESPACE, Cluster, Manager

ISSUER = "https://kubernetes.default.svc"
CHART = CRDS.parents[1]


class Given(NamedTuple):
    """One answer."""

    code: int
    pairs: tuple[tuple[str, str], ...]
    text: str

    @property
    def headers(self) -> Mapping[str, str]:
        return dict(self.pairs)

    @property
    def json(self) -> Any:
        return json.loads(self.text)


class Desk:
    """A console in this process; `ask` as somebody."""

    def __init__(self, cluster: Cluster, manager: Manager, **options: Any) -> None:
        token = cluster.folder / "console-token"
        token.write_text(cluster.token(names.CONSOLE))
        self.console = Console(
            Running(
                options=Options(namespace=NAMESPACE, **options),
                host="127.0.0.1",
                port=0,
                probes_port=0,
                api_server=cluster.api.url,
                api_ca=str(cluster.api.ca_cert),
                manager=f"http://127.0.0.1:{manager.port}",
                manager_token=token,
            )
        )
        self.console.start()
        self.port = self.console.server.port

    def stop(self) -> None:
        self.console.stop()

    def ask(self, method: str, path: str, token: str = "", body: Any = None, **headers: str) -> Given:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        data = None
        if isinstance(body, str):
            data = body.encode()
            sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif body is not None:
            data = json.dumps(body).encode()
            sent["Content-Type"] = "application/json"
        elif method in ("POST", "PUT"):
            data = b""
        one = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            one.request(method, path, data, sent)
            answer = one.getresponse()
            return Given(answer.status, tuple(answer.getheaders()), answer.read().decode())
        finally:
            one.close()

    def fresh(self) -> None:
        """Look at the manager now."""
        self.console.snapshot.fetch()


def chart_rights(cluster: Cluster, *settings: str) -> None:
    """Roles for people, and the guard of operators, as the chart renders them; and the console's account."""
    binaries.ensure("helm")
    served = ["--kube-version=1.36.3", "--api-versions=admissionregistration.k8s.io/v1/MutatingAdmissionPolicy"]
    helm = [binaries.path("helm"), "template", "x", CHART, f"--namespace={NAMESPACE}", "--set=console.enabled=true"]
    names_of = ("colocation-view", "colocation-explain", "colocation-events", "colocation-operat")
    kinds = ("ClusterRole", "Role", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
    found = [one for one in yaml.safe_load_all(run([*helm, *served, *settings]).stdout) if one]
    wanted = [
        one
        for one in found
        if (one["kind"] in kinds and one["metadata"]["name"].startswith(names_of))
        or (one["kind"] == "ServiceAccount" and one["metadata"]["name"] == names.CONSOLE)
    ]
    assert len(wanted) == 8, [(one["kind"], one["metadata"]["name"]) for one in wanted]
    cluster.api.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(wanted))


def person(cluster: Cluster, name: str, role: str = "", *more: dict[str, Any]) -> str:
    """A ServiceAccount with a role of ours, or none; its token for the API server."""
    cluster.api.kubectl("create", "serviceaccount", name, f"--namespace={NAMESPACE}")
    account = f"system:serviceaccount:{NAMESPACE}:{name}"
    made = [*(bindings(role, account, NAMESPACE) if role else ()), *more]
    if made:
        cluster.api.kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(made))
    return cluster.token(name, ISSUER, 3600)


def cluster_role(name: str, role: str) -> dict[str, Any]:
    """A binding of a ClusterRole to one of `person`."""
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"test-{name}"},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}],
        "roleRef": {"kind": "ClusterRole", "name": role, "apiGroup": "rbac.authorization.k8s.io"},
    }


def signed(key: Path, claims: Mapping[str, Any]) -> str:
    """A token of the cluster's own key, with any claims."""
    private = load_pem_private_key(key.read_bytes(), None)
    assert isinstance(private, EllipticCurvePrivateKey)
    text = ".".join(_part(json.dumps(one).encode()) for one in ({"alg": "ES256", "typ": "JWT"}, claims))
    both = decode_dss_signature(private.sign(text.encode(), ECDSA(SHA256())))
    return f"{text}.{_part(b''.join(one.to_bytes(32, 'big') for one in both))}"


def _part(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def expired(cluster: Cluster, account: str) -> str:
    """A good token of yesterday."""
    now = int(time.time())
    uid = json.loads(cluster.api.kubectl("get", "serviceaccount", account, f"--namespace={NAMESPACE}", "-o", "json"))
    bound = {
        "namespace": NAMESPACE,
        "serviceaccount": {"name": account, "uid": uid["metadata"]["uid"]},
    }
    claims = {
        "iss": ISSUER,
        "aud": [ISSUER],
        "sub": f"system:serviceaccount:{NAMESPACE}:{account}",
        "iat": now - 90_000,
        "nbf": now - 90_000,
        "exp": now - 3600,
        "kubernetes.io": bound,
    }
    return signed(cluster.api.pki.service_accounts.key, claims)
