"""Who uses what is offered: allocated be-cpu and be-memory and the use of best-effort pods, by namespace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from colocation.model.facts import PodFacts, Qos
from colocation.model.report import PodUsage


class Share(Struct, frozen=True, gc=False):
    """One namespace on one node, millicores and bytes; None: no report has its use."""

    cpu: int = 0
    memory: int = 0
    cpu_used: int | None = None
    memory_used: int | None = None

    def __add__(self, other: Share) -> Share:
        """Both together."""
        return Share(
            self.cpu + other.cpu,
            self.memory + other.memory,
            _both(self.cpu_used, other.cpu_used),
            _both(self.memory_used, other.memory_used),
        )


def shares(pods: Iterable[PodFacts], rows: Mapping[str, PodUsage]) -> dict[str, Share]:
    """The shares of all namespaces that have such pods here; ``rows``: the report's rows by cgroup uid."""
    found: dict[str, Share] = {}
    for pod in pods:
        if pod.qos is not Qos.BE and not pod.requests_be:
            continue
        namespace = pod.name.partition("/")[0]
        row = rows.get(pod.cgroup_uid) if pod.qos is Qos.BE else None
        share = Share(
            pod.be_cpu, pod.be_memory, row.cpu if row is not None else None, row.memory if row is not None else None
        )
        found[namespace] = found.get(namespace, Share()) + share
    return found


def _both(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else one + other
