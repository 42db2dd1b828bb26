"""The API resources that are used, and their paths."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from msgspec import Struct

from colocation.model import names


class Resource(Struct, frozen=True):
    """One resource of the API; ``plural`` also names it in logs and metrics."""

    group_version: str
    """"v1" or "group/version"."""
    plural: str
    namespaced: bool = False

    def path(self, name: str = "", *, namespace: str = "", sub: str = "") -> str:
        """URL path of the collection, of one object or of its subresource; no namespace: of all of them."""
        root = "/api/" if "/" not in self.group_version else "/apis/"
        parts = [root + self.group_version]
        if namespace:
            parts.append("namespaces/" + quote(namespace, safe=""))
        parts.append(self.plural)
        if name:
            parts.append(quote(name, safe=""))
        if sub:
            parts.append(sub)
        return "/".join(parts)


_OURS: Final = f"{names.API_GROUP}/{names.API_VERSION}"

NODES: Final = Resource("v1", "nodes")
PODS: Final = Resource("v1", "pods", namespaced=True)
LEASES: Final = Resource("coordination.k8s.io/v1", "leases", namespaced=True)
EVENTS: Final = Resource("events.k8s.io/v1", "events", namespaced=True)
SECRETS: Final = Resource("v1", "secrets", namespaced=True)
WEBHOOKS: Final = Resource("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations")
ACCOUNTS: Final = Resource("v1", "serviceaccounts", namespaced=True)
TOKEN_REVIEWS: Final = Resource("authentication.k8s.io/v1", "tokenreviews")
PRIORITY_CLASSES: Final = Resource("scheduling.k8s.io/v1", "priorityclasses")
POLICIES: Final = Resource(_OURS, "colocationpolicies")
NODE_COLOCATIONS: Final = Resource(_OURS, "nodecolocations")
