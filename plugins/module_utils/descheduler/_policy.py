# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""The DeschedulerPolicy (v1alpha2, descheduler 0.36) that the role's variables ask for, and what is wrong with them."""

from __future__ import annotations

import difflib
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import BE_CPU, BE_MEMORY, GATE, QOS_LABEL
from ansible_collections.openfuyao.colocation.plugins.module_utils.neighbours._selectors import listing, mapping, whole

Policy = t.Dict[str, t.Any]

ONLY_BE: Policy = {"matchLabels": {QOS_LABEL: "BE"}}
NOT_BE: Policy = {"key": QOS_LABEL, "operator": "NotIn", "values": ["BE"]}
QUERY = (
    "label_replace(clamp_max(max by (node) (colocation_node_allocated_cpu_cores) / "
    "(2 * clamp_min(max by (node) (colocation_node_headroom_cpu_cores), 0.001)), 1), "
    '"instance", "$1", "node", "(.*)")'
)
"""allocated / (2 x headroom): 0.5 is exactly full."""
PROFILES = ("balance", "compact", "tidy")
POINTS = {
    "HighNodeUtilization": "balance",
    "LowNodeUtilization": "balance",
    "PodLifeTime": "deschedule",
    "RemoveDuplicates": "balance",
    "RemoveFailedPods": "deschedule",
    "RemovePodsHavingTooManyRestarts": "deschedule",
    "RemovePodsViolatingInterPodAntiAffinity": "deschedule",
    "RemovePodsViolatingNodeAffinity": "deschedule",
    "RemovePodsViolatingNodeTaints": "deschedule",
    "RemovePodsViolatingTopologySpreadConstraint": "balance",
}
"""Each classical strategy, and where a profile of v1alpha2 names it."""
UTILIZATION = ("HighNodeUtilization", "LowNodeUtilization")
FILTERS = (
    "evict_local_storage",
    "exclude_namespaces",
    "include_namespaces",
    "keep_volume_claims",
    "keep_without_pdb",
    "labels",
    "min_replicas",
    "priority",
    "priority_class",
)
LIMITS = {
    "namespace": "maxNoOfPodsToEvictPerNamespace",
    "node": "maxNoOfPodsToEvictPerNode",
    "total": "maxNoOfPodsToEvictTotal",
}


def policy(asked: Policy) -> Policy:
    """For variables without problems."""
    profiles = [_OURS[name](asked) for name in PROFILES if name in listing(asked.get("profiles"))]
    if mapping(asked.get("strategies")):
        profiles.append(_online(asked))
    profiles += listing(asked.get("profiles_raw"))
    document: Policy = {"apiVersion": "descheduler/v1alpha2", "kind": "DeschedulerPolicy", "profiles": profiles}
    for name, value in mapping(asked.get("limits")).items():
        if value is not None:
            document[LIMITS[name]] = whole(value)
    if "balance" in listing(asked.get("profiles")):
        document["nodeSelector"] = "node.openfuyao.com/colocation=true"
        document["metricsProviders"] = [{"source": "Prometheus", "prometheus": {"url": asked["prometheus_url"]}}]
    return document


def _profile(name: str, evictor: Policy, plugins: t.Mapping[str, Policy]) -> Policy:
    rows = [{"name": "DefaultEvictor", "args": {"nodeFit": True, **evictor}}]
    rows += [{"name": plugin, "args": args} for plugin, args in plugins.items()]  # without a row it is refused
    points: Policy = {}
    for plugin in plugins:
        points.setdefault(POINTS[plugin], {"enabled": []})["enabled"].append(plugin)
    return {"name": name, "pluginConfig": rows, "plugins": points}


def _balance(asked: Policy) -> Policy:
    args = {
        "thresholds": {"MetricResource": 40},
        "targetThresholds": {"MetricResource": 50},
        "metricsUtilization": {"source": "Prometheus", "prometheus": {"query": QUERY}},
    }
    return _profile("balance", {"labelSelector": ONLY_BE}, {"LowNodeUtilization": args})


def _compact(asked: Policy) -> Policy:
    args = {"thresholds": {BE_CPU: 20, BE_MEMORY: 20}, "evictionModes": ["OnlyThresholdingResources"]}
    return _profile("compact", {"labelSelector": ONLY_BE}, {"HighNodeUtilization": args})


def _tidy(asked: Policy) -> Policy:
    refused = {"reasons": [f"OutOf{name}" for name in (BE_CPU, BE_MEMORY, GATE)], "minPodLifetimeSeconds": 60}
    restarts = {"podRestartThreshold": 100, "includingInitContainers": True}
    plugins = {"RemoveFailedPods": refused, "RemovePodsHavingTooManyRestarts": restarts}
    return _profile("tidy", {"labelSelector": ONLY_BE}, plugins)


_OURS: t.Dict[str, t.Callable[[Policy], Policy]] = {"balance": _balance, "compact": _compact, "tidy": _tidy}


def _online(asked: Policy) -> Policy:
    """The classical strategies for all pods but best-effort ones."""
    filters = mapping(asked.get("filters"))
    labels = mapping(filters.get("labels"))
    selector = {**labels, "matchExpressions": [*listing(labels.get("matchExpressions")), NOT_BE]}
    evictor: Policy = {"labelSelector": selector}
    if filters.get("priority") is not None:
        evictor["priorityThreshold"] = {"value": whole(filters["priority"])}
    elif filters.get("priority_class"):
        evictor["priorityThreshold"] = {"name": filters["priority_class"]}
    if filters.get("min_replicas") is not None:
        evictor["minReplicas"] = whole(filters["min_replicas"])
    for ours, theirs in (
        ("evict_local_storage", "evictLocalStoragePods"),
        ("keep_volume_claims", "ignorePvcPods"),
        ("keep_without_pdb", "ignorePodsWithoutPDB"),
    ):
        if filters.get(ours) is not None:
            evictor[theirs] = bool(filters[ours])
    plugins = {name: _within(name, mapping(args), filters) for name, args in sorted(mapping(asked["strategies"]).items())}
    return _profile("online", evictor, plugins)


def _within(name: str, args: Policy, filters: Policy) -> Policy:
    """The arguments with the namespaces of the filters; a strategy that judges nodes can only leave namespaces out."""
    include, exclude = listing(filters.get("include_namespaces")), listing(filters.get("exclude_namespaces"))
    if not include and not exclude:
        return args
    if name in UTILIZATION:
        return {"evictableNamespaces": {"exclude": exclude}, **args} if exclude else args
    return {"namespaces": {"include": include} if include else {"exclude": exclude}, **args}


def problems(asked: Policy) -> t.List[str]:
    """A sentence for each variable that cannot be."""
    profiles, strategies = listing(asked.get("profiles")), mapping(asked.get("strategies"))
    raw, filters = listing(asked.get("profiles_raw")), mapping(asked.get("filters"))
    wrong = [_unknown("profiles", "profile", name, PROFILES) for name in profiles if name not in PROFILES]
    wrong += [_unknown("strategies", "strategy", name, POINTS) for name in strategies if name not in POINTS]
    wrong += [_unknown("filters", "filter", name, FILTERS) for name in filters if name not in FILTERS]
    wrong += _limits(mapping(asked.get("limits")))
    if not (profiles or strategies or raw):
        wrong.append("Neither colocation_descheduler_profiles nor _strategies nor _profiles_raw asks for anything.")
    if "balance" in profiles:
        url = str(asked.get("prometheus_url") or "")
        if not url.startswith(("http://", "https://")):
            wrong.append(
                f"The profile balance needs colocation_descheduler_prometheus_url, an http or https address, not {url!r}. "
                "Without a Prometheus let the manager move pods: evict.cpu.closedSeconds of the policy."
            )
    wrong += [sentence for name in UTILIZATION if name in strategies for sentence in _thresholds(name, mapping(strategies[name]))]
    wrong += _contradictions(filters, strategies)
    return [*wrong, *_raw(raw, [*profiles, *(["online"] if strategies else [])])]


def _unknown(variable: str, what: str, name: object, known: t.Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(str(name), names, 1, 0.5)
    hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(names)}."
    return f"colocation_descheduler_{variable} has no {what} {name}. {hint}"


def _limits(limits: Policy) -> t.Iterator[str]:
    for name, value in limits.items():
        if name not in LIMITS:
            yield _unknown("limits", "limit", name, LIMITS)
        elif value is not None and (whole(value) is None or int(value) < 1):
            yield f"colocation_descheduler_limits.{name} is {value}; it is a number of pods, 1 or more."


def _thresholds(name: str, args: Policy) -> t.Iterator[str]:
    where = f"colocation_descheduler_strategies.{name}"
    low, high = mapping(args.get("thresholds")), mapping(args.get("targetThresholds"))
    if not low or (name == "LowNodeUtilization" and not high):
        both = "thresholds and targetThresholds" if name == "LowNodeUtilization" else "thresholds"
        yield f"{where} needs {both}, in percent."
        return
    for part, values in (("thresholds", low), ("targetThresholds", high)):
        for key, value in values.items():
            number = whole(value)
            if number is None or not 0 <= number <= 100:
                yield f"{where}.{part}.{key} is {value}; it is a percentage, a whole number of 0 to 100."
    if name == "HighNodeUtilization":
        if high:
            yield f"{where} takes no targetThresholds: it empties nodes that are below its thresholds."
        return
    only = sorted(set(low) ^ set(high))
    if only:
        yield f"{where} has {', '.join(only)} in only one of thresholds and targetThresholds; both name the same resources."
    for key in sorted(set(low) & set(high)):
        least, most = whole(low[key]), whole(high[key])
        if least is not None and most is not None and least > most:
            yield (
                f"{where}: the threshold {least} of {key} is above its target threshold {most}, so that a node would be "
                "both under- and overutilised."
            )
        if key in (BE_CPU, BE_MEMORY, GATE) and not args.get("useDeviationThresholds"):
            yield (
                f"{where} names {key}: published is never below allocated, so a full node looks overloaded, and it evicts in "
                "every cycle without end; take it out, and use the profile balance."
            )


def _contradictions(filters: Policy, strategies: Policy) -> t.Iterator[str]:
    if filters and not strategies:
        yield "colocation_descheduler_filters filter the pods of colocation_descheduler_strategies, and there are none."
    if listing(filters.get("include_namespaces")) and listing(filters.get("exclude_namespaces")):
        yield "colocation_descheduler_filters has include_namespaces and exclude_namespaces; the descheduler takes one of them."
    if listing(filters.get("include_namespaces")):
        for name in sorted(set(strategies) & set(UTILIZATION)):
            yield f"{name} judges whole nodes and can only leave namespaces out: use exclude_namespaces."
    if filters.get("priority") is not None and filters.get("priority_class"):
        yield "colocation_descheduler_filters has priority and priority_class; the descheduler takes one of them."
    for name in ("min_replicas", "priority"):
        if filters.get(name) is not None and whole(filters[name]) is None:
            yield f"colocation_descheduler_filters.{name} is {filters[name]}; it is a whole number."


def _raw(raw: t.List[t.Any], taken: t.List[str]) -> t.Iterator[str]:
    names = list(taken)
    for at, given in enumerate(raw):
        where = f"colocation_descheduler_profiles_raw[{at}]"
        profile = mapping(given)
        if "strategies" in profile or str(profile.get("apiVersion", "")).endswith("v1alpha1"):
            yield (
                f"{where} is a policy of v1alpha1, which descheduler 0.36 refuses; write its strategies under "
                "colocation_descheduler_strategies and what filtered their pods under colocation_descheduler_filters."
            )
        elif "profiles" in profile:
            yield f"{where} is a whole policy; list its profiles instead."
        elif not profile.get("name") or not mapping(profile.get("plugins")):
            yield f"{where} is no profile of v1alpha2, which has name, pluginConfig and plugins."
        elif profile["name"] in names:
            yield f"{where}: a second profile is called {profile['name']}; name it differently."
        names.append(str(profile.get("name")))
