"""ColocationPolicy.status: what the manager says of a policy, and the one thing that it must remember of it."""

from __future__ import annotations

from typing import Annotated, Any, Final

from msgspec import Meta, Struct, field

from colocation.model.report import Condition, Sentence

READY: Final = "Ready"
"""Every node that this policy is for has a fresh report."""
ROLLED_OUT: Final = "RolledOut"
"""The policy as it is written holds on all its nodes. Reasons: Complete, Progressing, Stopped."""
STOPPED: Final = "Stopped"
UNDERSTOOD: Final = "Understood"
"""False while another version wrote fields that this manager cannot read; absent otherwise."""

ADMITTED: Final = "BestEffortAdmitted"
"""False while admission refuses best-effort pods that name no PriorityClass; absent otherwise."""

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class StableVersion(Struct, frozen=True, kw_only=True, rename="camel"):
    """The version that last held on all nodes; during a roll-out the other nodes keep it."""

    generation: Annotated[int, Meta(ge=0)]
    spec: dict[str, Any]
    """As it was written; read by the version of the manager that finds it."""


class PolicyStatus(Struct, frozen=True, kw_only=True, rename="camel"):
    """Written by the leading manager only, a few seconds after something has changed."""

    observed_generation: Annotated[int, Meta(ge=0)] = 0
    matched_nodes: Count = 0
    """Labelled nodes that the selector matches."""
    nodes: Count = 0
    """Those of them for which this policy won."""
    reporting_nodes: Count = 0
    """Those of them whose report is fresh."""
    updated_nodes: Count = 0
    """Those of them that have this generation of the policy; the others still have the stable one."""
    stable: StableVersion | None = None
    rollout_stopped: Sentence = ""
    """Why the change of this generation was stopped on its canary nodes; empty: it was not."""
    conditions: tuple[Condition, ...] = field(default=())
