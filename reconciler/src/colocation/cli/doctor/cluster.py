"""What the doctor reads, each thing once. What cannot be read says why."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from colocation.cli.common import CliError, ask_manager
from colocation.cli.doctor.finding import Unread
from colocation.decoding import decode
from colocation.kube.resources import LEASES, NODE_COLOCATIONS, NODES, PODS, POLICIES, Resource
from colocation.kube.rest import ApiError, Rest
from colocation.model import names

_REVIEWS: Final = Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews")


class Cluster:
    """What is read, each thing once; what cannot be read says why."""

    def __init__(self, rest: Rest, args: argparse.Namespace) -> None:
        self._rest, self._args = rest, args
        self.namespace: str = args.namespace

    def version(self) -> dict[str, Any]:
        """The API server's version. Raises CliError if it does not answer."""
        try:
            return self._rest.get("/version", dict)
        except ApiError as error:
            raise CliError(f"the API server does not answer: {error.message or error}") from error

    def served(self) -> dict[str, Any] | Unread | None:
        """The discovery document of our API group; None: the group is not served."""
        return self._get(f"/apis/{names.API_GROUP}/{names.API_VERSION}")

    def one(self, resource: Resource, name: str) -> dict[str, Any] | Unread | None:
        """One object, of the namespace where the manager is; None: it is not there."""
        return self._get(resource.path(name, namespace=self.namespace if resource.namespaced else ""))

    def _get(self, path: str) -> dict[str, Any] | Unread | None:
        try:
            return self._rest.get(path, dict)
        except ApiError as error:
            return None if error.code == 404 else Unread(error.message or str(error))

    def all(self, resource: Resource, **query: str) -> list[dict[str, Any]] | Unread:
        """Of the whole cluster; none where the API server does not serve the resource."""
        try:
            return [decode(raw, dict) for page in self._rest.pages(resource, query) for raw in page.items or ()]
        except ApiError as error:
            return [] if error.code == 404 else Unread(error.message or str(error))

    def pods(self, component: str) -> list[dict[str, Any]] | Unread:
        """The pods of the manager or of the agents."""
        ours = f"app.kubernetes.io/name=colocation,app.kubernetes.io/component={component}"
        return self.all(PODS, labelSelector=ours)

    def lease_age(self) -> float | Unread | None:
        """Seconds since the manager's Lease was renewed; None: no replica holds it."""
        lease = self.one(LEASES, "colocation-manager")
        if lease is None or isinstance(lease, Unread):
            return lease
        spec = lease.get("spec", {})
        return age(spec["renewTime"]) if spec.get("holderIdentity") and spec.get("renewTime") else None

    def report(self) -> list[dict[str, Any]] | Unread:
        """The rows of the manager's report."""
        try:
            return list(ask_manager(self._args, "/v1/report")["nodes"])
        except CliError as error:
            return Unread(str(error))

    def allowed(self) -> dict[str, bool]:
        """The rights that this command and its sisters need, by a line for people."""
        return {text: self._may(attributes) for text, attributes in self._wanted()}

    def _wanted(self) -> Iterator[tuple[str, Mapping[str, str]]]:
        for resource in (NODES, PODS, POLICIES, NODE_COLOCATIONS):
            group = resource.group_version.rpartition("/")[0]
            yield f"list {resource.plural}", {"verb": "list", "group": group, "resource": resource.plural}
        for plural in ("deployments", "daemonsets"):
            attributes = {"verb": "get", "group": "apps", "resource": plural, "namespace": self.namespace}
            yield f"get {plural} in {self.namespace}", attributes
        proxy = {"verb": "get", "resource": "services", "subresource": "proxy", "name": "http:colocation-manager:8080"}
        yield f"get services/proxy in {self.namespace}", {**proxy, "namespace": self.namespace}
        proof = {"verb": "create", "resource": "serviceaccounts", "subresource": "token", "name": names.READER}
        yield (
            f"create serviceaccounts/token of {names.READER} in {self.namespace}",
            {**proof, "namespace": self.namespace},
        )

    def _may(self, attributes: Mapping[str, str]) -> bool:
        kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        try:
            body = self._rest.create(_REVIEWS.path(), {**kind, "spec": {"resourceAttributes": attributes}})
        except ApiError:
            return False
        return bool(decode(body, dict)["status"].get("allowed"))


def age(timestamp: str) -> float:
    """Seconds since a time of the API server's, by this machine's clock."""
    return (datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds()
