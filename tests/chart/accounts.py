"""An account as the API server sees it: its own token, raw requests, and the questions the authoriser answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import urllib3

from tests.lab.apiserver import ApiServer
from tests.lab.pki import Pair

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
SPECIAL = (
    # Verbs and resources that no discovery lists, and that are worth more than most that it does.
    *(("", f"nodes/{sub}", verb) for sub in ("proxy", "stats", "metrics", "log", "pods", "configz") for verb in VERBS),
    *(("", kind, "impersonate") for kind in ("users", "groups", "serviceaccounts")),
    *(("authentication.k8s.io", kind, "impersonate") for kind in ("uids", "userextras/scopes")),
    *(("rbac.authorization.k8s.io", kind, verb) for kind in ("roles", "clusterroles") for verb in ("bind", "escalate")),
    *(("certificates.k8s.io", "signers", verb) for verb in ("approve", "sign", "attest")),
    ("policy", "podsecuritypolicies", "use"),
)


class Question(NamedTuple):
    """One access review; ``namespace`` "" asks for the whole cluster."""

    group: str
    resource: str
    verb: str
    namespace: str = ""
    name: str = ""

    @property
    def said(self) -> str:
        """As the table in docs/security.md writes it."""
        return f"{self.resource}.{self.group}" if self.group else self.resource


class Account:
    """Somebody with a token, or with a certificate."""

    def __init__(self, api: ApiServer, bearer: str = "", certificate: Pair | None = None) -> None:
        files = (str(certificate.cert), str(certificate.key)) if certificate else (None, None)
        self._pool = urllib3.PoolManager(ca_certs=str(api.ca_cert), cert_file=files[0], key_file=files[1])
        self._url, self._bearer = api.url, bearer

    def send(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request; its code and decoded answer."""
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        headers = {"Content-Type": kind} | ({"Authorization": f"Bearer {self._bearer}"} if self._bearer else {})
        text = None if body is None else json.dumps(body)
        answer = self._pool.request(method, self._url + path, body=text, headers=headers)
        try:
            return answer.status, answer.json()
        except ValueError:
            return answer.status, answer.data.decode(errors="replace")

    def refusal(self, method: str, path: str, body: Any = None) -> str:
        """What the API server says against it; "" if it does it."""
        code, answer = self.send(method, path, body)
        return "" if code < 300 else str(answer.get("message", answer) if isinstance(answer, dict) else answer)

    def may(self, question: Question) -> bool:
        """What the authoriser answers to this account about itself."""
        group, resource, verb, namespace, name = question
        kind, _, sub = resource.partition("/")
        attributes = {"group": group, "resource": kind, "verb": verb, "namespace": namespace, "name": name}
        asked = attributes | ({"subresource": sub} if sub else {})
        return self._review({"resourceAttributes": asked})

    def rules(self, namespace: str) -> list[dict[str, Any]]:
        """All rules that the authoriser has for this account in a namespace, cluster-wide ones included."""
        path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
        code, answer = self.send("POST", path, {"spec": {"namespace": namespace}})
        assert code == 201, answer
        assert not answer["status"]["incomplete"]
        found: list[dict[str, Any]] = answer["status"]["resourceRules"]
        return found

    def may_read(self, path: str) -> bool:
        """The same for what is no resource."""
        return self._review({"nonResourceAttributes": {"path": path, "verb": "get"}})

    def _review(self, spec: dict[str, Any]) -> bool:
        path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
        code, answer = self.send("POST", path, {"spec": spec})
        assert code == 201, answer
        return bool(answer["status"]["allowed"])


def questions(api: ApiServer, namespace: str) -> Iterator[Question]:
    """Every verb on every resource and subresource that the API server says it serves, and those it does not list.

    What is namespaced is asked in one namespace: who may do it everywhere may do it there.
    """

    def raw(path: str) -> Any:
        return json.loads(api.kubectl("get", "--raw", path))

    versions = {"": "/api/v1"}
    for group in raw("/apis")["groups"]:
        versions[group["name"]] = f"/apis/{group['preferredVersion']['groupVersion']}"
    for group, path in versions.items():
        for resource in raw(path)["resources"]:
            for verb in sorted({*VERBS, *resource["verbs"]}):
                yield Question(group, resource["name"], verb, namespace if resource["namespaced"] else "")
    yield from (Question(*special) for special in SPECIAL)
