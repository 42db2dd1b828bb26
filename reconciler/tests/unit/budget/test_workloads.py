"""A new pod of a known workload: what it counts for, whose peaks those are, and for how long."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.budget import Peaks, Resource, Workloads, add_up, estimate
from colocation.model.facts import PodFacts, Qos, pod_facts
from colocation.model.report import NodeColocationStatus, PodUsage, Prediction
from colocation.model.wire import Container, Metadata, OwnerReference, Pod, PodSpec

HOUR = 3600
KNOWN = Peaks(300, 500)


def pod(uid: str = "new", request: int = 1000, workload: str = "d/web") -> PodFacts:
    return PodFacts(uid, uid, f"d/{uid}", "n", Qos.LS, True, request, request, workload=workload)


def row(mean: int = 100, peak: int = 150, predicted: tuple[int, int, int] | None = None, uid: str = "new") -> PodUsage:
    if predicted is None:
        return PodUsage(uid=uid, cpu=mean, cpu_peak=peak, memory=mean, memory_peak=peak)
    return PodUsage(uid=uid, cpu=mean, memory=mean, predicted=Prediction(*predicted))


@pytest.mark.parametrize(
    ("report", "siblings", "cpu", "memory"),
    [
        (None, KNOWN, 1000, 200 * 2**20),  # not seen yet: its request, or what an unseen pod counts for
        (row(), KNOWN, 300, 500),
        (row(), None, 1000, 1000),
        (row(), Peaks(300, 0), 300, 1000),  # no sibling has been observed for six hours
        (row(mean=400), KNOWN, 400, 500),  # never below its own mean use
        (row(peak=700), KNOWN, 700, 700),  # nor below its own peak
        (row(), Peaks(5000, 5000), 1000, 1000),  # never more than without siblings
        (row(predicted=(200, 250, 600)), KNOWN, 300, 500),
        (row(predicted=(200, 250, 2 * HOUR)), KNOWN, 200, 500),  # cpu is learnt, memory is not
        (row(predicted=(200, 250, 7 * HOUR)), KNOWN, 200, 250),
    ],
)
def test_what_a_pod_counts_for(report: PodUsage | None, siblings: Peaks | None, cpu: int, memory: int) -> None:
    assert estimate(pod(), report, Resource.CPU, "predicted", siblings).amount == cpu
    assert estimate(pod(), report, Resource.MEMORY, "predicted", siblings).amount == memory


def test_explain_says_so() -> None:
    found = estimate(pod(), row(predicted=(200, 250, 600)), Resource.CPU, "predicted", KNOWN)
    assert found.rule == "still learning (10 of 60 min): peak of its workload's running pods"
    assert "request" in estimate(pod(), row(), Resource.CPU, "predicted", Peaks(5000, 5000)).rule


@given(
    st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 3000),
    st.none() | st.integers(0, 8 * HOUR), st.sampled_from(list(Resource)),
)  # fmt: skip
def test_siblings_lower_a_count_at_most_to_the_pods_own_use_and_never_raise_it(
    request: int, mean: int, peak: int, sibling: int, observed: int | None, resource: Resource
) -> None:
    report = row(mean, max(mean, peak), None if observed is None else (peak, peak, observed))
    alone = estimate(pod(request=request), report, resource, "predicted").amount
    found = estimate(pod(request=request), report, resource, "predicted", Peaks(sibling, sibling)).amount
    assert min(alone, max(mean, peak)) <= found <= alone


@pytest.mark.parametrize("strategy", ["usage", "request", "maxUsageRequest"])
def test_other_strategies_know_no_siblings(strategy: str) -> None:
    for resource in Resource:
        alone = estimate(pod(), row(), resource, strategy)
        assert estimate(pod(), row(), resource, strategy, KNOWN) == alone


def test_the_largest_peak_of_the_last_half_hours_counts_and_is_forgotten() -> None:
    known = Workloads()
    known.saw("d/web", row(predicted=(300, 900, HOUR)), 0.0)
    assert known.get("d/web") == Peaks(300, 0)
    known.saw("d/web", row(predicted=(200, 500, 6 * HOUR)), 60.0)
    known.saw("d/web", row(predicted=(9000, 9000, HOUR - 1)), 70.0)
    known.saw("", row(predicted=(9000, 9000, HOUR)), 70.0)
    known.saw("d/web", row(), 70.0)
    assert known.get("d/web") == KNOWN
    known.saw("d/other", row(predicted=(1, 1, HOUR)), 1800.0)
    known.saw("d/web", row(predicted=(100, 600, 6 * HOUR)), 1900.0)
    assert known.get("d/web") == Peaks(300, 600)
    known.saw("d/other", row(predicted=(1, 1, HOUR)), 3700.0)
    assert known.get("d/web") == Peaks(100, 600)
    known.saw("d/other", row(predicted=(1, 1, HOUR)), 5600.0)
    assert known.get("d/web") is None


def test_sums_keep_the_peaks_of_those_workloads_only_that_have_a_new_pod_here() -> None:
    status = NodeColocationStatus(pods=(row(), row(uid="old", predicted=(10, 20, 7 * HOUR))))
    pods = [pod(), pod("old", workload="d/old"), pod("unseen", workload="d/unseen")]
    known = {"d/web": KNOWN, "d/old": KNOWN, "d/unseen": KNOWN, "d/elsewhere": KNOWN}
    sums = add_up(pods, status, ("predicted", "predicted"), (), known)
    assert sums.siblings == {"d/web": KNOWN}
    assert sums.cpu.online == 300 + max(100, 10) + 1000
    assert add_up(pods, status, ("predicted", "predicted")).cpu.online == 1000 + 100 + 1000


def owned(kind: str, name: str, labels: dict[str, str] | None = None, annotation: str = "") -> str:
    facts = pod_facts(
        Pod(
            metadata=Metadata(
                name="x", namespace="d", uid="u", labels=labels or {},
                annotations={"openfuyao.com/qos-level": annotation} if annotation else {},
                owner_references=(OwnerReference(kind=kind, name=name, controller=True),),
            ),
            spec=PodSpec(node_name="n", containers=(Container(name="app"), Container(name="proxy"))),
        )
    )  # fmt: skip
    assert isinstance(facts, PodFacts)
    return facts.workload


def test_all_replica_sets_of_a_deployment_and_all_runs_of_a_cron_job_are_one_workload() -> None:
    first = owned("ReplicaSet", "web-7d9f8", {"pod-template-hash": "7d9f8"})
    assert first == owned("ReplicaSet", "web-55c4b", {"pod-template-hash": "55c4b"}) == "d/ReplicaSet/web/app,proxy"
    assert owned("Job", "backup-28391234") == owned("Job", "backup-28391294") == "d/Job/backup/app,proxy"
    assert owned("Job", "import-2024") == "d/Job/import-2024/app,proxy"
    assert owned("StatefulSet", "db-1") == "d/StatefulSet/db-1/app,proxy"
    assert owned("Node", "n") == ""
    assert owned("ReplicaSet", "web", annotation="BE") == ""
