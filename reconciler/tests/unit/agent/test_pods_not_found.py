"""Best-effort pods that run here and are not found, so that they are not limited: what the agent says of them."""

from __future__ import annotations

import msgspec

from colocation.agent.server import Metrics
from colocation.model.report import BePod

from .made_node import FREE, HELD, SPEC, enforced, running, upsert


def test_pods_whose_containers_are_elsewhere_are_not_called_enforced(node):
    """Kubelet on the systemd driver, containerd on cgroupfs: kubelet's group of the pod stays empty."""
    (node.root / "kubepods/besteffort/podbe1/sandbox").rmdir()
    (node.root / "kubepods-besteffort-podbe1.slice:cri-containerd:0123").mkdir()
    node.specs.emit(upsert(running(*SPEC.pods)))
    node.rounds(29)
    assert enforced(node)[0] == "True", "status and group do not come together"
    node.rounds(3)
    assert node.values() == FREE
    words = "1 of 1 best-effort pods not found: no container in their groups: cgroup drivers differ?"
    assert enforced(node) == ("False", "PodsNotFound", words)
    (node.root / "kubepods/besteffort/podbe1/sandbox").mkdir()
    node.rounds(1)
    assert node.values() == HELD
    assert enforced(node) == ("True", "Applied", "")


def test_a_pod_without_a_group_is_not_called_enforced_and_those_that_do_not_run_yet_are_not_missed(node):
    ghost, pending = BePod(uid="ghost"), BePod(uid="pending")
    spec = running(*SPEC.pods, ghost)
    node.specs.emit(upsert(msgspec.structs.replace(spec, pods=(*spec.pods, pending))))
    node.rounds(32)
    assert enforced(node) == (
        "False",
        "PodsNotFound",
        "1 of 2 best-effort pods not found: no group of theirs in kubepods",
    )
    assert node.values() == HELD, "what was found is held"
    for off in (msgspec.structs.replace(spec, enabled=False), msgspec.structs.replace(spec, engine="none")):
        node.specs.emit(upsert(off))
        node.rounds(1)
        assert enforced(node)[0] == "True", "nothing is wanted of it"


def test_a_pod_that_is_in_another_tree_is_looked_for_there(node):
    node.specs.emit(upsert(running(BePod(uid="be2", cpu_limit=500, memory_limit=1 << 20))))
    node.rounds(5)
    tree = node.root / "kubepods.slice"
    for group in ("kubepods.slice", "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-podbe2.slice"):
        (node.root / group).mkdir(parents=True)
        for name, text in (("cpu.max", "max 100000"), ("cpu.idle", "0"), ("memory.max", "max")):
            (node.root / group / name).write_text(text + "\n")
    pod = tree / "kubepods-besteffort.slice/kubepods-besteffort-podbe2.slice"
    (pod / "cri-containerd-01.scope").mkdir()
    node.rounds(12)
    assert (pod / "memory.max").read_text() == str(1 << 20)
    assert enforced(node)[0] == "True"
    assert node.loop.status().capabilities.cgroup_driver == "systemd"


def test_pods_that_are_not_found_have_a_metric_of_their_own(node):
    node.specs.emit(upsert(running(*SPEC.pods, BePod(uid="ghost"))))
    node.rounds(32)
    rows = Metrics(node.loop, node.sampler, node.applier, None).collect()
    values = {row.name: row.samples[0].value for row in rows if len(row.samples) == 1}
    assert (values["colocation_agent_be_pods"], values["colocation_agent_be_pods_not_found"]) == (1, 1)


def test_an_agent_that_has_heard_of_no_spec_does_not_say_that_it_enforces(node):
    node.rounds(3)
    assert enforced(node) == ("False", "NoSpec", "no spec has been received: values are left as they are")
    node.specs.emit(upsert())
    node.rounds(1)
    assert enforced(node) == ("True", "Applied", "")
