from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _identity

M, N = "0a" * 16, "0b" * 16
BOOT, NEXT = "11111111-2222-3333-4444-555555555555", "99999999-2222-3333-4444-555555555555"


def node(name, ip="192.0.2.1", machine="", boot="", ready="True", more=()):
    return {
        "metadata": {"name": name},
        "status": {
            "addresses": [{"type": "InternalIP", "address": a} for a in (ip, *more)],
            "conditions": [{"type": "Ready", "status": ready}],
            "nodeInfo": {"machineID": machine, "bootID": boot},
        },
    }


NODES = [node("node-a", "192.0.2.1"), node("node-b", "192.0.2.2")]


@pytest.mark.parametrize(
    "hosts, matched, problem",
    [
        ({"node-a": {}}, {"node-a": "node-a"}, None),
        ({"192.0.2.2": {}}, {"192.0.2.2": "node-b"}, None),
        ({"m1": {"hostname": "node-b"}}, {"m1": "node-b"}, None),
        ({"m1": {"addresses": ["172.17.0.1", "192.0.2.1"]}}, {"m1": "node-a"}, None),
        # its own name goes before what it calls itself, and both before an address
        ({"node-a": {"hostname": "node-b"}}, {"node-a": "node-a"}, None),
        ({"m1": {"hostname": "node-b", "addresses": ["192.0.2.1"]}}, {"m1": "node-b"}, None),
        ({"node-a": {"node_name": "node-b"}}, {"node-a": "node-b"}, None),
        ({"m1": {"node_name": "nodeb"}}, {}, "no Node has that name. Known Nodes: node-a, node-b"),
        ({"m1": {"hostname": "m1", "addresses": ["192.0.2.9"]}}, {}, "m1 is no Node of this cluster"),
        ({"m1": {"addresses": ["192.0.2.1", "192.0.2.2"]}}, {}, "any of the Nodes node-a, node-b"),
        (
            {"node-a": {}, "m1": {"addresses": ["192.0.2.1"]}},
            {"node-a": "node-a", "m1": "node-a"},
            "are the same Node node-a",
        ),
    ],
)
def test_which_host_is_which_node(hosts, matched, problem):
    found, problems = _identity.match_hosts(hosts, NODES)
    assert found == matched
    assert (problems == []) if problem is None else (len(problems) == 1 and problem in problems[0])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("fd00::1", "FD00:0:0:0:0:0:0:1", True),
        ("fd00::1", "[fd00::1]", True),
        ("fe80::1%eth0", "fe80::1", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.10", False),
        ("fd00::1", "fd00::2", False),
    ],
)
def test_an_address_is_the_same_in_any_spelling(one, other, same):
    assert (_identity.address(one) == _identity.address(other)) is same


@pytest.mark.parametrize("text", ["node-a", "", None, "10", "fd00", "192.0.2.1.example.com"])
def test_a_name_is_no_address(text):
    assert _identity.address(text) is None


@pytest.mark.parametrize(
    ("host", "answer", "wanted"),
    [
        ("NODE-A.Example.COM.", {}, "node-a.example.com"),
        ("node-a", {}, "node-a.example.com"),
        ("m1", {"hostname": "Node-A.Example.Com"}, "node-a.example.com"),
        ("node-b.other.org", {}, "node-b"),
        ("2001:DB8:0::a", {}, "node-a.example.com"),
        ("m1", {"addresses": ["2001:0db8::000b"]}, "node-b"),
        ("::ffff:192.0.2.2", {}, "node-b"),
        ("node-a.other.org", {}, None),
        ("2001", {}, None),
    ],
)
def test_names_are_compared_as_dns_names_and_addresses_as_addresses(host, answer, wanted):
    nodes = [node("node-a.example.com", "2001:db8::a"), node("node-b", "192.0.2.2", more=("2001:db8::b",))]
    assert _identity.match_hosts({host: answer}, nodes)[0] == ({host: wanted} if wanted else {})


@pytest.mark.parametrize(
    ("answer", "there", "problem"),
    [
        ({"machine_id": M, "boot_id": BOOT}, {"machine": M, "boot": BOOT}, None),
        ({"machine_id": M.upper(), "boot_id": BOOT + "\n"}, {"machine": M, "boot": BOOT}, None),
        # the cluster in hand is not the one this host is in
        ({"machine_id": M, "boot_id": BOOT}, {"machine": N, "boot": NEXT}, f"its machine-id is {M}, the Node's is {N}"),
        ({"machine_id": M, "boot_id": BOOT}, {"machine": M, "boot": NEXT}, "a clone"),
        # kubelet has not been back since the boot
        ({"machine_id": M, "boot_id": BOOT}, {"machine": M, "boot": NEXT, "ready": "Unknown"}, None),
        # one of the two says nothing: names and addresses have to do
        ({}, {"machine": M, "boot": BOOT}, None),
        ({"machine_id": M, "boot_id": BOOT}, {}, None),
        ({"machine_id": "", "boot_id": BOOT}, {"machine": M, "boot": NEXT}, "a clone"),
    ],
)
@pytest.mark.parametrize("way", [{}, {"node_name": "worker-1"}])
def test_a_host_is_the_node_of_its_machine(answer, there, problem, way):
    found, problems = _identity.match_hosts({"worker-1": {**answer, **way}}, [node("worker-1", "192.168.50.11", **there)])
    if problem is None:
        assert (found, problems) == ({"worker-1": "worker-1"}, [])
    else:
        assert found == {}
        assert "Inventory host worker-1 is not the machine of Node worker-1" in problems[0]
        assert problem in problems[0]


def test_a_host_with_the_name_of_one_node_and_the_machine_of_another_is_refused_and_both_are_named():
    nodes = [node("worker-1", machine=N, boot=NEXT), node("worker-7", "192.0.2.7", machine=M, boot=BOOT)]
    found, (problem,) = _identity.match_hosts({"worker-1": {"machine_id": M, "boot_id": BOOT}}, nodes)
    assert found == {}
    assert "not the machine of Node worker-1" in problem
    assert "It is the machine of Node worker-7" in problem


def test_a_host_whose_name_and_address_lead_nowhere_is_found_by_its_machine():
    nodes = [node("a", machine=N, boot=NEXT), node("b", machine=M, boot=BOOT)]
    assert _identity.match_hosts({"jump-7": {"machine_id": M, "boot_id": BOOT}}, nodes) == ({"jump-7": "b"}, [])


def test_several_kubelets_on_one_machine_are_told_apart_by_name():
    nodes = [node("n1", "192.0.2.1", M, BOOT), node("n2", "192.0.2.2", M, BOOT)]
    answer = {"machine_id": M, "boot_id": BOOT, "addresses": ["192.0.2.1", "192.0.2.2"]}
    assert _identity.match_hosts({"n2": answer}, nodes) == ({"n2": "n2"}, [])
    assert _identity.clone_warnings(nodes) == []


def test_a_machine_settles_which_of_two_nodes_an_address_means():
    nodes = [node("a", "192.0.2.1", N, NEXT), node("b", "192.0.2.1", M, BOOT)]
    answer = {"machine_id": M, "boot_id": BOOT, "addresses": ["192.0.2.1"]}
    assert _identity.match_hosts({"m1": answer}, nodes) == ({"m1": "b"}, [])


def test_clones_are_named():
    nodes = [node("a", machine=M, boot=BOOT), node("b", machine=M, boot=NEXT), node("c", machine=N, boot="x")]
    (answer,) = _identity.clone_warnings(nodes)
    assert "Nodes a, b have the same machine-id" in answer


@pytest.mark.parametrize(("reported", "back"), [(NEXT, True), (BOOT, False), ("", True)])
def test_a_node_is_back_once_its_kubelet_reports_the_new_boot(reported, back):
    assert _identity.reports_boot(node("a", machine=M, boot=reported), NEXT + "\n") is back
