# SPDX-License-Identifier: Apache-2.0
"""The lab's network: a namespace with a bridge (the hub), one namespace per machine.

::

    this machine --veth-- [hub: br0, API server, routes to the pods] --veth-- [node1] [node2] ...

The hub stands where a router stands in a data centre; it also plays kube-proxy
for the one Service everybody needs, the API server's.
"""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path

from .config import API_PORT, SERVICE_ADDRESS, Lab, Node
from .process import run

_NETNS = Path("/run/netns")


def up(lab: Lab) -> None:
    """Make the hub, this machine's cable to it, and every machine's namespace."""
    hub = lab.hub
    run(["ip", "netns", "add", hub])
    _ip(hub, "link set lo up", "link add br0 type bridge", f"addr add {lab.api_address}/24 dev br0", "link set br0 up")
    _forward(hub)
    for chain in ("PREROUTING", "OUTPUT"):
        match = ["-d", SERVICE_ADDRESS, "-p", "tcp", "--dport", "443"]
        target = ["-j", "DNAT", "--to-destination", f"{lab.api_address}:{API_PORT}"]
        run(["ip", "netns", "exec", hub, "iptables", "-w", "-t", "nat", "-A", chain, *match, *target])
    run(["ip", "link", "add", lab.veth, "type", "veth", "peer", "name", "root0", "netns", hub])
    _ip(hub, "link set root0 master br0 up")
    run(["ip", "addr", "add", f"{lab.root_address}/24", "dev", lab.veth])
    run(["ip", "link", "set", lab.veth, "up"])
    for node in lab.nodes:
        _plug(lab, node)


def _plug(lab: Lab, node: Node) -> None:
    hub, ns = lab.hub, node.netns
    run(["ip", "netns", "add", ns])
    _ip(hub, f"link add v{node.index} type veth peer name host0 netns {ns}", f"link set v{node.index} master br0 up")
    _ip(hub, f"route add {node.pod_cidr} via {node.address}")
    _ip(ns, "link set lo up", f"addr add {node.address}/24 dev host0", "link set host0 up")
    _ip(ns, f"route add default via {lab.api_address}")
    for other in lab.nodes:
        if other is not node and other.name != node.name:
            _ip(ns, f"route add {other.pod_cidr} via {other.address}")
    _forward(ns)


def down(lab: Lab) -> None:
    """Take away whatever of it is there."""
    for name in namespaces(lab):
        run(["ip", "netns", "del", name], check=False)
    # Gone with its peer's namespace, unless a process still holds that.
    run(["ip", "link", "del", lab.veth], check=False)


def namespaces(lab: Lab) -> list[str]:
    """This lab's namespaces that exist, machines first (whatever their number was)."""
    if not _NETNS.is_dir():
        return []
    names = sorted((path.name for path in _NETNS.iterdir()), reverse=True)
    return [name for name in names if name == lab.hub or name.startswith(f"{lab.hub}-")]


def conflict(lab: Lab) -> str | None:
    """Which interface already has an address or a route in the lab's subnet, if any."""
    ours = ipaddress.ip_network(lab.subnet)
    for link in json.loads(run(["ip", "-j", "-4", "addr"]).stdout):
        for address in link.get("addr_info", ()):
            if ipaddress.ip_interface(f"{address['local']}/{address['prefixlen']}").network.overlaps(ours):
                return f"interface {link['ifname']} has the address {address['local']}/{address['prefixlen']}"
    for route in json.loads(run(["ip", "-j", "-4", "route"]).stdout):
        if route["dst"] != "default" and ipaddress.ip_network(route["dst"], strict=False).overlaps(ours):
            return f"there is a route to {route['dst']} by {route.get('dev', 'another machine')}"
    return None


def in_netns(name: str, argv: list[str]) -> list[str]:
    """The command, to be run in a namespace (nsenter keeps /sys/fs/cgroup, `ip netns exec` does not)."""
    return ["nsenter", f"--net={_NETNS / name}", *argv]


def _ip(netns: str, *commands: str) -> None:
    for command in commands:
        run(["ip", "-n", netns, *command.split()])


def _forward(netns: str) -> None:
    run(in_netns(netns, ["sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]))
