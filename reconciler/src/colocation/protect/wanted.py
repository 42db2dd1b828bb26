"""(spec, sample, what the kernel can do) -> the values each best-effort pod's group should have, and why."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec import Struct, field
from msgspec.structs import replace

from colocation.model.quantity import human_millicores
from colocation.model.report import BePod, NodeColocationSpec
from colocation.protect.optin import Cache, Extra, opt_in
from colocation.protect.sample import PodSample, Sample, up
from colocation.protect.split import Claim, split
from colocation.protect.suppress import online_use, total

MIN_QUOTA = 10
"""Millicores: the kernel takes no quota below 1 ms, and kubelet's period is 100 ms."""
NEED_FACTOR = 125
"""Percent of its use that a pod which is not held back is taken to need: so that it can grow within a round."""
NEED_EXTRA = 20
"""Millicores on top, so that a pod that wakes up is seen to be held back."""


FALL_PERCENT = 5
"""Part of the node: a smaller fall is normal variation."""


class Knobs(Struct, frozen=True, gc=False):
    """What one pod's group should have; None: as it was before us."""

    cpu: int | None = None
    """Quota in millicores."""
    idle: bool = False
    """`cpu.idle`: all threads of the group yield to threads outside it.

    Since Linux 5.15, commit 304000390f88 ("sched: Cgroup SCHED_IDLE support"):
    https://git.kernel.org/torvalds/c/304000390f88d049c85e9a0958ac5567f38816ee
    """
    memory: int | None = None
    """Limit in bytes."""
    extra: Extra = Extra()


class Enforcement(Struct, frozen=True):
    """One round's decision. ``pods`` empty: everything is put back."""

    mode: str = "off"
    cpu_quota: int | None = None
    cpu_used: int | None = None
    pods: dict[str, Knobs] = field(default_factory=dict)
    reason: str = ""
    online: dict[str, Knobs] = field(default_factory=dict)
    """What pods that are not best-effort should have: nothing, unless the policy asks for it."""
    cache: Cache | None = None
    lacks: tuple[str, ...] = ()
    """What the policy asks for and this node does not have, in words; the rest is done."""


def decide(
    spec: NodeColocationSpec,
    sample: Sample,
    capacity_cpu: int,
    features: Collection[str],
    before: Enforcement | None = None,
    owned: Collection[str] = (),
) -> Enforcement:
    """Decide one round. ``capacity_cpu`` in millicores; ``before``: the round before, for the speed of growth.

    ``owned``: features that another engine has in hand; what this one held of them is put back.
    """
    if not spec.enabled:
        return Enforcement(reason="switched off by the policy" if spec.policy else "no policy selects this node")
    if spec.engine == "none":
        return Enforcement(reason="engine none: only measuring")
    rows = {row.uid: row for row in sample.pods}
    pods = [pod for pod in spec.pods if pod.uid in rows]
    online = [pod for pod in spec.online if pod.uid in rows]
    held = _held(spec, sample, capacity_cpu, features, before, pods, rows, owned)
    more = opt_in(spec.protect, pods, online, features, owned)
    return replace(
        held,
        pods=held.pods
        | {uid: replace(held.pods.get(uid, Knobs()), extra=extra) for uid, extra in more.offline.items()},
        online={uid: Knobs(extra=extra) for uid, extra in more.online.items()},
        cache=more.cache,
        lacks=held.lacks + more.lacks,
    )


def _held(
    spec: NodeColocationSpec,
    sample: Sample,
    capacity_cpu: int,
    features: Collection[str],
    before: Enforcement | None,
    pods: list[BePod],
    rows: dict[str, PodSample],
    owned: Collection[str],
) -> Enforcement:
    """Quota, idle and memory limit of best-effort pods."""
    used = _sum([rows[pod.uid].cpu for pod in pods])
    mode = spec.suppress.cpu.mode
    if mode == "off":
        return Enforcement(
            cpu_used=None if used is None else up(used),
            pods={pod.uid: Knobs(memory=pod.memory_limit) for pod in pods if pod.memory_limit is not None},
            reason="CPU suppression is off; memory limits are kept",
        )
    messages, lacks = [], []
    idle = mode != "quota" and "cpu.idle" not in owned
    quota = "cpu.quota" in features and "cpu.quota" not in owned
    if idle and "cpu.idle" not in features:
        idle = False
        lacks.append("the kernel has no cpu.idle")
    if "memory.limit" not in features:
        lacks.append("the kernel has no memory limit")
    if "cpu.quota" not in features:
        lacks.append("the kernel has no CPU quota")
    elif not quota:
        messages.append("rubik sets the quotas")
    if not quota:
        quotas: Mapping[str, int | None] = {}
        ceiling = None
    elif mode == "idle":
        messages.append("idle scheduling only; each pod within its own limit")
        quotas = {pod.uid: pod.cpu_limit for pod in pods}
        ceiling = None
    else:
        ceiling = _total(spec, sample, capacity_cpu, used, before)
        quotas = _quotas(ceiling, pods, rows, capacity_cpu)
        messages.append(_explain(spec, sample, capacity_cpu, used, ceiling))
    return Enforcement(
        mode=_mode(idle=idle, quota=quota),
        cpu_quota=ceiling,
        cpu_used=None if used is None else up(used),
        pods={pod.uid: _knobs(pod, quotas.get(pod.uid), idle=idle) for pod in pods},
        reason="; ".join(lacks + messages),
        lacks=tuple(lacks),
    )


def fell(before: Enforcement, now: Enforcement, capacity_cpu: int) -> bool:
    """CPU for offline work fell by so much that online work has risen; how far is only known from a whole round."""
    if before.cpu_quota is None or now.cpu_quota is None:
        return False
    return (before.cpu_quota - now.cpu_quota) * 100 > capacity_cpu * FALL_PERCENT


def _total(
    spec: NodeColocationSpec, sample: Sample, capacity_cpu: int, used: float | None, before: Enforcement | None
) -> int | None:
    last = before.cpu_quota if before else None
    if sample.cpu is None:
        return last  # not known, so not changed; least of all raised
    return total(
        capacity=capacity_cpu,
        target_percent=spec.suppress.cpu.target_percent,
        min_percent=spec.suppress.cpu.min_percent,
        node_use=sample.cpu,
        be_use=used or 0,
        before=last,
        seconds=sample.seconds,
    )


def _quotas(
    ceiling: int | None, pods: list[BePod], rows: dict[str, PodSample], capacity_cpu: int
) -> dict[str, int | None]:
    """Quota of each pod; without a ceiling (nothing measured yet) its own limit."""
    if ceiling is None:
        return {pod.uid: pod.cpu_limit for pod in pods}
    shares = split(ceiling, [_claim(pod, rows[pod.uid], capacity_cpu) for pod in pods])
    return {pod.uid: _above_floor(shares[pod.uid], pod.cpu_limit) for pod in pods}


def _claim(pod: BePod, row: PodSample, capacity_cpu: int) -> Claim:
    limit = capacity_cpu if pod.cpu_limit is None else min(pod.cpu_limit, capacity_cpu)
    # A pod that was held back, or of which nothing is known, needs all it may have.
    need = None if row.throttled or row.cpu is None else up(row.cpu * NEED_FACTOR / 100) + NEED_EXTRA
    return Claim(uid=pod.uid, weight=pod.cpu_request, limit=limit, need=need)


def _above_floor(share: int, limit: int | None) -> int:
    return max(MIN_QUOTA, share if limit is None else min(share, limit))


def _knobs(pod: BePod, quota: int | None, *, idle: bool) -> Knobs:
    cpu = None if quota is None else max(MIN_QUOTA, quota)
    return Knobs(cpu=cpu, idle=idle, memory=pod.memory_limit)


def _mode(*, idle: bool, quota: bool) -> str:
    return "+".join(word for word, on in (("idle", idle), ("quota", quota)) if on) or "off"


def _explain(
    spec: NodeColocationSpec, sample: Sample, capacity_cpu: int, used: float | None, ceiling: int | None
) -> str:
    """Why the ceiling is what it is, as a sum that the reader can check."""
    if sample.cpu is None or ceiling is None:
        return "node CPU use is not known: the last value is kept"
    cpu = spec.suppress.cpu
    target = capacity_cpu * cpu.target_percent // 100
    online = online_use(sample.cpu, used or 0)
    messages = (
        f"{cpu.target_percent} % of {human_millicores(capacity_cpu)} is {human_millicores(target)}; "
        f"online and system use {human_millicores(online)}"
    )
    wanted = max(0, target - online)
    floor = capacity_cpu * cpu.min_percent // 100
    if ceiling == wanted:
        return f"{messages}, leaving {human_millicores(ceiling)}"
    if ceiling < wanted:
        return f"{messages}, leaving {human_millicores(wanted)}; growing slowly, now {human_millicores(ceiling)}"
    return f"{messages}; the floor of {cpu.min_percent} % is {human_millicores(floor)}"


def _sum(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known or not values else None
