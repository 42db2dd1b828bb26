# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Questions to the colocation manager, through the API server's service proxy."""

from __future__ import annotations

import time
import typing as t
from urllib.parse import quote

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import (
    AUDIENCE,
    READER,
    REPORTER,
    TOKEN_HEADER,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import ApiError

SERVICE = "http:colocation-manager:8080"
TOKEN_SECONDS = 600
EVENTS = "/api/v1/namespaces/default/events"


class NoAnswer(Exception):
    """The manager could not be asked, or refused; the message says what to do."""


def explain_path(node: str) -> str:
    return f"/v1/explain/{quote(node, safe='')}"


class Reader:
    """Asks the manager of one namespace, with proof of the right to read: a short-lived token of C(colocation-reader)."""

    def __init__(self, api: t.Any, namespace: str) -> None:
        self._api, self._namespace = api, namespace
        self._where = f"/api/v1/namespaces/{quote(namespace)}"
        self._token, self._minted = "", 0.0

    def ask(self, path: str) -> dict[str, t.Any]:
        """The manager's JSON answer. Raises NoAnswer with the remedy."""
        try:
            headers = {TOKEN_HEADER: self._proof()}
            return self._api.request("GET", f"{self._where}/services/{SERVICE}/proxy{path}", headers=headers)
        except ApiError as e:
            raise NoAnswer(remedy(e, self._namespace)) from e
        except ValueError as e:
            raise NoAnswer(f"What answered in namespace {self._namespace} is no colocation manager: {e}") from e

    def _proof(self) -> str:
        if not self._token or time.monotonic() - self._minted > TOKEN_SECONDS / 2:
            spec = {"audiences": [AUDIENCE], "expirationSeconds": TOKEN_SECONDS}
            body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
            token = self._api.request("POST", f"{self._where}/serviceaccounts/{READER}/token", body)
            self._token, self._minted = token["status"]["token"], time.monotonic()
        return self._token


def remedy(error: t.Any, namespace: str) -> str:
    """What to do about a refusal."""
    if error.status == 404 and ("services" in error.message or "serviceaccounts" in error.message):
        return (
            f"There is no manager in namespace {namespace}, or one of an older chart: {error.message}. "
            "Install it with the playbook openfuyao.colocation.site, or set namespace."
        )
    if error.status == 503:
        return (
            f"The manager in namespace {namespace} is not ready: {error.message}. "
            f"'kubectl -n {namespace} get pods' shows why."
        )
    if error.status == 403:
        return f"Not allowed to ask the manager: bind the Role colocation-explain in {namespace}. {error.message}"
    return str(error)


def history(events: list[dict[str, t.Any]], nodes: list[str]) -> list[dict[str, t.Any]]:
    """The manager's words about these nodes (all, if none are named), oldest first."""
    answers = []
    for event in events:
        about = event.get("involvedObject") or {}
        if event.get("reportingComponent") != REPORTER or (nodes and about.get("name") not in nodes):
            continue
        answers.append(
            {
                "node": about.get("name"),
                "time": event.get("eventTime"),
                "reason": event.get("reason"),
                "note": event.get("message", ""),
            }
        )
    return sorted(answers, key=lambda row: (row["time"] or "", row["node"] or ""))
