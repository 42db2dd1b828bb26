"""Which descheduler policies in ConfigMaps would evict best-effort pods, and why.

What each rule here rests on was tried with descheduler 0.36 (docs/schedulers.md). v1alpha2 is read as
`pkg/api/v1alpha2/types.go` has it, v1alpha1 as `api/v1alpha1/types.go` of its last release had it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from colocation.model.names import BE_CPU, BE_MEMORY, GATE
from colocation.neighbours.selectors import SELECTS_OTHERS, leaves_out, listing, mapping, title, whole

KIND: Final = "DeschedulerPolicy"
BE_PRIORITY: Final = -100
PLAIN: Final = ("cpu", "memory")
UTILIZATION: Final = ("LowNodeUtilization", "HighNodeUtilization")
OURS: Final = "colocation_node_allocated"
"""A Prometheus query that names this metric judges nodes by best-effort work, on purpose."""
Load = Callable[[str], object]


_BY_USE: Final = (
    "judges nodes by real use, and best-effort work fills idle CPU by design: every busy node looks overloaded, and "
    "best-effort pods are evicted first"
)
_BY_REQUESTS: Final = (
    "judges nodes by the cpu and memory that pods request: best-effort pods request none, so they are evicted first, "
    "all of a node's in one cycle, and nothing is freed by it"
)


class Profile(NamedTuple):
    """One profile, in whichever version it was written."""

    where: str
    plugins: dict[str, dict[str, Any]]
    """Those that are enabled and evict, with their arguments."""
    leaves_out: bool
    node_fit: bool
    remedy: str
    """How this version leaves best-effort pods out."""


def warnings(configmaps: Iterable[dict[str, Any]], load: Load) -> list[str]:
    """A sentence for each way in which a profile would harm best-effort pods."""
    found: list[str] = []
    for configmap in configmaps:
        for key, text in sorted(mapping(configmap.get("data")).items()):
            if isinstance(text, str) and KIND in text:
                found += _read(f"{title(configmap, 'ConfigMap')}, key {key}", text, load)
    return found


def _read(where: str, text: str, load: Load) -> list[str]:
    try:
        policy = load(text)
    except ValueError as error:
        return (
            [f"{where}: a {KIND} that is no YAML ({error}); it was not looked at."] if f"kind: {KIND}" in text else []
        )
    if not isinstance(policy, dict) or policy.get("kind") != KIND:
        return []
    version = str(policy.get("apiVersion", "")).rpartition("/")[2]
    if version == "v1alpha1":
        return [sentence for profile in _old(where, policy) for sentence in _judge(profile)]
    if version == "v1alpha2":
        return [sentence for profile in _new(where, policy) for sentence in _judge(profile)]
    return [f"{where}: a {KIND} of version {version or 'none'}, which is not known here; it was not looked at."]


def _new(where: str, policy: dict[str, Any]) -> Iterator[Profile]:
    for number, raw in enumerate(listing(policy.get("profiles"))):
        given = mapping(raw)
        args = {row.get("name"): mapping(row.get("args")) for row in map(mapping, listing(given.get("pluginConfig")))}
        plugins = mapping(given.get("plugins"))
        enabled = [
            str(name)
            for point in ("deschedule", "balance")
            for name in listing(mapping(plugins.get(point)).get("enabled"))
        ]
        evictor = args.get("DefaultEvictor", {})
        threshold = mapping(evictor.get("priorityThreshold"))
        yield Profile(
            f"{where}, profile {given.get('name') or number}",
            {name: args.get(name, {}) for name in enabled},
            leaves_out(evictor.get("labelSelector")) or _protects(threshold.get("value"), threshold.get("name")),
            bool(evictor.get("nodeFit", False)),
            f"args of its DefaultEvictor: labelSelector: {SELECTS_OTHERS}",
        )


def _old(where: str, policy: dict[str, Any]) -> Iterator[Profile]:
    """Each strategy is a profile of its own: there, filters belong to strategies."""
    for name, raw in sorted(mapping(policy.get("strategies")).items()):
        strategy = mapping(raw)
        params = mapping(strategy.get("params"))
        # Strategies that judge nodes took no labelSelector.
        selects = name not in UTILIZATION and leaves_out(params.get("labelSelector"))
        protects = _protects(params.get("thresholdPriority"), params.get("thresholdPriorityClassName"))
        args = {**mapping(params.get("nodeResourceUtilizationThresholds"))}
        if strategy.get("enabled"):
            yield Profile(
                f"{where} (v1alpha1, which descheduler 0.36 refuses)",
                {str(name): args},
                selects or protects,
                bool(params.get("nodeFit", False)),
                f"v1alpha2 can, by the args of DefaultEvictor: labelSelector: {SELECTS_OTHERS}",
            )


def _protects(value: object, name: object) -> bool:
    """A threshold keeps pods of this priority and above: one that keeps best-effort pods keeps every pod."""
    number = whole(value)
    return name == "priority-be" or (number is not None and number <= BE_PRIORITY)


def _judge(profile: Profile) -> Iterator[str]:
    for name in UTILIZATION:
        if name in profile.plugins:
            yield from _utilization(profile, name, profile.plugins[name])
    if profile.plugins and not profile.leaves_out and not profile.node_fit:
        yield (
            f"{profile.where}: nodeFit is off, so {', '.join(sorted(profile.plugins))} evicts best-effort pods though "
            "no other node takes them, and they stay Pending; set nodeFit: true, which knows our gate."
        )


def _utilization(profile: Profile, name: str, args: dict[str, Any]) -> Iterator[str]:
    where = f"{profile.where}: {name}"
    keys = {str(key) for part in ("thresholds", "targetThresholds") for key in mapping(args.get(part))}
    if GATE in keys:
        yield (
            f"{where} has {GATE} in its thresholds: a node that is closed to best-effort pods has no such resource, "
            "counts as empty, and becomes a destination; take it out."
        )
    ours = sorted(keys & {BE_CPU, BE_MEMORY})
    if ours and name == "LowNodeUtilization":
        yield (
            f"{where} has {', '.join(ours)} in its thresholds: a node that is exactly full is not overloaded, and a "
            "healthy pod is evicted from it in every cycle, without end; take it out, and let the manager move pods "
            "(evict.cpu.closedSeconds of the policy)."
        )
    if profile.leaves_out or _spares(name, args):
        return
    source = _source(args)
    if source == "Prometheus":
        query = str(mapping(mapping(args.get("metricsUtilization")).get("prometheus")).get("query", ""))
        if OURS not in query:
            yield (
                f"{where} judges nodes by a query of its own, and best-effort work fills idle CPU by design: it would "
                f"be evicted from each busy node. Leave best-effort pods out ({profile.remedy})."
            )
    elif source or keys & set(PLAIN):
        yield f"{where} {_BY_USE if source else _BY_REQUESTS}. Leave them out ({profile.remedy})."


def _source(args: dict[str, Any]) -> str:
    """Where real use is read; empty for requests."""
    metrics = mapping(args.get("metricsUtilization"))
    return str(metrics.get("source") or ("KubernetesMetrics" if metrics.get("metricsServer") else ""))


def _spares(name: str, args: dict[str, Any]) -> bool:
    """HighNodeUtilization can be kept to pods that request what its thresholds name."""
    return name == "HighNodeUtilization" and "OnlyThresholdingResources" in listing(args.get("evictionModes"))
