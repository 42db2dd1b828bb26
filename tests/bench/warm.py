# SPDX-License-Identifier: Apache-2.0
"""The manager's loop alone, warm and without a server: `python -m tests.bench.warm NODES PODS MINUTES` prints JSON.

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
from msgspec import Raw, Struct

from colocation.kube.bucket import Bucket
from colocation.kube.cache import Reflector, Synced
from colocation.kube.resources import NODE_COLOCATIONS, NODES, PODS, POLICIES
from colocation.manager.events import Events
from colocation.manager.events import nobody as events_to_nobody
from colocation.manager.evictions import Evictions
from colocation.manager.evictor import nobody as nobody_leaves
from colocation.manager.loop import Loop
from colocation.manager.metrics import Metrics
from colocation.manager.node import NodeState, colocation_facts, policy_facts
from colocation.manager.patches import Job, wanted_spec
from colocation.manager.publisher import Outbox
from colocation.model.facts import Published, node_facts, pod_facts
from colocation.model.wire import Node, NodeColocation, Pod, StoredPolicy
from tests.bench import made
from tests.bench.process import resident_mib


class Warm(Struct):
    """What was measured."""

    base_mib: float
    resident_mib: float
    recompute_seconds: float
    """Every node is decided again, pods and reports as before: its sums are kept."""
    scratch_seconds: float
    """The same with every pod looked at again: no sum is kept."""
    edit_seconds: float
    """A policy is edited: every node is matched and decided again, and a patch made."""
    cold_seconds: float
    """Every node is decided for the first time."""
    report_seconds: float
    """CPU per report: decoded, taken in, its node decided."""
    churned_mib: float
    """Resident after the churn."""
    churn_mib: float
    """Growth over the last ten minutes of it."""


class _Nobody:
    """NOT a writer: what is decided here goes nowhere."""

    def submit(self, job: Job) -> None:
        """Forget it."""


def measure(nodes: int, pods_each: int, churn_minutes: int = 40) -> Warm:
    """Fill a loop and time it."""
    base = resident_mib("self")
    events = Events(events_to_nobody, "bench", lambda: 0.0)
    metrics = Metrics()
    evictions = Evictions(nobody_leaves, events, metrics, 0, 0.0)
    outbox = Outbox(_Nobody(), Bucket(0, 1, 0.0))
    loop = Loop(outbox, metrics, events, evictions, lambda: 0.0, lambda: True, lambda: 0.0, queue.SimpleQueue())
    # What a reflector does with each object of a list or watch; nobody is asked for one.
    nobody: Any = None

    def tell(event: object) -> None:
        loop.handle(event, 1.0)

    policies: Reflector[Any, Any] = Reflector(nobody, POLICIES, StoredPolicy, policy_facts, tell)
    of_nodes: Reflector[Any, Any] = Reflector(nobody, NODES, Node, node_facts, tell)
    of_pods: Reflector[Any, Any] = Reflector(nobody, PODS, Pod, pod_facts, tell)
    of_ncols: Reflector[Any, Any] = Reflector(nobody, NODE_COLOCATIONS, NodeColocation, colocation_facts, tell)
    policies._hand_on(_raw(made.POLICY), listed=True)
    for on in range(nodes):
        body = made.node(on)
        body["metadata"] |= {"uid": made.uid(on, 999), "resourceVersion": str(on + 1)}
        of_nodes._hand_on(_raw(body), listed=True)
        for number in range(pods_each):
            of_pods._hand_on(_pod(number, on), listed=True)
        of_ncols._hand_on(_ncol(on, pods_each), listed=True)
    for resource in (NODES, PODS, POLICIES, NODE_COLOCATIONS):
        loop.handle(Synced(resource), 0.0)
    cold = _cpu(lambda: loop.step(1.0))
    for node in loop.state.nodes.values():
        _answered(node)
    gc.collect()

    def again() -> None:
        loop.state.dirty.update(loop.state.nodes)
        loop.step(1.0)

    def from_scratch() -> None:
        for node in loop.state.nodes.values():
            node.sums = node.be_rows = node.evaluation = None
            node.selected = False
        again()

    recompute = min(_cpu(again) for _ in range(3))
    scratch = min(_cpu(from_scratch) for _ in range(2))
    body = {**made.POLICY, "metadata": {"name": "bench", "generation": 2}}
    body["spec"] = {"oversell": {"cpu": {"reclaimPercent": 61}}}
    policies._hand_on(_raw(body), listed=False)
    edited = _cpu(lambda: loop.step(1.0))
    for node in loop.state.nodes.values():
        _answered(node)
    loop._outbox.clear()
    kept = resident_mib("self")

    bodies = [_ncol(on, pods_each, 1) for on in range(0, nodes, max(1, nodes // 2000))]

    def reports() -> None:
        for body in bodies:
            of_ncols._hand_on(body, listed=False)
            loop.step(1.0)

    each = _cpu(reports) / len(bodies)

    replaced = dict.fromkeys(range(nodes), 0)

    def churn(minute: int) -> None:
        """Every node reports once, and one pod in fifty is replaced by another."""
        for on in range(nodes):
            of_ncols._hand_on(_ncol(on, pods_each, minute, replaced[on]), listed=False)
            if on % 5 == minute % 5:
                replaced[on] = minute
                for number in range(pods_each // 10):
                    of_pods._hand_on(_pod(number, on, minute), listed=False)
            if on % 50 == 0:
                loop.step(60.0 * minute)
        loop._outbox.clear()

    sizes = [resident_mib("self")]
    for minute in range(2, 2 + churn_minutes):
        churn(minute)
        sizes.append(resident_mib("self"))
    return Warm(base, kept, recompute, scratch, edited, cold, each, sizes[-1], sizes[-1] - sizes[-11])


def _answered(node: NodeState) -> None:
    """As if every write had been answered: nothing is left to be written, and deciding is all that is timed."""
    assert node.facts is not None
    assert node.evaluation is not None
    assert node.colocation is not None
    given = node.evaluation.decision
    published = Published(given.cpu, given.memory, given.gate)
    node.facts = msgspec.structs.replace(node.facts, published=published, withdrawn=given.withdrawn)
    node.colocation = msgspec.structs.replace(node.colocation, spec=wanted_spec(node, node.facts))


def _raw(body: dict[str, Any]) -> Raw:
    return Raw(msgspec.json.encode(body))


def _pod(number: int, on: int, minute: int = 0) -> Raw:
    body = made.pod(number, on)
    body["metadata"]["uid"] = made.uid(on, number + 1000 * minute)
    body["status"] = {"phase": "Running"}
    return _raw(body)


def _ncol(on: int, pods_each: int, shift: int = 0, replaced: int = 0) -> Raw:
    """``replaced``: the minute in which a tenth of the node's pods became others."""
    uids = [made.uid(on, n + 1000 * replaced * (n < pods_each // 10)) for n in range(pods_each)]
    return _raw(
        {
            "metadata": {
                "name": made.node_name(on),
                "uid": made.uid(on, 998),
                "resourceVersion": str(10**6 + shift),
                "ownerReferences": [{"kind": "Node", "uid": made.uid(on, 999)}],
            },
            "spec": {},
            "status": made.report(made.stamp(shift), uids, shift=shift),
        }
    )


def _cpu(do: Callable[[], Any]) -> float:
    began = time.process_time()
    do()
    return time.process_time() - began


if __name__ == "__main__":
    sys.stdout.write(msgspec.json.encode(measure(*map(int, sys.argv[1:]))).decode() + "\n")
