# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Decisions about a cluster, without I/O: is it new enough, and which Node is which inventory host."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils import _state
from ansible_collections.openfuyao.colocation.plugins.module_utils._names import MADE_ANNOTATION, NODE_LABEL

MINIMUM = (1, 30)
JSON = t.Dict[str, t.Any]


def parse_version(version: JSON) -> tuple[int, int]:
    """Major and minor of a /version answer; vendors write "30+" or "30-eks"."""
    found = re.match(r"v?(\d+)\.(\d+)", str(version.get("gitVersion", "")))
    if found:
        return int(found.group(1)), int(found.group(2))
    major, minor = (re.match(r"\d+", str(version.get(k, ""))) for k in ("major", "minor"))
    return (int(major.group()), int(minor.group())) if major and minor else (0, 0)


def version_problems(version: JSON) -> list[str]:
    """Why this cluster cannot be rolled out to; empty when it can."""
    found, said = parse_version(version), version.get("gitVersion") or "unknown"
    if found < MINIMUM:
        return [
            f"The cluster is Kubernetes {said}; colocation needs {MINIMUM[0]}.{MINIMUM[1]} or newer. "
            "Upgrade the cluster first."
        ]
    return []


def ready(node: JSON) -> bool:
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def internal_ips(node: JSON) -> list[str]:
    return [a["address"] for a in (node.get("status") or {}).get("addresses") or [] if a.get("type") == "InternalIP"]


def reached(hosts: dict[str, JSON]) -> tuple[dict[str, JSON], list[str]]:
    """The hosts that answered, and a sentence for each that did not."""
    answered = {host: said for host, said in hosts.items() if not said.get("unreachable")}
    problems = []
    for host in sorted(set(hosts) - set(answered)):
        said = " ".join(str(hosts[host].get("msg") or "no answer").split()).rstrip(".")
        problems.append(f"Inventory host {host} cannot be reached: {said.replace('Task failed: ', '', 1)}.")
    return answered, problems


def node_problems(hosts: dict[str, JSON]) -> list[str]:
    """What the nodes said of themselves."""
    return [
        f"Inventory host {host} cannot take part: {'; '.join(said['problems'])}."
        for host, said in sorted(hosts.items())
        if said.get("problems")
    ]


def match_hosts(hosts: dict[str, JSON], nodes: list[JSON]) -> tuple[dict[str, str], list[str]]:
    """Inventory host -> Node, and a sentence for each host that has none.

    A host says C(node_name) (then only that counts), C(hostname) and C(addresses). Names go before addresses, and
    two Nodes that fit equally well are an error: the wrong node must never be touched.
    """
    names = {n["metadata"]["name"] for n in nodes}
    known = ", ".join(sorted(names)) or "none"
    matched: dict[str, str] = {}
    problems: list[str] = []
    for host, said in sorted(hosts.items()):
        wanted = said.get("node_name")
        if wanted:
            if wanted in names:
                matched[host] = wanted
            else:
                problems.append(
                    f"Inventory host {host}: colocation_node_name is {wanted}, but no Node has that name. "
                    f"Known Nodes: {known}."
                )
            continue
        by_name = {x for x in (host, said.get("hostname")) if x in names}
        addresses = {host, *(said.get("addresses") or [])}
        by_address = {n["metadata"]["name"] for n in nodes if addresses.intersection(internal_ips(n))}
        found = ({host} if host in by_name else by_name) or by_address
        if len(found) == 1:
            matched[host] = found.pop()
        elif found:
            problems.append(
                f"Inventory host {host} could be any of the Nodes {', '.join(sorted(found))}. "
                "Set colocation_node_name for it."
            )
        else:
            problems.append(
                f"Inventory host {host} is no Node of this cluster, neither by name nor by InternalIP. Known Nodes: "
                f"{known}. Correct the inventory, or set colocation_node_name for this host."
            )
    seen: dict[str, str] = {}
    for host, node in sorted(matched.items()):
        if node in seen:
            problems.append(f"Inventory hosts {seen[node]} and {host} are the same Node {node}. Remove one of them.")
        seen.setdefault(node, host)
    return matched, problems


def node_row(node: JSON) -> JSON:
    """What the plays need of a Node."""
    status, metadata = node.get("status") or {}, node["metadata"]
    return {
        "name": metadata["name"],
        "ready": ready(node),
        "internal_ips": internal_ips(node),
        "kubelet": (status.get("nodeInfo") or {}).get("kubeletVersion", ""),
        "label": (metadata.get("labels") or {}).get(NODE_LABEL),
    }


def takes_part(node: JSON) -> bool:
    """True if anything on this Node is ours."""
    return _state.label_of(node) is not None or _state.purge_patch(node) is not None


def namespace_is_ours(namespace: JSON | None) -> bool:
    """True if there is none yet, or the rollout made it: the mark is set in the same request that makes it."""
    return namespace is None or MADE_ANNOTATION in (namespace["metadata"].get("annotations") or {})


def rollout_record(known: JSON | None, namespace_made: bool, labels: dict[str, str | None]) -> JSON:
    """What was there before us: the record kept so far, completed by nodes that it does not know.

    What is recorded once is never overwritten: by the second run everything that is there may be ours.
    """
    record = dict(known or {})
    record.setdefault("namespaceMade", namespace_made)
    record["labelsBefore"] = {**labels, **(record.get("labelsBefore") or {})}
    return record
