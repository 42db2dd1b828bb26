# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""The Kubernetes API as plain JSON, over kubernetes.core's way of connecting.

Only the raw requests of the dynamic client are used: they have been the same over many releases of the
C(kubernetes) library, its generated models have not, and models cost a hundred times more to decode.
"""

from __future__ import annotations

import json
import sys
import traceback
import typing as t
from urllib.parse import quote, urlencode, urlsplit

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

# kubernetes.dynamic imports this package where it is installed: 1.4 s of CPU for a check that we never ask for.
# None makes the import fail, which kubernetes.dynamic expects; a package that somebody has imported already stays.
sys.modules.setdefault("kubernetes_validate", None)  # type: ignore[arg-type]

try:
    from kubernetes.client.exceptions import ApiException

    KUBERNETES_IMPORT_ERROR = None
except ImportError:
    KUBERNETES_IMPORT_ERROR = traceback.format_exc()

    class ApiException(Exception):  # type: ignore[no-redef]
        """A placeholder until the missing library has been reported."""


try:
    from ansible_collections.kubernetes.core.plugins.module_utils.args_common import AUTH_ARG_SPEC
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.client import get_api_client
    from ansible_collections.kubernetes.core.plugins.module_utils.k8s.core import AnsibleK8SModule

    COLLECTION_IMPORT_ERROR = None
except ImportError:
    AUTH_ARG_SPEC = {}
    COLLECTION_IMPORT_ERROR = traceback.format_exc()

MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"
PAGE = 500


class ApiError(Exception):
    """The API server refused, or could not be reached."""

    def __init__(self, status: int, message: str, what: str) -> None:
        super().__init__(f"{what}: {message}" if not status else f"{what}: {message} (HTTP {status})")
        self.status = status
        self.message = message


class Api:
    """GET, PATCH, POST and DELETE of paths, decoded JSON in and out."""

    def __init__(self, client: t.Any) -> None:
        self._client = client

    @property
    def server(self) -> str:
        """Host and port of the API server, by which an operator identifies the cluster."""
        host = str(self._client.configuration.host)
        return urlsplit(host).netloc or host

    def request(
        self,
        method: str,
        path: str,
        body: t.Any = None,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
        **params: t.Any,
    ) -> dict[str, t.Any]:
        data = self._ask(method, path, body, content_type, headers, **params)
        return json.loads(data) if data else {}

    def text(self, path: str) -> str:
        """What is at a path that does not answer in JSON."""
        data = self._ask("GET", path, None, "application/json", None)
        return data if isinstance(data, str) else bytes(data).decode("utf-8", "replace")

    def _ask(
        self, method: str, path: str, body: t.Any, content_type: str, headers: dict[str, str] | None, **params: t.Any
    ) -> t.Any:
        what = f"{method} {path}"
        try:
            answer = self._client.request(
                method,
                path,
                body=body,
                content_type=content_type,
                query_params=[],
                header_params=dict(headers or {}),
                serialize=False,
                _request_timeout=30,
                **params,
            )
        except ApiException as e:
            raise ApiError(e.status or 0, _message(e), what) from e
        except Exception as e:  # urllib3's, ssl's and socket's own: all mean that there was no answer
            raise ApiError(0, f"no answer from the API server: {e}", what) from e
        return answer.data

    def get(self, path: str) -> dict[str, t.Any] | None:
        """The object, or None where there is none (nor such a kind)."""
        try:
            return self.request("GET", path)
        except ApiError as e:
            if e.status == 404:
                return None
            raise

    def list(
        self, path: str, field_selector: str | None = None, label_selector: str | None = None
    ) -> list[dict[str, t.Any]]:
        """All items, page by page; none where the kind is not served."""
        selectors = {"field_selector": field_selector, "label_selector": label_selector}
        items: list[dict[str, t.Any]] = []
        more: str | None = None
        while True:
            try:
                page = self.request("GET", path, limit=PAGE, _continue=more, **selectors)
            except ApiError as e:
                if e.status == 404:
                    return []
                raise
            items += page.get("items") or []
            more = (page.get("metadata") or {}).get("continue")
            if not more:
                return items

    def merge(self, path: str, patch: dict[str, t.Any], dry_run: bool = False) -> dict[str, t.Any]:
        return self.request("PATCH", path, patch, MERGE_PATCH, dry_run="All" if dry_run else None)

    def apply(self, path: str, body: dict[str, t.Any], manager: str, dry_run: bool = False) -> dict[str, t.Any]:
        """Server-side apply, forced: the fields of C(body) get its values, and are of this manager from then on."""
        asked = [("fieldManager", manager), ("force", "true"), *([("dryRun", "All")] if dry_run else [])]
        return self.request("PATCH", f"{path}?{urlencode(asked)}", body, APPLY_PATCH)

    def nodes(self) -> list[dict[str, t.Any]]:
        return self.list("/api/v1/nodes")

    def node(self, name: str) -> dict[str, t.Any] | None:
        return self.get(f"/api/v1/nodes/{quote(name)}")

    def pods_on(self, node: str) -> list[dict[str, t.Any]]:
        return self.list("/api/v1/pods", field_selector=f"spec.nodeName={node}")

    def evict(self, namespace: str, name: str, uid: str, dry_run: bool = False) -> None:
        """By the Eviction API, so that PodDisruptionBudgets hold."""
        self.request(
            "POST",
            f"/api/v1/namespaces/{quote(namespace)}/pods/{quote(name)}/eviction",
            {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": name, "namespace": namespace},
                # the pod that was looked at, not one of the same name that came after it
                "deleteOptions": {"preconditions": {"uid": uid}},
            },
            dry_run="All" if dry_run else None,
        )


def make_module(argument_spec: dict[str, t.Any], supports_check_mode: bool) -> tuple[t.Any, Api]:
    """An Ansible module with kubernetes.core's connection options, and the API it is connected to."""
    if COLLECTION_IMPORT_ERROR:
        # The connection options are kubernetes.core's: without it even the arguments cannot be checked.
        AnsibleModule(argument_spec={}, bypass_checks=True).fail_json(
            msg="The collection kubernetes.core >= 6.6.0 is missing: ansible-galaxy collection install kubernetes.core",
            exception=COLLECTION_IMPORT_ERROR,
        )
    module = AnsibleK8SModule(
        argument_spec={**{k: dict(v) for k, v in AUTH_ARG_SPEC.items()}, **argument_spec},
        supports_check_mode=supports_check_mode,
        check_k8s=False,
        check_pyyaml=False,
    )
    if KUBERNETES_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=KUBERNETES_IMPORT_ERROR)
    try:
        client = get_api_client(module)
    except Exception as e:  # bad kubeconfig, no file, no answer: each library has its own exception
        module.fail_json(
            msg=f"Could not connect to the cluster: {e}. Set kubeconfig (colocation_kubeconfig in the roles)."
        )
    return module, Api(client.client)


def _message(e: ApiException) -> str:
    """The API server's message, rather than the dump of headers that str() gives."""
    body = getattr(e, "body", None)
    try:
        given = json.loads(body)
        return given["message"] if "message" in given else given["error"]  # the second is our own manager's word
    except (TypeError, ValueError, KeyError):
        return str(getattr(e, "reason", None) or body or e)
