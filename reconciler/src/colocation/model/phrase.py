"""Sentences about a node's number as codes and values, so that others can say them in other languages.

`ENGLISH` is the one place where their English stands; the console's catalogues translate the same codes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from msgspec import Struct, field

from colocation.model.quantity import human_bytes, human_millicores

Value = int | float | str

ENGLISH: Final[dict[str, str]] = {
    # Why a node has its number.
    "withdrawn": "withdrawn:",
    "unlabelled": "the node is not labelled {label}=true",
    "noPolicy": "no ColocationPolicy selects this node",
    "disabled": "policy {policy} is disabled",
    "invalidReport": "the report cannot be used: {problem}",
    "noReport": "no report has arrived yet",
    "staleReport": "no report for {staleSeconds} s: the agent is silent",
    "closed": "closed to new BE pods:",
    "headroomBelow": "headroom {headroom} is below the {allocated} allocated",
    "podsFull": "maxPods is {maxPods}, and {boundPods} best-effort pods are bound here",
    "evicting": "{eviction}",
    "closedBefore": "it was closed, and the agent has not reported since the manager started",
    "foreign": "the numbers that are here stand: they are another manager's",
    "awaited": "the numbers that are here stand: until the agent's first report",
    "held": "held until the agent reports again (the manager has just started)",
    "problem": "nothing, because {problem}",
    "growing": "{headroom}, growing to {result} when that has lasted",
    "taken": "nothing, because online use, system and margin take {taken} of {capacity}",
    "ceiling": "{headroom}, the most that maxPercent allows",
    "left": "{headroom} of {capacity} left beside online use {online}",
    # Why a policy is the node's.
    "onlyPolicy": "the only policy that selects this node",
    "higherPriority": "priority {priority} is above that of {others}",
    "samePriority": "same priority {priority} as {other}; {winner} sorts first",
    # Where a term of the sum comes from.
    "report": "report:",
    "reportAge": "report, {ageSeconds} s old:",
    "largest": "the largest of:",
    "ofCapacity": "Node.status.capacity",
    "ofMargin": "policy {policy}: reclaimPercent {reclaimPercent} keeps back the rest",
    "outsidePods": "measured {measured} outside pods",
    "notMeasured": "not measured outside pods",
    "reserved": "reserved {reserved}",
    "annotated": "annotation {annotated}",
    "ofOnline": "HLS and LS pods, strategy {strategy} of policy {policy}",
    "ofForecast": "learnt pods together: now {usage}, peak within an hour {expected} + margin {margin} = {peak} "
    "(violations allowed {allowedPercent} %, seen {seenPercent} %; peaks one by one: {podPeaks})",
    "ofUnrequested": "use of BE pods that asked for no be-*",
    "ofOverhead": "RuntimeClass overhead of BE pods, in plain cpu and memory",
    # What would change the number.
    "fix": "nothing can be published until this is fixed: {problem}",
    "opens": "the node opens when {missing} less are allocated, or as much more is free",
    "time": "time: in {leftSeconds} s it grows, to at most {result}, if nothing changes",
    "moreCeiling": "maxPercent: beyond its {ceiling} another {beyond} are free",
    "firstQuantum": "{missing} less of online or system use, or {morePoints} more points of reclaimPercent, before the "
    "first quantum is published",
    "nextQuantum": "{missing} less use publishes {quantum} more; a point of reclaimPercent is {point}",
    "morePods": "maxPods: at least {atLeastPods}, or fewer best-effort pods, before new ones may come",
    "silence": "silence: without a report within {leftSeconds} s everything is withdrawn",
    "labelIt": "kubectl label node {node} {label}=true",
    "selectIt": "a ColocationPolicy whose nodeSelector matches the node's labels",
    "enableIt": "spec.enabled: true in the policy {policy}",
    "readableReport": "a report that can be read: see the agent's log on that node, and its version",
    "firstReport": "the first report: is the agent's pod running there?",
    "anyReport": "a report: is the agent's pod running there, and does it reach the API server?",
}
"""By code. Whole numbers of a phrase with a resource are amounts, in millicores or bytes; those whose name ends with
Seconds, Percent, Pods or Points are plain numbers. One that ends with ":" is the head of what follows."""

_PLAIN: Final = ("Seconds", "Percent", "Pods", "Points")


class Phrase(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """One sentence, or a part of one."""

    code: str
    resource: Literal["cpu", "memory"] | None = None
    """What it is about, and in which unit its amounts are."""
    values: dict[str, Value] = field(default_factory=dict)


def phrase(code: str, resource: str | None = None, **values: Value) -> Phrase:
    """One of `ENGLISH`."""
    return Phrase(code=code, resource=resource, values=values)  # type: ignore[arg-type]


def say(one: Phrase) -> str:
    """In English."""
    if one.resource is None:
        return ENGLISH[one.code].format_map(one.values)
    amount = human_bytes if one.resource == "memory" else human_millicores
    values = {
        name: amount(value) if isinstance(value, int) and not name.endswith(_PLAIN) else value
        for name, value in one.values.items()
    }
    return ENGLISH[one.code].format_map(values)


def say_all(phrases: Iterable[Phrase], *, named: bool = True) -> str:
    """One after another; ``named``: each with the resource that it is about."""
    text = ""
    for one in phrases:
        words = f"{one.resource}: {say(one)}" if named and one.resource else say(one)
        text += words if not text else f" {words}" if text.endswith(":") else f"; {words}"
    return text
