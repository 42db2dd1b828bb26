# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""What a cluster's colocation was made from, as one document, and back. Without I/O.

There is no time in it, so that the same colocation gives the same bytes, and a second backup changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _state
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _rollout

JSON = t.Dict[str, t.Any]
SCHEMA = "colocation.openfuyao.com/backup/v1"


class Unusable(Exception):
    """No backup, or a damaged one; the message says what is wrong."""


def document(release: JSON, values: JSON, notes: JSON, policies: list[JSON], nodes: list[JSON]) -> JSON:
    """The backup of a cluster. ``notes``: what rollouts noted there; ``policies``, ``nodes``: the objects."""
    names = {policy["name"] for policy in _rollout.policies_of(policies)}
    settings = notes.get("settings") or {}
    content = {
        "schema": SCHEMA,
        "chart": release["version"],
        "chart_values": own_values(values, _rollout.affinity((notes.get("image") or {}).get("nodes") or [])),
        "policies": sorted(
            (
                {"name": p["metadata"]["name"], "spec": p.get("spec") or {}, "by_hand": p["metadata"]["name"] not in names}
                for p in policies
            ),
            key=lambda p: p["name"],
        ),
        "nodes": {
            node["metadata"]["name"]: settings.get(node["metadata"]["name"]) or {}
            for node in nodes
            if _state.label_of(node) == "true"
        },
    }
    return {**content, "sha256": digest(content)}


def own_values(values: JSON, affinity: JSON) -> JSON:
    """The operator's chart values: without those that the roles set by themselves, for this cluster only."""
    mine: JSON = json.loads(json.dumps(values))
    mine.get("global", {}).pop("chartDigest", None)
    if mine.get("manager", {}).get("affinity") in (affinity, {}, None):
        mine.get("manager", {}).pop("affinity", None)
    if mine.get("agent", {}).get("updateStrategy") == "OnDelete":
        mine["agent"].pop("updateStrategy")
    return {key: value for key, value in mine.items() if value != {}}


def digest(content: JSON) -> str:
    result = {key: value for key, value in content.items() if key != "sha256"}
    return hashlib.sha256(json.dumps(result, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def text(content: JSON) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def opened(answer: str) -> JSON:
    """The document of a file. Raises Unusable for what is no backup, is damaged, or was made by a later collection."""
    try:
        content = json.loads(answer)
    except ValueError as e:
        raise Unusable(f"This is no backup, or not all of it: {e}.") from e
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise Unusable(f"This is no backup that this collection can read: its schema is {schema}, {SCHEMA} is known.")
    if content.get("sha256") != digest(content):
        raise Unusable(
            "This backup was changed after it was made, or is damaged: its checksum is not that of its content. Take another "
            "one; or, if the change is wanted, put it into the inventory and run site."
        )
    return content
