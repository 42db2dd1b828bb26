# SPDX-License-Identifier: Apache-2.0
"""The manager's loop alone, warm and without a server: `python -m tests.bench.warm NODES PODS` prints JSON.

A process of its own, so that what is resident is the manager's state and nothing else. Every object comes in as
JSON through the manager's own decoders, as from a watch.
"""

from __future__ import annotations

import gc
import queue
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct

from colocation.kube.bucket import Bucket
from colocation.kube.cache import Synced, Upsert
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.manager.loop import Loop
from colocation.manager.metrics import Metrics
from colocation.manager.patches import Job, wanted_spec
from colocation.manager.publisher import Outbox
from colocation.manager.state import NodeState, candidate, colocation_facts
from colocation.model.facts import Published, node_facts, pod_facts
from colocation.model.wire import ColocationPolicy, Node, NodeColocation, Pod
from tests.bench import made
from tests.bench.process import resident_mib


class Warm(Struct):
    """What was measured."""

    base_mib: float
    resident_mib: float
    recompute_seconds: float
    """Every node is decided again, pods and reports as before."""
    cold_seconds: float
    """Every node is decided for the first time."""
    report_seconds: float
    """CPU per report: decoded, taken in, its node decided."""


class _Nobody:
    """NOT a writer: what is decided here goes nowhere."""

    def submit(self, job: Job) -> None:
        """Forget it."""


def measure(nodes: int, pods_each: int) -> Warm:
    """Fill a loop and time it."""
    base = resident_mib("self")
    loop = Loop(Outbox(_Nobody(), Bucket(0, 1, 0.0)), Metrics(), lambda: 0.0, lambda: True, queue.SimpleQueue())
    as_node, as_pod = msgspec.json.Decoder(Node), msgspec.json.Decoder(Pod)
    as_ncol = msgspec.json.Decoder(NodeColocation)
    policy = msgspec.convert(made.POLICY, ColocationPolicy)
    loop.handle(Upsert(POLICIES, "bench", candidate(policy), True), 0.0)
    for on in range(nodes):
        body = made.node(on)
        name = made.node_name(on)
        body["metadata"] |= {"uid": _uid(on, 999), "resourceVersion": str(on + 1)}
        loop.handle(Upsert(NODES, name, node_facts(as_node.decode(msgspec.json.encode(body))), True), 0.0)
        for number in range(pods_each):
            body = made.pod(number, on)
            body["metadata"]["uid"] = _uid(on, number)
            body["status"] = {"phase": "Running"}
            wire = as_pod.decode(msgspec.json.encode(body))
            fact = pod_facts(wire)
            if fact is not None:
                loop.handle(Upsert(PODS, f"default/{wire.metadata.name}", fact, True), 0.0)
        loop.handle(Upsert(NODE_COLOCATIONS, name, colocation_facts(as_ncol.decode(_ncol(on, pods_each))), True), 0.0)
    for resource in (NODES, PODS, POLICIES, NODE_COLOCATIONS):
        loop.handle(Synced(resource), 0.0)
    cold = _cpu(lambda: loop.step(1.0))
    for node in loop.state.nodes.values():
        _answered(node)
    gc.collect()

    def again() -> None:
        loop.state.dirty.update(loop.state.nodes)
        loop.step(1.0)

    recompute = min(_cpu(again) for _ in range(3))
    kept = resident_mib("self")

    bodies = [(made.node_name(on), _ncol(on, pods_each, 1)) for on in range(0, nodes, max(1, nodes // 2000))]

    def reports() -> None:
        for name, body in bodies:
            loop.handle(Upsert(NODE_COLOCATIONS, name, colocation_facts(as_ncol.decode(body)), False), 2.0)
            loop.step(2.0)

    return Warm(base, kept, recompute, cold, _cpu(reports) / len(bodies))


def _answered(node: NodeState) -> None:
    """As if every write had been answered: nothing is left to be written, and deciding is all that is timed."""
    assert node.facts is not None
    assert node.evaluation is not None
    assert node.colocation is not None
    said = node.evaluation.decision
    published = Published(said.cpu, said.memory, said.gate)
    node.facts = msgspec.structs.replace(node.facts, published=published, withdrawn=said.withdrawn)
    node.colocation = msgspec.structs.replace(node.colocation, spec=wanted_spec(node, node.facts))


def _ncol(on: int, pods_each: int, shift: int = 0) -> bytes:
    uids = [_uid(on, number) for number in range(pods_each)]
    return msgspec.json.encode(
        {
            "metadata": {
                "name": made.node_name(on),
                "uid": _uid(on, 998),
                "resourceVersion": str(10**6 + shift),
                "ownerReferences": [{"kind": "Node", "uid": _uid(on, 999)}],
            },
            "spec": {},
            "status": made.report(f"2026-11-21T00:00:0{shift}Z", uids, shift=shift),
        }
    )


def _uid(on: int, number: int) -> str:
    return f"{on:08x}-0000-4000-8000-{number:012x}"


def _cpu(do: Callable[[], Any]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(measure(int(sys.argv[1]), int(sys.argv[2]))).decode() + "\n")
