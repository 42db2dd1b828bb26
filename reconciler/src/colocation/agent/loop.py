"""The agent's loop: sample, decide, apply, report. It owns all state; other threads hand it things or take them."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from msgspec.structs import replace

from colocation.agent.engine import RubikEngine, RubikState
from colocation.agent.lookout import Lookout
from colocation.agent.reporter import ReportSender, Schedule
from colocation.agent.specs import Specs
from colocation.agent.status import Conditions, build, rfc3339
from colocation.agent.window import Window
from colocation.model.policy import part
from colocation.model.report import (
    MAX_PODS,
    Capabilities,
    Capacity,
    NodeColocationSpec,
    NodeColocationStatus,
    Pressure,
    Scores,
)
from colocation.node.apply import Applier
from colocation.node.histories import HistoryWriter
from colocation.node.reclaim import Reclaimer
from colocation.node.sampler import LOOK_EVERY, Sampler
from colocation.predict.peak import Histories
from colocation.predict.together import Wanted
from colocation.protect.evict import EvictionWatch, watch
from colocation.protect.sample import Sample
from colocation.protect.wanted import Enforcement, decide, fell

log = logging.getLogger(__name__)
AGAIN: Final = 0.25
"""Part of a round after which a node is looked at again whose online work rises: the last look was an average."""


class Loop:
    """One round a second, whatever the API server does."""

    def __init__(
        self,
        *,
        sampler: Sampler,
        applier: Applier,
        specs: Specs,
        capabilities: Capabilities,
        sender: ReportSender | None = None,
        interval: float = 1.0,
        schedule: Schedule | None = None,
        keeper: HistoryWriter | None = None,
        rubik: RubikEngine | None = None,
    ) -> None:
        """``sender`` None: nothing is reported. ``keeper`` None: what is learnt of the pods is lost at the end.

        ``rubik`` None: no configuration is written for it, and the native engine does everything.
        """
        self._sampler, self._applier, self._specs, self._sender = sampler, applier, specs, sender
        self._capabilities, self._features = capabilities, frozenset(capabilities.features)
        self._interval = interval
        self._schedule = schedule or Schedule()
        self._own_capacity = sampler.capacity() or Capacity(cpu=0, memory=0)
        self._cpus = sampler.cpus()
        self._conditions = Conditions()
        self._reclaimer = Reclaimer(self._features)
        self._rubik, self.rubik_state = rubik, RubikState()
        self.window = Window()
        self._keeper = keeper
        self.histories = Histories() if keeper is None else keeper.load(sampler.now())
        self.sample = Sample(at=0.0, seconds=0.0)
        self.groups: dict[str, str] = {}
        """Group of each pod of the last round, by uid: a new dict each round, so other threads may read it."""
        self.decision = Enforcement(reason="no spec from the manager yet")
        self.watch = EvictionWatch()
        self.lookout = Lookout()
        self.spec = NodeColocationSpec()
        self.generation: int | None = None
        """The object's generation that the spec is of; None: nothing has been heard of it yet."""
        self.rising = False
        """The last round took CPU from best-effort pods: it may have seen only the beginning of a rise."""
        self.left_out = 0
        """Pods of this node that its report leaves out: it takes no more rows."""
        self.rounds = self.overruns = self.faults = 0
        self.beat = time.monotonic()
        """When the last round ended."""
        self.enforced_at: float | None = None
        """When a round last made the node's groups hold what the spec wants, without a fault."""

    def run(self, stop: threading.Event) -> None:
        """Rounds until ``stop``. Values stay as they are then: an update of the agent must not unprotect."""
        due = time.monotonic()
        while not stop.is_set():
            try:
                self.step()
            except Exception:  # one bad round must not end protection
                self.faults += 1
                log.exception("round failed")
            self.beat = time.monotonic()
            due += self._interval * (AGAIN if self.rising else 1)
            if due <= self.beat:
                self.overruns += 1
                if self.overruns in (1, 10, 100) or self.overruns % 1000 == 0:
                    late = round(self.beat - due + self._interval, 3)
                    log.warning("round took too long", extra={"seconds": late, "overruns": self.overruns})
                due = self.beat + self._interval / 2
            stop.wait(due - self.beat)

    def step(self) -> None:
        """One round."""
        followed = self._specs.take()
        spec = None if followed is None else followed.spec
        watched = {pod.uid for pod in spec.pods} if spec and spec.enabled else set[str]()
        self.sample = sample = self._sampler.sample(watched)
        self.groups = self._sampler.groups
        self.rounds += 1
        if sample.seconds == 0:
            return  # the first reading of counters says nothing yet
        self.window.add(sample)
        self._count_left_out()
        if sample.memory_read:  # every few rounds are often enough
            self._cpus = self._sampler.cpus()
        capacity = self._capacity(spec)
        if followed is not None and spec is not None:
            self.spec, self.generation = spec, followed.generation
            if self._rubik is not None:
                self.rubik_state = self._rubik.step(spec)
            before = self.decision
            decision = decide(spec, sample, capacity.cpu, self._features, before, self.rubik_state.owned)
            self.decision, self.rising = decision, fell(before, decision, capacity.cpu)
            self._applier.follow(self._sampler.layout)
            self._applier.apply(decision.pods | decision.online, self.groups, decision.cache, decision.pods)
            self._look(spec, sample.at)
            self._watch(spec, sample)
            self.enforced_at = time.monotonic()
        self._learn(sample.at, capacity)
        if self._sender is not None:
            self._report(self._sender, capacity)

    def close(self) -> None:
        """Save the histories and the journal."""
        self._specs.close()
        if self._keeper is not None:
            self._keeper.save(self.histories, self._sampler.now())

    def status(self) -> NodeColocationStatus:
        """The report as of now."""
        now = rfc3339()
        return build(
            generation=self.generation or 0,
            window=self.window,
            sample=self.sample,
            decision=self.decision,
            capabilities=replace(self._capabilities, cgroup_driver=self._sampler.layout.driver),
            pressure=self._sampler.pressure(),
            conditions=self._conditions.update(
                self._applier.refused,
                self._specs.error,
                now,
                self.decision.lacks + self.rubik_state.lacks,
                self.rubik_state,
                self._unenforced(),
                self.left_out,
            ),
            memory_used=self.be_memory(),
            evictions=self.watch.requests,
            now=now,
            histories=self.histories,
        )

    def _report(self, sender: ReportSender, capacity: Capacity) -> None:
        now, rules = self.sample.at, self.spec.report
        wait = sender.failure()
        if wait is not None:
            self._schedule.failed(now, wait)
        if sender.busy or not self._schedule.may(now, rules, self.window.covered):
            return
        status = self.status()
        if self._schedule.due(now, rules, status, capacity):
            self._schedule.sent(now, status)
            sender.submit(status)

    def _watch(self, spec: NodeColocationSpec, sample: Sample) -> None:
        before = self.watch.requests[:1]
        pressure = self._sampler.pressure() if spec.evict.memory.pressure_percent else Pressure()
        self.watch = watch(spec, sample, self.decision.pods, pressure, self.watch, self.rubik_state.owned)
        if self.watch.reclaim is not None:
            self._reclaimer.submit(self._sampler.layout, self.groups.get(self.watch.reclaim, ""))
        for request in self.watch.requests[:1]:
            if [earlier.uid for earlier in before] != [request.uid]:
                log.warning("eviction requested", extra={"uid": request.uid, "why": request.message})

    def _look(self, spec: NodeColocationSpec, now: float) -> None:
        """Compare what runs here with what was found; look for another tree while something is missing."""
        limits = spec.enabled and spec.engine != "none"
        running = [pod.uid for pod in spec.pods if pod.running] if limits else []
        limited = {uid for uid in running if self._applier.finds(uid, self.groups.get(uid))}
        before = self.lookout.missing
        self.lookout.look(running, limited, now)
        if self.lookout.missing and not before:
            _, why = self._unenforced() or ("", "")
            log.warning("best-effort pods not found", extra={"pods": len(self.lookout.missing), "why": why})
        if self.lookout.sought and self.rounds % LOOK_EVERY == 0:
            self._sampler.look_again(running)

    def _count_left_out(self) -> None:
        before, self.left_out = self.left_out, max(0, len(self.window.pods) - MAX_PODS)
        if self.left_out and not before:
            log.warning("the report leaves pods out", extra={"pods": self.left_out})

    def _unenforced(self) -> tuple[str, str] | None:
        """Why best-effort pods that run here may not be limited, as a reason and a message; None: they are limited."""
        if self.generation is None:
            return "NoSpec", "no spec has been received: values are left as they are"
        missing = self.lookout.missing
        if not missing:
            return None
        if any(uid in self.groups for uid in missing):
            why = "no container in their groups: cgroup drivers differ?"
        else:
            why = f"no group of theirs in {self._sampler.layout.pods_root or 'any kubepods tree'}"
        return "PodsNotFound", f"{len(missing)} of {self.lookout.running} best-effort pods not found: {why}"

    def _learn(self, now: float, capacity: Capacity) -> None:
        """Never raises: a failed forecast must not stop enforcement or the report."""
        try:
            self._learn_of(now, capacity)
        except Exception:
            self.faults += 1
            log.exception("no prediction in this round")

    def _learn_of(self, now: float, capacity: Capacity) -> None:
        if self.histories.due(now):
            budgets, fleet = self.spec.violation_budgets, self.spec.fleet_scores or Scores()
            self.histories.learn(
                now,
                self.window.rows(),
                self.window.pods.keys(),
                offline={pod.uid for pod in self.spec.pods},
                cpu=Wanted(capacity.cpu, part(budgets.cpu), fleet.cpu),
                memory=Wanted(capacity.memory, part(budgets.memory), fleet.memory),
            )
        if self._keeper is not None:
            self._keeper.save_if_due(self.histories, now)

    def _capacity(self, spec: NodeColocationSpec | None) -> Capacity:
        """The Node's capacity from the spec, so that agent and manager take percentages of the same number.

        Less while CPUs are unplugged: kubelet reports the number that it started with.
        """
        result = spec.capacity if spec is not None and spec.capacity is not None else self._own_capacity
        return result if self._cpus is None else Capacity(cpu=min(result.cpu, 1000 * self._cpus), memory=result.memory)

    def be_memory(self) -> int | None:
        """Memory of the best-effort pods, as far as it was measured; any thread may ask."""
        meters = [meter for pod in self.spec.pods if (meter := self.window.pods.get(pod.uid)) is not None]
        known = [mean for meter in meters if (mean := meter.memory.mean) is not None]
        return sum(known) if known or not meters else None
