"""Which policy is a node's: the highest priority whose selector matches; ties go to the name that sorts first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from colocation.model.phrase import Phrase, phrase, say
from colocation.model.policy import LabelSelector, PolicySpec


class Candidate(Struct, frozen=True):
    """One policy as it competes for a node."""

    name: str
    generation: int
    spec: PolicySpec


class Selection(Struct, frozen=True):
    """The policy that won, those that matched and lost, and the reason in words."""

    winner: Candidate | None
    losers: tuple[str, ...]
    why: Phrase

    @property
    def reason(self) -> str:
        """In English."""
        return say(self.why)


def matches(selector: LabelSelector, labels: Mapping[str, str]) -> bool:
    """metav1.LabelSelector against labels; an empty selector matches everything."""
    if any(labels.get(key) != value for key, value in selector.match_labels.items()):
        return False
    for expression in selector.match_expressions:
        value = labels.get(expression.key)
        held = {
            "In": value is not None and value in expression.values,
            "NotIn": value not in expression.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }[expression.operator]
        if not held:
            return False
    return True


def select_policy(candidates: Iterable[Candidate], labels: Mapping[str, str]) -> Selection:
    """Choose the policy for a node with these labels."""
    ranked = sorted(
        (c for c in candidates if matches(c.spec.node_selector, labels)), key=lambda c: (-c.spec.priority, c.name)
    )
    if not ranked:
        return Selection(None, (), phrase("noPolicy"))
    winner, losers = ranked[0], tuple(c.name for c in ranked[1:])
    if not losers:
        why = phrase("onlyPolicy")
    elif winner.spec.priority > ranked[1].spec.priority:
        why = phrase("higherPriority", priority=winner.spec.priority, others=", ".join(losers))
    else:
        why = phrase("samePriority", priority=winner.spec.priority, other=ranked[1].name, winner=winner.name)
    return Selection(winner, losers, why)
