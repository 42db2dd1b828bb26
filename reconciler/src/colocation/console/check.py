"""A change of a policy before it is made: what differs, what it does to the nodes, and how much it can hurt. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import yaml

from colocation.console.model import Difference, Effect, Moved, NodeEffect, Risk, RiskReason
from colocation.model import form
from colocation.model.answers import Simulation, WhatIf
from colocation.model.quantity import human_bytes, human_millicores

LARGEST: Final = 50
MUCH_PERCENT: Final = 20
"""More of what is published moves: the risk is high."""


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What makes ``before`` ``after`` (RFC 7396)."""
    patch: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, Mapping) and isinstance(old, Mapping):
            if inner := merge_patch(old, value):
                patch[name] = inner
        elif name not in before or value != old or type(value) is not type(old):
            patch[name] = value
    return patch


def difference(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> tuple[Difference, ...]:
    """Fields whose value changes, defaults filled in; None: there is no such policy. Raises msgspec.ValidationError."""
    old = {} if before is None else form.effective(before)
    new = {} if after is None else form.effective(after)
    found = []
    for one in form.fields():
        was, becomes = old.get(one.path), new.get(one.path)
        if was == becomes or (before is None and becomes == one.default) or (after is None and was == one.default):
            continue
        found.append(Difference(path=one.path, before=was, after=becomes, default=one.default))
    return tuple(found)


def as_yaml(name: str, spec: Mapping[str, Any] | None) -> str:
    """The policy as a file."""
    if spec is None:
        return ""
    document = {
        "apiVersion": "colocation.openfuyao.com/v1alpha1",
        "kind": "ColocationPolicy",
        "metadata": {"name": name},
        "spec": dict(spec),
    }
    return str(yaml.safe_dump(document, sort_keys=False, allow_unicode=True))


def effect(simulation: Simulation) -> Effect:
    """What changes on the nodes."""
    changed = [one for one in simulation.nodes if one.now != one.then]
    cpu_capacity = sum(abs(_moved(one)[0]) for one in changed) or 1
    memory_capacity = sum(abs(_moved(one)[1]) for one in changed) or 1

    def weight(one: WhatIf) -> tuple[bool, float, str]:
        cpu, memory = _moved(one)
        return (one.now.open == one.then.open, -abs(cpu) / cpu_capacity - abs(memory) / memory_capacity, one.node)

    nodes = simulation.nodes
    return Effect(
        cpu=Moved(before=sum(n.now.cpu or 0 for n in nodes), after=sum(n.then.cpu or 0 for n in nodes)),
        memory=Moved(before=sum(n.now.memory or 0 for n in nodes), after=sum(n.then.memory or 0 for n in nodes)),
        open=Moved(before=sum(n.now.open for n in nodes), after=sum(n.then.open for n in nodes)),
        nodes=len(nodes),
        changed=len(changed),
        raised=sum(_raised(one) for one in changed),
        lowered=sum(_lowered(one) for one in changed),
        opened=sum(one.then.open and not one.now.open for one in changed),
        closed=sum(one.now.open and not one.then.open for one in changed),
        below_allocated=sum(_below(one) for one in changed),
        largest=tuple(_node(one) for one in sorted(changed, key=weight)[:LARGEST]),
    )


def risk(before: Mapping[str, Any] | None, after: Mapping[str, Any] | None, found: Effect | None) -> Risk:
    """How much it can hurt; ``found`` None: the effect is not known."""
    old = {} if before is None else form.effective(before)
    new = {} if after is None else form.effective(after)
    reasons: list[RiskReason] = []

    def because(code: str, text: str, **values: float | str) -> None:
        reasons.append(RiskReason(code=code, text=text.format_map(values), values=values))  # type: ignore[arg-type]

    if before is not None and after is None:
        because("deletes", "the policy is deleted")
    if old.get("enabled") is True and new.get("enabled") is False:
        because("disables", "the policy is disabled: its nodes are withdrawn")
    if before is not None and after is not None and old.get("engine") != new.get("engine"):
        because("engine", "the engine changes from {before} to {after}", before=old["engine"], after=new["engine"])
    if found is None:
        because("unknown", "what it does to the nodes cannot be computed now")
        return Risk(level="unknown", reasons=tuple(reasons))
    if found.closed:
        because("closes", "{closedPods} nodes that are open close to new best-effort pods", closedPods=found.closed)
    if found.below_allocated:
        because(
            "belowAllocated",
            "on {belowPods} nodes less is left than is allocated: running pods stay, and no new one comes",
            belowPods=found.below_allocated,
        )
    for name, one in (("cpu", found.cpu), ("memory", found.memory)):
        percent = 100 * abs(one.after - one.before) / max(1, one.before)
        if one.before and percent > MUCH_PERCENT:
            because(
                "moves",
                "{movedPercent} % of the published {resource} moves",
                movedPercent=round(percent),
                resource=name,
            )
    return Risk(level="high" if reasons else "low", reasons=tuple(reasons))


def foretold(found: Effect | None) -> str:
    """The effect in one line, in English."""
    if found is None:
        return "effect not known: the manager was away"
    cpu, memory = found.cpu.after - found.cpu.before, found.memory.after - found.memory.before
    amounts = f"{'+' if cpu >= 0 else '-'}{human_millicores(abs(cpu))} and {'+' if memory >= 0 else '-'}"
    return f"{amounts}{human_bytes(abs(memory))} on {found.changed} nodes, {found.closed} close, {found.opened} open"


def summary(changes: tuple[Difference, ...]) -> str:
    """The difference in one line."""
    return ", ".join(f"{one.path} {_short(one.before)} -> {_short(one.after)}" for one in changes)


def _short(value: Any) -> str:
    return "none" if value is None else str(value)


def _moved(one: WhatIf) -> tuple[int, int]:
    return (one.then.cpu or 0) - (one.now.cpu or 0), (one.then.memory or 0) - (one.now.memory or 0)


def _raised(one: WhatIf) -> bool:
    return any(by > 0 for by in _moved(one))


def _lowered(one: WhatIf) -> bool:
    return any(by < 0 for by in _moved(one))


def _below(one: WhatIf) -> bool:
    """It closes because less would be left than its pods request; what is published covers them all the same."""
    return not one.then.open and one.now.open and bool(one.allocated_cpu or one.allocated_memory)


def _node(one: WhatIf) -> NodeEffect:
    return NodeEffect(
        node=one.node,
        policy_before=one.now.policy,
        policy_after=one.then.policy,
        cpu_before=one.now.cpu,
        cpu_after=one.then.cpu,
        memory_before=one.now.memory,
        memory_after=one.then.memory,
        open_before=one.now.open,
        open_after=one.then.open,
        allocated_cpu=one.allocated_cpu,
        allocated_memory=one.allocated_memory,
        reason=one.reason,
        reasons=one.reasons,
    )


__all__ = ["as_yaml", "difference", "effect", "foretold", "merge_patch", "risk", "summary"]
