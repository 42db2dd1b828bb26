# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Which Node is which inventory host. Without I/O.

Names and addresses lead to a candidate only: two clusters have both a worker-1. What proves it is the machine:
kubelet reports the node's machine-id and boot id in C(status.nodeInfo), and the host reports its own.
"""

from __future__ import annotations

import ipaddress
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._cluster import ready

JSON = t.Dict[str, t.Any]


def address(text: t.Any) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """An IP address in whatever spelling; an IPv4 address mapped into IPv6 is that IPv4 address. None for a name."""
    try:
        matches = ipaddress.ip_address(str(text).strip("[]").partition("%")[0])
    except ValueError:
        return None
    return getattr(matches, "ipv4_mapped", None) or matches


def addresses(texts: t.Iterable[t.Any]) -> set[t.Any]:
    return {matches for matches in map(address, texts) if matches is not None}


def dns(text: t.Any) -> str:
    """A DNS name as it is compared; empty for an address."""
    return "" if address(text) is not None else str(text or "").rstrip(".").lower()


def short_for(name: str, other: str) -> bool:
    """Whether one of two names is the first label of the other."""
    return bool(name and other) and (name.partition(".")[0] == other or other.partition(".")[0] == name)


def internal_ips(node: JSON) -> set[t.Any]:
    listed = (node.get("status") or {}).get("addresses") or []
    return addresses(a["address"] for a in listed if a.get("type") == "InternalIP")


def machine(known: JSON) -> tuple[str, str]:
    """Machine-id and boot id, of a host or of nodeInfo; empty where unknown."""
    return tuple(
        str(next((known[key] for key in keys if known.get(key)), "")).strip().replace("-", "").lower()
        for keys in (("machine_id", "machineID"), ("boot_id", "bootID"))
    )  # type: ignore[return-value]


def machine_of(node: JSON) -> tuple[str, str]:
    return machine((node.get("status") or {}).get("nodeInfo") or {})


def reports_boot(node: JSON, boot: str) -> bool:
    """Whether kubelet has reported from this boot. Where a Node has no boot id, nothing can be proved by it."""
    reported = machine_of(node)[1]
    return not reported or reported == machine({"boot_id": boot})[1]


def same_machine(answer: JSON, node: JSON) -> bool:
    """Proven: both say a machine-id and a boot id, and they are the same."""
    mine = machine(answer)
    return all(mine) and mine == machine_of(node)


def differs(answer: JSON, node: JSON) -> str | None:
    """Why this host is not this Node's machine; None if nothing speaks against it."""
    (mine, my_boot), (its, its_boot) = machine(answer), machine_of(node)
    if mine and its and mine != its:
        return f"its machine-id is {mine}, the Node's is {its}"
    # A node that is down has reported nothing since its last boot.
    if my_boot and its_boot and my_boot != its_boot and ready(node):
        return (
            f"its boot id is {my_boot}, the Node's is {its_boot}: another machine with the same /etc/machine-id (a clone), "
            "or one that booted less than a minute ago"
        )
    return None


def candidates(host: str, answer: JSON, nodes: t.Sequence[JSON]) -> list[JSON]:
    """Nodes by the best of what fits: the host's name, its own name for itself, the same without a domain, an address."""
    own = [dns(host), dns(answer.get("hostname"))]
    known = [(node, dns(node["metadata"]["name"])) for node in nodes]
    mine = addresses([host, *(answer.get("addresses") or [])])
    for matches in (
        *([node for node, name in known if me and name == me] for me in own),
        *([node for node, name in known if short_for(me, name)] for me in own),
        [node for node in nodes if mine & internal_ips(node)],
    ):
        if matches:
            return matches
    return []


def match_hosts(hosts: dict[str, JSON], nodes: t.Sequence[JSON]) -> tuple[dict[str, str], list[str]]:
    """Inventory host -> Node, and a sentence for each host that has none.

    A host says C(node_name) (then only that leads to a candidate), C(hostname), C(addresses), C(machine_id) and C(boot_id).
    """
    known = ", ".join(sorted(n["metadata"]["name"] for n in nodes)) or "none"
    matched: dict[str, str] = {}
    problems: list[str] = []
    for host, answer in sorted(hosts.items()):
        wanted = answer.get("node_name")
        if wanted:
            matches = [n for n in nodes if dns(n["metadata"]["name"]) == dns(wanted)]
        else:
            matches = candidates(host, answer, nodes)
        proven = [n for n in nodes if same_machine(answer, n)]
        # Several kubelets on one machine have one identity: among these the name decides.
        matches = [n for n in matches if n in proven] or matches
        if not matches and not wanted and len(proven) == 1:
            matches = proven
        names = sorted(n["metadata"]["name"] for n in matches)
        why = differs(answer, matches[0]) if len(matches) == 1 else None
        if why:
            others = [n["metadata"]["name"] for n in proven]
            problems.append(
                f"Inventory host {host} is not the machine of Node {names[0]}, although "
                f"{'colocation_node_name says so' if wanted else 'name or address fit'}: {why}. "
                + (f"It is the machine of Node {' and '.join(others)}. " if others else "")
                + "Correct the inventory, or the connection to the cluster."
            )
        elif len(matches) == 1:
            matched[host] = names[0]
        elif matches:
            problems.append(
                f"Inventory host {host} could be any of the Nodes {', '.join(names)}. Set colocation_node_name for it."
            )
        elif wanted:
            problems.append(
                f"Inventory host {host}: colocation_node_name is {wanted}, but no Node has that name. Known Nodes: {known}."
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


def clone_warnings(nodes: t.Iterable[JSON]) -> list[str]:
    """Nodes with one machine-id in different boots: machines that were cloned with it."""
    by_id: dict[str, dict[str, str]] = {}
    for node in nodes:
        mine, boot = machine_of(node)
        if mine and boot:
            by_id.setdefault(mine, {})[node["metadata"]["name"]] = boot
    return [
        f"Nodes {', '.join(sorted(boots))} have the same machine-id {mine}: they are clones. Only their boot ids tell them "
        "apart. Give each its own: remove /etc/machine-id, run systemd-machine-id-setup, and reboot."
        for mine, boots in sorted(by_id.items())
        if len(set(boots.values())) > 1
    ]
