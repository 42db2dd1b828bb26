"""What a label selector says about best-effort pods, which all carry one label (admission writes it)."""

from __future__ import annotations

from typing import Any, Final

from colocation.model.names import QOS_LABEL

BE: Final = "BE"
SELECTS_OTHERS: Final = "{matchExpressions: [{key: " + QOS_LABEL + ", operator: NotIn, values: [BE]}]}"
"""The selector to write where best-effort pods are to be left out, as YAML."""


def leaves_out(selector: object) -> bool:
    """Tell whether no best-effort pod can match, whatever its other labels are."""
    if not isinstance(selector, dict):
        return False
    labels = mapping(selector.get("matchLabels"))
    if QOS_LABEL in labels and labels[QOS_LABEL] != BE:
        return True
    return any(_excludes(mapping(row)) for row in listing(selector.get("matchExpressions")))


def _excludes(row: dict[str, Any]) -> bool:
    if row.get("key") != QOS_LABEL:
        return False
    operator, values = row.get("operator"), listing(row.get("values"))
    if operator == "DoesNotExist":
        return True
    return (BE in values) == (operator == "NotIn") and operator in ("In", "NotIn")


def mapping(value: object) -> dict[str, Any]:
    """A mapping of a document that anybody wrote; empty for anything else."""
    return value if isinstance(value, dict) else {}


def listing(value: object) -> list[Any]:
    """A list likewise."""
    return value if isinstance(value, list) else []


def whole(value: object) -> int | None:
    """A whole number, also one written as text; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        return None
    try:
        return int(value)
    except ValueError:
        return None


def title(document: dict[str, Any], kind: str) -> str:
    """How kubectl would name it: kind, namespace and name."""
    metadata = mapping(document.get("metadata"))
    namespace = metadata.get("namespace")
    return f"{kind} {namespace}/{metadata.get('name')}" if namespace else f"{kind} {metadata.get('name')}"
