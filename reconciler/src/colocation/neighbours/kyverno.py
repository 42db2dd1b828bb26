"""Kyverno policies that write cpu or memory into best-effort pods, or refuse pods without them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from colocation.model.names import QOS_ANNOTATION
from colocation.neighbours.selectors import BE, leaves_out, listing, mapping, title

WRITES: Final = ("patchStrategicMerge", "patchesJson6902", "foreach")
EXCLUDE: Final = "exclude: {any: [{resources: {annotations: {" + QOS_ANNOTATION + ": BE}}}]}"


def warnings(policies: Iterable[dict[str, Any]]) -> list[str]:
    """A sentence for each rule about pods that does not leave best-effort pods out."""
    found: list[str] = []
    for policy in policies:
        where = title(policy, str(policy.get("kind") or "ClusterPolicy"))
        spec = mapping(policy.get("spec"))
        for rule in map(mapping, listing(spec.get("rules"))):
            if _about_pods(rule) and not _spares(rule):
                found += [f"{where}, rule {rule.get('name')}: {sentence}" for sentence in _judge(rule, spec)]
    return found


def _judge(rule: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    if any(_names_cpu(mapping(rule.get("mutate")).get(part)) for part in WRITES):
        yield (
            "it writes cpu or memory into pods, and a best-effort pod cannot keep them: admission turns them into "
            f"be-cpu and be-memory, or drops them where those are there. Leave best-effort pods out ({EXCLUDE})."
        )
    validate = mapping(rule.get("validate"))
    action = validate.get("failureAction") or spec.get("validationFailureAction") or "Audit"
    patterns = [validate.get("pattern"), *listing(validate.get("anyPattern"))]
    # One that asks for cpu only where it is there (an anchor) refuses nothing.
    patterns = [pattern for pattern in patterns if pattern]
    if str(action).lower() == "enforce" and patterns and all(map(_wants_cpu, patterns)):
        yield (
            "it refuses pods without cpu or memory requests or limits, which best-effort pods are: they have "
            f"be-cpu and be-memory instead. Leave best-effort pods out ({EXCLUDE})."
        )


def _blocks(block: object) -> list[dict[str, Any]]:
    """The resource filters of a match or exclude block, in each of the ways they are written."""
    given = mapping(block)
    rows = [given, *map(mapping, listing(given.get("any"))), *map(mapping, listing(given.get("all")))]
    return [mapping(row.get("resources")) for row in rows if row.get("resources")]


def _about_pods(rule: dict[str, Any]) -> bool:
    kinds = [str(kind) for block in _blocks(rule.get("match")) for kind in listing(block.get("kinds"))]
    return any(kind.rpartition("/")[2] in ("Pod", "*") for kind in kinds)


def _spares(rule: dict[str, Any]) -> bool:
    excluded = any(_selects_be(block) for block in _blocks(rule.get("exclude")))
    blocks = _blocks(rule.get("match"))
    return excluded or (bool(blocks) and all(leaves_out(block.get("selector")) for block in blocks))


def _selects_be(block: dict[str, Any]) -> bool:
    marks = [mapping(block.get("annotations")), mapping(mapping(block.get("selector")).get("matchLabels"))]
    return any(mark.get(QOS_ANNOTATION) == BE for mark in marks)


def _names_cpu(value: object) -> bool:
    """Tell whether a patch reaches into resources and names cpu or memory there, as mapping, path or text."""
    if isinstance(value, str):
        return bool(re.search(r"resources\b.*\b(cpu|memory)\b", value, re.DOTALL))
    if isinstance(value, dict):
        return any(("resources" in str(key) and _mentions(each)) or _names_cpu(each) for key, each in value.items())
    return any(_names_cpu(each) for each in listing(value))


def _mentions(value: object) -> bool:
    if isinstance(value, dict):
        return any(_bare(str(key)) in ("cpu", "memory") or _mentions(each) for key, each in value.items())
    return any(_mentions(each) for each in listing(value))


def _wants_cpu(value: object, inside: bool = False) -> bool:  # noqa: FBT001, FBT002 (a walk's own state)
    if isinstance(value, dict):
        return any(
            (inside and key in ("cpu", "memory")) or _wants_cpu(each, inside or key == "resources")
            for key, each in value.items()
        )
    return any(_wants_cpu(each, inside) for each in listing(value))


def _bare(key: str) -> str:
    """Without the anchor: ``+(cpu)`` adds what is missing."""
    return re.sub(r"^[+=<^X]?\((.*)\)$", r"\1", key)
