"""The form of a policy: what each field means, and what it may hold."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Literal

from msgspec import inspect

from colocation.console.model import Schema, SchemaField
from colocation.model import form
from colocation.model.policy import CEL_RULES

Kind = Literal["integer", "boolean", "text", "choice", "quantity", "percent", "labels", "expressions", "object"]
Group = Literal["selection", "oversell", "protection", "eviction", "report", "rollout", "engine"]
_GROUPS: Final[dict[str, Group]] = {
    "enabled": "selection",
    "priority": "selection",
    "nodeSelector": "selection",
    "oversell": "oversell",
    "suppress": "protection",
    "protect": "protection",
    "evict": "eviction",
    "report": "report",
    "rollout": "rollout",
    "engine": "engine",
    "rubik": "engine",
}
_TEXTS: Final = {
    "nodeSelector.matchLabels": "Nodes with all of these labels; none: every node.",
    "nodeSelector.matchExpressions": "Nodes for which each of these expressions holds.",
    "rollout.nodeSelector.matchLabels": "Only nodes with these labels can be canaries; none: any.",
    "rollout.nodeSelector.matchExpressions": "Only nodes for which each of these holds can be canaries.",
    "rubik": "With engine rubik: what it does beside preemption.",
}
_PLAIN: Final = (
    "enabled", "priority", "nodeSelector.matchLabels", "oversell.cpu.strategy", "oversell.cpu.reclaimPercent",
    "oversell.memory.strategy", "oversell.memory.reclaimPercent", "suppress.cpu.targetPercent",
    "suppress.cpu.minPercent", "evict.memory.highPercent", "evict.memory.lowPercent", "evict.cpu.satisfactionPercent",
    "evict.cpu.starvedSeconds", "rollout.percent", "rollout.pauseSeconds",
)  # fmt: skip
"""Fields that most changes are about; the others are folded away."""


@lru_cache(1)
def schema() -> Schema:
    """Made once."""
    rules = tuple(dict.fromkeys(message for rules in CEL_RULES.values() for _, message in rules))
    return Schema(fields=tuple(_field(one) for one in form.fields()), rules=rules)


def _field(one: form.Field) -> SchemaField:
    kind, rest = _kind(one.path, one.kind)
    return SchemaField(
        path=one.path,
        type=kind,
        default=one.default,
        group=_GROUPS[one.path.partition(".")[0]],
        text=_TEXTS.get(one.path, one.text),
        unit=_unit(one.path),
        advanced=one.path not in _PLAIN,
        **rest,
    )


def _kind(path: str, kind: Any) -> tuple[Kind, dict[str, Any]]:
    if isinstance(kind, inspect.BoolType):
        return "boolean", {}
    if isinstance(kind, inspect.IntType):
        return "integer", {"minimum": kind.ge, "maximum": kind.le}
    if isinstance(kind, inspect.LiteralType):
        return "choice", {"choices": tuple(str(one) for one in kind.values)}
    if isinstance(kind, inspect.StrType):
        bounds = {"pattern": kind.pattern or "", "max_length": kind.max_length}
        if path.endswith("violationBudget"):
            return "percent", bounds
        return ("quantity" if path.endswith("quantum") else "text"), bounds
    if path.endswith("matchLabels"):
        return "labels", {}
    if path.endswith("matchExpressions"):
        return "expressions", {}
    return "object", {}


def _unit(path: str) -> str:
    name = path.rpartition(".")[2]
    for end, unit in (
        ("Percent", "%"),
        ("BytesPerSecond", "B/s"),
        ("OpsPerSecond", "1/s"),
        ("Seconds", "s"),
        ("maxPressureRise", "pp"),
        ("maxPods", "pods"),
        ("maxEvictions", "pods"),
    ):
        if name.endswith(end):
            return unit
    return ""
