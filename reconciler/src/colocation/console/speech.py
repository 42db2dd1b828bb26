"""What pages say about states, reasons, risks and problems, in the language of the person who reads."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from markupsafe import Markup

from colocation.console.i18n import Language
from colocation.console.model import Change, Labelled, Problem, RiskReason, Series
from colocation.console.numbers import UNKNOWN
from colocation.model.answers import Explanation, GateExplanation, PolicyExplanation, Term
from colocation.model.phrase import Phrase

STATES: Final = {
    "open": ("open", "Takes new best-effort pods"),
    "closed": ("closed", "Takes no new best-effort pods; running ones continue"),
    "withdrawn": ("withdrawn", "Publishes nothing new; the column Why says why"),
    "stale": ("stale", "No report for longer than the policy's staleAfterSeconds"),
    "pressed": ("pressed", "Its pods wait for CPU or memory (PSI)"),
    "starved": ("starved", "A best-effort pod gets less CPU than the policy's satisfactionPercent"),
    "suspect": ("suspect report", "Its report has something impossible in it"),
}
"""State to its name and meaning."""

PROBLEMS: Final = {
    "signIn": "Please sign in.",
    "noToken": "There is no token in the field.",
    "refused": "The API server does not accept this token: it is wrong, has expired, or is of another cluster.",
    "foreignToken": "You are signed in at your identity provider, but this cluster's API server does not take its "
    "tokens.",
    "denied": "Your rights do not allow this.",
    "forged": "Nothing was written: this request came from another site, or from a page that is too old.",
    "absent": "There is no such node, policy or page.",
    "changedMeanwhile": "Somebody changed it meanwhile.",
    "unchecked": "Show the effect first: what was confirmed is not what was checked, or it was checked too long ago.",
    "apiserverAway": "The API server does not answer.",
    "managerAway": "The manager does not answer, and this console has no data of it yet.",
    "managerReading": "The manager is still reading the cluster; its numbers follow.",
    "prometheusAway": "Prometheus does not answer.",
    "tooMany": "Too many tries; wait a little.",
    "insecure": "A token is not taken over plain HTTP.",
    "nothingChosen": "No node was chosen: go back and mark the nodes first.",
    "malformed": "The request cannot be understood.",
    "fault": "A fault of the console; its log has the details.",
}
"""Code of a problem to the sentence that people read first; the detail follows."""

RISKS: Final = {
    "closes": "{nodes} nodes close to new best-effort pods",
    "belowAllocated": "{nodes} nodes would publish less than is allocated",
    "disables": "it disables the policy: its nodes publish nothing",
    "deletes": "it deletes the policy",
    "engine": "the engine changes",
    "moves": "more than 20 % of what is published moves",
    "unknown": "the effect is not known, because the manager does not answer",
}

OUTCOMES: Final = {
    "would": "will be changed",
    "done": "changed",
    "same": "is so already",
    "denied": "not allowed",
    "missing": "there is no such node",
    "conflict": "somebody changed it meanwhile; try again",
    "failed": "failed",
}

TERMS: Final = {
    "capacity": "The Node's status.capacity",
    "margin": "The part of capacity that the policy keeps free: 100 - reclaimPercent percent",
    "system": "Use outside all pods, or what is reserved for it, whichever is more",
    "online": "What the online pods count for, by the policy's strategy",
    "unrequested": "Use of best-effort pods that request no be-cpu and be-memory",
    "overhead": "Overhead of best-effort pods by their RuntimeClass",
    "free": "What the terms above add up to; may be negative",
    "result": "free, between 0 and the ceiling, rounded down to a quantum: what this report alone would allow",
    "headroom": "The smallest result of the last growAfterSeconds: it falls at once and rises only after that time",
    "allocated": "What the bound, unfinished best-effort pods request",
    "published": "What the Node carries as be-cpu and be-memory: the headroom, but at least what running pods request",
    "gain": "Use by best-effort pods in percent of capacity",
    "best-effort pod": "Batch work that may be slowed down and evicted",
    "online pod": "Latency-sensitive work: every pod that is not best-effort",
    "pressure": "PSI some avg10: percent of time in which something waited",
}
"""Terms of docs/glossary.md that pages show."""

WORDS: Final = (
    # conditions and their reasons
    "Ready", "RolledOut", "Understood", "AllReporting", "NodesNotReporting", "NoNodes", "Disabled", "Complete",
    "Progressing", "Stopped",
    # why a node is withdrawn
    "Unlabelled", "NoPolicy", "NoReport", "StaleReport", "InvalidReport",
    # why a pod is to be evicted
    "MemoryHigh", "MemoryPressure", "CpuStarved",
    # by which rule an online pod counts
    "mean use", "request", "max(mean use, request)", "predicted peak",
    # what was changed, and how risky it is
    "created", "changed", "deleted", "labelled", "unlabelled", "low", "high", "unknown",
    # parts that may be left out
    "policies", "events", "nodes", "manager", "prometheus",
    # what the console itself answers to a form
    "A policy needs a name.",
)  # fmt: skip
"""What comes as a value, and is translated."""


class Speaker:
    """Sentences about the console's answers, in one language."""

    def __init__(self, language: Language) -> None:
        self._t = language

    def state_name(self, state: str) -> str:
        """Of one of `STATES`."""
        return str(self._t(STATES[state][0]))

    def state_meaning(self, state: str) -> str:
        """Of one of `STATES`."""
        return str(self._t(STATES[state][1]))

    def meaning(self, term: str) -> str:
        """Of one of `TERMS`."""
        return str(self._t(TERMS.get(term, term)))

    def phrases(self, phrases: Iterable[Phrase], english: str) -> str:
        """Sentences by their codes; ``english`` where the manager is too old to give them."""
        return self.joined([self.phrase(one) for one in phrases]) or english

    @staticmethod
    def joined(parts: Iterable[str]) -> str:
        """One after another; a part that ends with a colon is the head of what follows."""
        text = ""
        for part in parts:
            text += part if not text else f" {part}" if text.endswith((":", "\uff1a")) else f"; {part}"
        return text

    def phrase(self, one: Phrase) -> str:
        """One, with the resource that it is about."""
        sentence = self._t.phrase(one)
        return f"{one.resource}: {sentence}" if one.resource and self._t.code == "en" else self._about(one, sentence)

    def _about(self, one: Phrase, sentence: str) -> str:
        return f"{self._t('CPU' if one.resource == 'cpu' else 'Memory')}: {sentence}" if one.resource else sentence

    def reason_of(self, row: Any) -> str:
        """Why a node has, or would have, its number."""
        return self.phrases(row.reasons, row.reason)

    def levers_of(self, found: Explanation) -> list[str]:
        """What would change it."""
        return [self.phrase(one) for one in found.levers] or list(found.would_change)

    def closed_of(self, gate: GateExplanation) -> list[str]:
        """Why it is closed."""
        return [self.phrase(one) for one in gate.closed_phrases] or list(gate.closed_reasons)

    def source_of(self, term: Term) -> str:
        """Where a term comes from."""
        return self.joined(self._t.phrase(one) for one in term.sources) or term.source

    def policy_reason(self, policy: PolicyExplanation) -> str:
        """Why that policy counts."""
        return self.phrases(policy.reasons, policy.reason)

    def problem_title(self, problem: Problem) -> str:
        """The first sentence about a problem."""
        code = problem.type.partition("#")[2]
        return str(self._t(PROBLEMS.get(code, problem.title)))

    def risk_text(self, reason: RiskReason) -> str:
        """Why a change is risky."""
        if reason.code not in RISKS or self._t.code == "en":
            return reason.text
        try:
            return self._t.plain(RISKS[reason.code], **reason.values)
        except KeyError:
            return reason.text

    def outcome(self, one: Labelled) -> str:
        """What became of a node's label."""
        sentence = str(self._t(OUTCOMES[one.outcome]))
        return f"{sentence}: {one.message}" if one.message else sentence

    def change_text(self, change: Change) -> Markup:
        """A change in one line."""
        what = ", ".join(f"{d.path} {show(d.before)} → {show(d.after)}" for d in change.diff[:3])
        return self._t(
            "{by} {action} {name}. {what}", by=change.by, action=self._t(change.action), name=change.name, what=what
        )

    def source_text(self, found: Series) -> str:
        """Where a chart's numbers come from."""
        if found.source == "prometheus":
            return str(self._t("From Prometheus."))
        if found.since:
            return str(self._t("From this console's memory, since {since}.", since=found.since))
        return str(self._t("From this console's memory."))


def show(value: object) -> str:
    """A field's value in a difference."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list | tuple):
        return (
            ", ".join(f"{k}={show(v)}" for k, v in value.items())
            if isinstance(value, dict)
            else ", ".join(map(show, value))
        )
    return str(value)
