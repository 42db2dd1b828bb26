"""The engine rubik: the agent writes its configuration, and leaves rubik's knobs alone while rubik runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from msgspec import Struct

from colocation.model.report import Capabilities, NodeColocationSpec
from colocation.node.background import BackgroundJob
from colocation.node.notes import PATIENCE_SECONDS
from colocation.node.rubik import Folder, digest
from colocation.protect.rubik import Plan, translate


class RubikState(Struct, frozen=True):
    """What came of it in this round."""

    owned: frozenset[str] = frozenset()
    """Features and evictions that the agent leaves to rubik."""
    lacks: tuple[str, ...] = ()
    running: bool | None = None
    """None: the policy does not ask for rubik."""
    message: str = ""


class RubikEngine:
    """Keeps rubik's config.json as the spec wants it. Belongs to the loop."""

    def __init__(self, folder: Path, capabilities: Capabilities) -> None:
        self._folder, self._capabilities = Folder(folder), capabilities
        self._spec: NodeColocationSpec | None = None
        self._plan: Plan | None = None
        self._owned_so_far: frozenset[str] = frozenset()
        """What the rubik owns that runs by the config of before, until it runs by this one."""
        self._disk = BackgroundJob("rubik")

    def step(self, spec: NodeColocationSpec) -> RubikState:
        """One round. Never raises."""
        wanted = spec.enabled and spec.engine == "rubik"
        if not wanted and self._folder.config() is None:
            return RubikState()
        if self._plan is None or spec is not self._spec:
            self._spec, self._plan = spec, translate(spec, self._capabilities)
        plan, text = self._plan, self._plan.text
        try:
            written = self._write(text)
        except OSError as error:
            return RubikState(
                self._owned_so_far, plan.lacks, False if wanted else None, f"config.json: {error.strerror}"
            )
        if not written:
            return RubikState(self._owned_so_far, plan.lacks, False if wanted else None, "config.json is being written")
        runs_by = self._folder.runs_by()
        if runs_by is None:
            self._owned_so_far = frozenset()
            message = (
                "no rubik runs here (rubik.enabled in the chart? this node in rubik.nodeSelector?): native meanwhile"
            )
            return RubikState(frozenset(), plan.lacks, False if wanted else None, message)
        if runs_by != digest(text):
            # It reads its config only when it starts; what it holds now stays its own until then.
            self._owned_so_far |= plan.owned
            return RubikState(self._owned_so_far, plan.lacks, False if wanted else None, "rubik is being restarted")
        self._owned_so_far = plan.owned
        return RubikState(plan.owned, plan.lacks, True if wanted else None, ", ".join(plan.features) or "no feature")

    def _write(self, text: str) -> bool:
        """Have the config say this, beside the round if the disk is slow; False: not yet. Raises OSError."""
        if not self._disk.settled():
            return False
        if self._folder.config() == text:
            return True
        self._disk.begin(partial(self._folder.write, text))
        self._disk.wait(PATIENCE_SECONDS)
        return self._disk.settled()
