"""Finds Prometheus through the API server: the operator's objects, Services by label, Services by name."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Struct, field

from colocation.assess.prometheus import Cache, Prometheus, PrometheusError
from colocation.assess.queries import CPU
from colocation.decoding import decode
from colocation.kube.resources import Resource
from colocation.kube.rest import ApiError, Rest
from colocation.model.wire import Metadata

SERVICES: Final = Resource("v1", "services", namespaced=True)
PROMETHEUSES: Final = Resource("monitoring.coreos.com/v1", "prometheuses", namespaced=True)
_LABELS: Final = {
    ("operated-prometheus", "true"),
    ("app.kubernetes.io/name", "prometheus"),
    ("app.kubernetes.io/name", "thanos-query"),
    ("app.kubernetes.io/name", "thanos-query-frontend"),
    ("app.kubernetes.io/component", "query"),
    ("app.kubernetes.io/name", "vmsingle"),
    ("app.kubernetes.io/name", "vmselect"),
    ("app.kubernetes.io/name", "victoria-metrics-single"),
    ("app", "kube-prometheus-stack-prometheus"),
    ("app", "prometheus"),
}
_NAMES: Final = (
    "prometheus-operated", "prometheus-k8s", "prometheus", "prometheus-server", "kube-prometheus-stack-prometheus",
    "thanos-query", "thanos-query-frontend", "thanos-querier", "vmsingle", "vmselect",
)  # fmt: skip
_PORTS: Final = ("web", "http-web", "http", "https", "http-query", "reloader-web")
_PREFIXES: Final = {"vmselect": "/select/0/prometheus"}


class _Port(Struct):
    name: str = ""
    port: int = 0


class _Spec(Struct):
    ports: tuple[_Port, ...] = ()


class _Service(Struct):
    metadata: Metadata
    spec: _Spec = field(default_factory=_Spec)


class _Operated(Struct):
    metadata: Metadata
    spec: dict[str, Any] = field(default_factory=dict)


class Candidate(Struct, frozen=True, order=True):
    """One Service that may be a Prometheus, the likeliest first."""

    rank: int
    namespace: str
    name: str
    scheme: str
    port: str
    prefix: str = ""

    @property
    def path(self) -> str:
        """The API server's way to it."""
        target = f"{self.scheme}:{self.name}:{self.port}"
        return f"/api/v1/namespaces/{quote(self.namespace)}/services/{quote(target, safe=':')}/proxy{self.prefix}"

    @property
    def title(self) -> str:
        """For people."""
        return f"Service {self.namespace}/{self.name}:{self.port}"


class NoPrometheusError(Exception):
    """None was found: where it was looked for, and what to give."""


def find(rest: Rest, cache: Cache | None = None) -> Prometheus:
    """The first that answers and has cAdvisor's series. Raises NoPrometheusError."""
    tried: list[str] = []
    found = candidates(rest, tried)
    for one in found:
        server = Prometheus(rest, one.path, one.title, cache)
        try:
            now = server.now()
            if server.at(f"count({CPU})", now):
                return server
            tried.append(f"{one.title}: it has no {CPU}")
        except PrometheusError as error:
            tried.append(f"{one.title}: {explained(error, one)}")
    looked = "\n".join(f"  - {line}" for line in tried) or "  - no Service looks like one"
    raise NoPrometheusError(
        "no Prometheus found. Looked for objects of monitoring.coreos.com/v1, for Services labelled as Prometheus, "
        f"Thanos or VictoriaMetrics, and for their usual names:\n{looked}\n"
        "Give --prometheus URL; or sample metrics.k8s.io with --metrics-server; or assess a file with --trace FILE"
    )


def candidates(rest: Rest, tried: list[str]) -> list[Candidate]:
    """All Services that may be one, the likeliest first."""
    operated: dict[tuple[str, str], str] = {}
    try:
        for page in rest.pages(PROMETHEUSES, {}):
            for raw in page.items or []:
                stack = decode(raw, _Operated)
                prefix = str(stack.spec.get("routePrefix") or "").rstrip("/")
                operated[stack.metadata.namespace, stack.metadata.name] = prefix
    except (ApiError, msgspec.DecodeError) as error:
        if not (isinstance(error, ApiError) and error.code == 404):
            tried.append(f"Prometheus objects could not be listed: {error}")
    services: list[_Service] = []
    try:
        services = [decode(raw, _Service) for page in rest.pages(SERVICES, {}) for raw in page.items or []]
    except (ApiError, msgspec.DecodeError) as error:
        tried.append(f"Services could not be listed: {error}")
    return sorted(one for service in services if (one := _candidate(service, operated)) is not None)


def _candidate(service: _Service, operated: dict[tuple[str, str], str]) -> Candidate | None:
    name, namespace = service.metadata.name, service.metadata.namespace
    prefixes = [prefix for (place, _), prefix in operated.items() if place == namespace]
    if prefixes and name == "prometheus-operated":
        rank, prefix = 0, prefixes[0]
    elif _LABELS & set(service.metadata.labels.items()):
        rank, prefix = 1 + ("alertmanager" in name or "node-exporter" in name) * 5, (prefixes or [""])[0]
    elif name in _NAMES:
        rank, prefix = 2, (prefixes or [""])[0]
    else:
        return None
    ports = sorted(service.spec.ports, key=lambda p: _PORTS.index(p.name) if p.name in _PORTS else len(_PORTS))
    if not ports:
        return None
    port = ports[0]
    prefix = prefix or next((p for kind, p in _PREFIXES.items() if kind in name), "")
    return Candidate(
        rank, namespace, name, "https" if "https" in port.name else "http", port.name or str(port.port), prefix
    )


def explained(error: PrometheusError, one: Candidate) -> str:
    """What to do about it."""
    if error.code == 401:
        forward = f"kubectl -n {one.namespace} port-forward svc/{one.name} 9090:{one.port}"
        return (
            "401: it wants to know who asks, and the API server's proxy drops the token. Go past the proxy: "
            f"`{forward}`, then --prometheus {one.scheme}://127.0.0.1:9090 --prometheus-token-file FILE"
        )
    if error.code == 403:
        return f"403: {error}. The rights to go through the API server: `get` on services/proxy in {one.namespace}"
    return str(error)
