"""PromQL, as text. Pure.

Every sum is over the maximum by container, so that the series of two Prometheus replicas, or of a kubelet that is
scraped twice, count once. `rate` takes care of counters that start again from 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from colocation.assess.shape import STEP

CPU: Final = "container_cpu_usage_seconds_total"
MEMORY: Final = "container_memory_working_set_bytes"
CPU_RULE: Final = "node_namespace_pod_container:container_cpu_usage_seconds_total:sum_rate5m"
"""A recording rule of kube-prometheus that is the very rate that we would ask for."""
NODE_LABELS: Final = ("node", "kubernetes_io_hostname", "nodename", "instance")
_CONTAINERS: Final = 'pod!="",container!="",container!="POD"'
_PODS: Final = 'pod!="",container=""'


class Dialect(Struct, frozen=True, kw_only=True):
    """How this Prometheus names things."""

    label: str = "node"
    """Of cAdvisor's series: which node."""
    pod_level: bool = False
    """There is no series of single containers: pods' own cgroups count."""
    rule: bool = False
    """The recording rule is there."""
    window: int = STEP
    """Seconds for a rate: two scrapes must fall into it."""
    root: bool = True
    """There are series of the whole node, cgroup `/`."""

    def nodes(self, values: Iterable[str]) -> str:
        """A matcher for these nodes."""
        text = "|".join(re.escape(value).replace("\\-", "-") for value in values).replace("\\", "\\\\")
        return f'{self.label}=~"{text}"'


def window_for(scrape_seconds: int) -> int:
    """Two scrapes fall into it, even if one comes late; whole minutes, and the usual five where that is enough."""
    return max(STEP, -(-(scrape_seconds * 5 // 2) // 60) * 60)


def pods_cpu(dialect: Dialect, matcher: str) -> str:
    """Cores by pod."""
    if dialect.rule:
        rate = f'{CPU_RULE}{{{matcher},pod!=""}}'
    else:
        rate = f"rate({CPU}{{{matcher},{_which(dialect)}}}[{dialect.window}s])"
    return _by_pod(dialect, rate)


def pods_memory(dialect: Dialect, matcher: str) -> str:
    """Bytes by pod: the largest of the five minutes, because memory cannot be throttled."""
    return _by_pod(dialect, f"max_over_time({MEMORY}{{{matcher},{_which(dialect)}}}[{dialect.window}s])")


def all_pods(dialect: Dialect, by_pod: str) -> str:
    """The same by node."""
    return f"sum by ({dialect.label}) ({by_pod})"


def node_cpu(dialect: Dialect, matcher: str) -> str:
    """Cores of whole nodes."""
    return f'max by ({dialect.label}) (rate({CPU}{{{matcher},id="/"}}[{dialect.window}s]))'


def node_memory(dialect: Dialect, matcher: str) -> str:
    """Bytes of whole nodes."""
    return f'max by ({dialect.label}) (max_over_time({MEMORY}{{{matcher},id="/"}}[{dialect.window}s]))'


def hourly(function: str, query: str) -> str:
    """Mean or maximum of the hour's steps: ``function`` is avg or max."""
    return f"{function}_over_time(({query})[1h:{STEP}s])"


def requests(nodes: Sequence[str], hours: int) -> str:
    """What pods requested, of kube-state-metrics: also of those that are gone."""
    matcher = Dialect().nodes(nodes)
    inner = f'kube_pod_container_resource_requests{{{matcher},resource=~"cpu|memory|kubernetes_io_be_cpu"}}'
    return (
        "sum by (namespace, pod, resource) (max by (namespace, pod, container, resource) "
        f"(max_over_time({inner}[{max(1, hours)}h:1h])))"
    )


def _which(dialect: Dialect) -> str:
    return _PODS if dialect.pod_level else _CONTAINERS


def _by_pod(dialect: Dialect, inner: str) -> str:
    label = dialect.label
    return f"sum by ({label}, namespace, pod) (max by ({label}, namespace, pod, container) ({inner}))"
