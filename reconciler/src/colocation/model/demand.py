"""Requests and limits of a pod, by the scheduler's own rule, for any resource name.

Source: k8s.io/component-helpers/resource (PodRequests, PodLimits): containers and sidecars run together,
each init container runs next to the sidecars started before it, overhead comes on top, pod-level resources
replace the sum where they are set. KEP-753 (sidecars), KEP-688 (overhead), KEP-2837 (pod-level resources):
https://github.com/kubernetes/enhancements/issues/753, .../688, .../2837
"""

from __future__ import annotations

from collections.abc import Callable

from colocation.model.wire import Container, Pod

Read = Callable[[Container], int | None]
"""One container's amount of one resource, or None where it says nothing."""


def combine(pod: Pod, read: Read, overhead: int = 0) -> int | None:
    """Amount of the whole pod while it starts or runs, whichever is more; None if no container says anything."""
    given = False
    sidecars = peak = total = 0
    for container in pod.spec.init_containers:
        amount = read(container)
        given |= amount is not None
        if container.restart_policy == "Always":
            sidecars += amount or 0
            peak = max(peak, sidecars)
        else:
            peak = max(peak, sidecars + (amount or 0))
    for container in pod.spec.containers:
        amount = read(container)
        given |= amount is not None
        total += amount or 0
    return max(total + sidecars, peak) + overhead if given else None


def all_say(pod: Pod, read: Read) -> bool:
    """True if every container says something: else a pod-level sum would be a limit for one that has none."""
    return all(read(c) is not None for c in (*pod.spec.init_containers, *pod.spec.containers))
