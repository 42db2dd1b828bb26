"""Policies as the API server has them, in the form that people are shown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from colocation import lenient
from colocation.console.model import Condition, FieldValue, LastChange, PolicyView
from colocation.model import form
from colocation.model.policy import LabelSelector, PolicySpec
from colocation.model.status import PolicyStatus

MANAGER: Final = "colocation-console"
"""Field manager of what the console writes."""


class Managed(Struct, rename="camel"):
    """metav1.ManagedFieldsEntry."""

    manager: str = ""
    operation: str = ""
    time: str = ""
    subresource: str = ""
    fields_v1: Any = field(default=None, name="fieldsV1")


class Meta(Struct, rename="camel"):
    """metav1.ObjectMeta, with the fields that name the writers."""

    name: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str = ""
    managed_fields: tuple[Managed, ...] = ()


class Stored(Struct):
    """A ColocationPolicy, whichever version wrote it."""

    metadata: Meta
    spec: Any = None
    status: Any = None


class StoredList(Struct):
    """All of them."""

    items: tuple[Stored, ...] = ()


def view(stored: Stored, change: LastChange | None = None) -> PolicyView:
    """One policy; ``change``: who changed it last, where an Event says so."""
    meta = stored.metadata
    given = stored.spec if isinstance(stored.spec, dict) else {}
    spec, problems = lenient.read(PolicySpec, given)
    status, _ = lenient.read(PolicyStatus, stored.status or {})
    stable = status.stable.spec if status.stable else None
    if stable is not None and _same(stable, given):
        stable = None
    return PolicyView(
        name=meta.name,
        version=version(meta),
        generation=meta.generation,
        created_at=meta.creation_timestamp,
        spec=given,
        problem="; ".join(problems),
        enabled=spec.enabled,
        priority=spec.priority,
        selector=selector(spec.node_selector),
        fields=values(spec),
        matched_nodes=status.matched_nodes if stored.status else None,
        nodes=status.nodes if stored.status else None,
        reporting_nodes=status.reporting_nodes if stored.status else None,
        updated_nodes=status.updated_nodes if stored.status else None,
        rollout_stopped=status.rollout_stopped,
        conditions=tuple(
            Condition(
                type=one.type,
                status=one.status,
                reason=one.reason,
                message=one.message,
                last_transition_time=one.last_transition_time,
            )
            for one in status.conditions
        ),
        stable=stable,
        last_change=change or last_written(meta),
    )


def version(meta: Meta) -> str:
    """The version of the spec: it stays while only the status is written."""
    return f"{meta.generation}.{meta.uid}"


def values(spec: PolicySpec) -> tuple[FieldValue, ...]:
    """Every field as it counts."""
    now = form.effective(msgspec.to_builtins(spec))
    found = []
    for one in form.fields():
        value = now[one.path]
        found.append(FieldValue(path=one.path, value=value, default=one.default, changed=value != one.default))
    return tuple(found)


def selector(chosen: LabelSelector) -> str:
    """As kubectl writes it."""
    parts = [f"{key}={value}" for key, value in sorted(chosen.match_labels.items())]
    for one in chosen.match_expressions:
        listed = f"({','.join(one.values)})"
        parts.append(
            {
                "In": f"{one.key} in {listed}",
                "NotIn": f"{one.key} notin {listed}",
                "Exists": one.key,
                "DoesNotExist": f"!{one.key}",
            }[one.operator]
        )
    return ",".join(parts)


def last_written(meta: Meta) -> LastChange | None:
    """Which field manager wrote the spec last, and when."""
    found = [
        one
        for one in meta.managed_fields
        if not one.subresource and isinstance(one.fields_v1, Mapping) and "f:spec" in one.fields_v1
    ]
    if not found:
        return None
    newest = max(found, key=lambda one: one.time)
    return LastChange(at=newest.time, by=newest.manager)


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    try:
        return form.effective(one) == form.effective(other)
    except msgspec.ValidationError:
        return dict(one) == dict(other)


def moving(views: Sequence[PolicyView]) -> tuple[list[PolicyView], list[PolicyView]]:
    """Those in the middle of a roll-out, and those whose roll-out was stopped."""
    rolling, stopped = [], []
    for one in views:
        if one.rollout_stopped:
            stopped.append(one)
        elif any(c.type == "RolledOut" and c.reason == "Progressing" for c in one.conditions):
            rolling.append(one)
    return rolling, stopped
