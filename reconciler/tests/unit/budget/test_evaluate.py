"""A node over time: staleness, restarts, withdrawal, growth; and the explanation adds up to what is published."""

import msgspec
import pytest

from colocation import budget
from colocation.budget import Candidate, Evaluation, ReportView, Selection, Windows, explain, select_policy
from colocation.model import names
from colocation.model.facts import NodeFacts, PodFacts, Published, Qos
from colocation.model.phrase import phrase, say
from colocation.model.policy import LabelSelector, Oversell, OversellCpu, OversellMemory, PolicySpec, Requirement
from colocation.model.report import SENTENCE_LENGTH, NodeColocationStatus, PodUsage, Usage

POLICY = PolicySpec(
    oversell=Oversell(
        cpu=OversellCpu(strategy="usage"),
        memory=OversellMemory(strategy="usage"),
        stale_after_seconds=180,
        grow_after_seconds=300,
    )
)
SELECTED = Selection(Candidate("default", 1, POLICY), (), phrase("onlyPolicy"))
DISABLED = Selection(Candidate("p", 1, PolicySpec(enabled=False)), (), phrase("onlyPolicy"))
NODE = NodeFacts(
    name="n1",
    uid="N",
    resource_version="1",
    labels={names.NODE_LABEL: "true"},
    cpu_capacity=10_000,
    cpu_allocatable=10_000,
    memory_capacity=2**34,
    memory_allocatable=2**34,
)


def status(cpu: int) -> NodeColocationStatus:
    return NodeColocationStatus(observed_at="t", system=Usage(cpu=cpu, memory=0))


def report(cpu: int, arrived: float = 0, *, since_start: bool = True) -> ReportView:
    return ReportView(status=status(cpu), arrived=arrived, since_start=since_start)


def evaluate(
    node: NodeFacts,
    selection: Selection,
    view: ReportView,
    pods: list[PodFacts],
    windows: Windows,
    now: float,
    *,
    foreign: bool = False,
) -> Evaluation:
    sums = budget.add_up(pods, view.status, budget.strategies(selection, view.status))
    return budget.evaluate(node, selection, view, sums, windows, now, foreign=foreign)


def carrying(cpu: int, memory: int = 2**33) -> NodeFacts:
    return msgspec.structs.replace(NODE, published=Published(cpu, memory, 250))


def test_a_new_node_is_published_at_once() -> None:
    result = evaluate(NODE, SELECTED, report(1_000, since_start=False), [], Windows(), 0)
    assert (result.decision.cpu, result.decision.gate) == (5_000, 250)


def test_shrinks_at_once_grows_after_the_window() -> None:
    windows = Windows()
    for now, use, expected in [(0, 1_000, 5_000), (10, 3_000, 3_000), (20, 0, 3_000), (319, 0, 3_000), (320, 0, 6_000)]:
        assert evaluate(carrying(5_000), SELECTED, report(use, now), [], windows, now).decision.cpu == expected


def test_next_look_is_when_the_window_lets_it_grow_or_the_report_goes_stale() -> None:
    windows = Windows()
    evaluate(NODE, SELECTED, report(3_000, 0), [], windows, 0)
    assert evaluate(carrying(5_000), SELECTED, report(0, 200), [], windows, 200).next_at == 380  # stale at 200 + 180
    evaluate(carrying(5_000), SELECTED, report(0, 350), [], windows, 350)
    assert evaluate(carrying(5_000), SELECTED, report(0, 400), [], windows, 400).next_at == 500  # 200 + 300


def test_a_restarted_manager_lowers_but_does_not_raise_until_the_agent_reports() -> None:
    windows = Windows()
    old = report(0, since_start=False)
    assert evaluate(carrying(2_000), SELECTED, old, [], windows, 0).decision.cpu == 2_000
    assert evaluate(carrying(2_000), SELECTED, old, [], windows, 400 - 300).decision.cpu == 2_000
    assert evaluate(carrying(2_000), SELECTED, report(0, 100), [], windows, 100).decision.cpu == 2_000
    assert evaluate(carrying(2_000), SELECTED, report(0, 390), [], windows, 400).decision.cpu == 6_000
    lower = evaluate(carrying(2_000), SELECTED, report(5_000, since_start=False), [], Windows(), 0)
    assert lower.decision.cpu == 1_000


def test_a_restarted_manager_does_not_open_a_closed_node_until_the_agent_reports() -> None:
    pods = [
        PodFacts(
            uid="b",
            cgroup_uid="b",
            name="d/b",
            node="n1",
            qos=Qos.BE,
            running=True,
            cpu=0,
            memory=0,
            be_cpu=3_000,
        )
    ]
    closed = msgspec.structs.replace(NODE, published=Published(3_000, 2**33, None))
    windows = Windows()
    first = evaluate(closed, SELECTED, report(0, since_start=False), pods, windows, 0)
    assert (first.decision.cpu, first.decision.gate) == (3_000, None)
    assert evaluate(closed, SELECTED, report(0, 10), pods, windows, 10).decision.gate == 250


def test_a_silent_agent_is_withdrawn_by_the_clock_alone() -> None:
    windows = Windows()
    assert evaluate(carrying(5_000), SELECTED, report(0, 0), [], windows, 179).withdraw is None
    silent = evaluate(carrying(5_000), SELECTED, report(0, 0), [], windows, 180)
    assert silent.decision.cpu is None
    assert silent.decision.withdrawn == "no report for 180 s: the agent is silent"
    back = evaluate(msgspec.structs.replace(NODE, withdrawn="silent"), SELECTED, report(0, 200), [], windows, 200)
    assert (back.decision.cpu, back.decision.withdrawn) == (0, None)
    assert evaluate(carrying(0), SELECTED, report(0, 490), [], windows, 500).decision.cpu == 6_000


def test_numbers_that_another_manager_left_stand_until_the_agents_first_report_or_until_it_would_be_silent() -> None:
    windows, none, theirs = Windows(), ReportView(), Published(5_000, 2**33, None)
    node = msgspec.structs.replace(NODE, published=theirs)
    waits = evaluate(node, SELECTED, none, [], windows, 0)
    assert (waits.decision.cpu, waits.decision.memory, waits.decision.gate) == (5_000, 2**33, None)
    assert (waits.withdraw, waits.next_at) == (None, 180)
    assert "until the agent's first report" in say(waits.decision.closed[0])
    reported = evaluate(node, SELECTED, report(0, 179), [], windows, 179)
    assert (reported.decision.cpu, reported.decision.gate) == (5_000, 250)
    late = evaluate(node, SELECTED, none, [], windows, 180)
    assert (late.decision.cpu, late.decision.withdrawn) == (None, "no report has arrived yet")


def test_another_managers_numbers_are_not_withdrawn_from_nodes_that_are_not_ours() -> None:
    theirs = Published(5_000, 2**33, None)
    for labels, selection in (({}, SELECTED), (NODE.labels, Selection(None, (), phrase("noPolicy")))):
        node = msgspec.structs.replace(NODE, labels=labels, published=theirs)
        stands = evaluate(node, selection, ReportView(), [], Windows(), 0, foreign=True)
        assert (stands.decision.cpu, stands.withdraw) == (5_000, None)
        ours = evaluate(node, selection, ReportView(), [], Windows(), 0)
        assert ours.decision.cpu is None
        assert ours.withdraw is not None


@pytest.mark.parametrize(
    ("node", "selection", "view", "reason"),
    [
        (msgspec.structs.replace(NODE, labels={}), SELECTED, report(0), "not labelled"),
        (NODE, Selection(None, (), phrase("noPolicy")), report(0), "no ColocationPolicy"),
        (
            NODE,
            Selection(Candidate("p", 1, PolicySpec(enabled=False)), (), phrase("onlyPolicy")),
            report(0),
            "policy p is disabled",
        ),
        (NODE, SELECTED, ReportView(problem="Expected `int`"), "cannot be used"),
    ],
)
def test_why_a_node_takes_no_part(node: NodeFacts, selection: Selection, view: ReportView, reason: str) -> None:
    published = msgspec.structs.replace(node, published=Published(1, 1, 1))
    result = evaluate(published, selection, view, [], Windows(), 0)
    assert reason in (result.decision.withdrawn or "")
    assert evaluate(node, selection, view, [], Windows(), 0).decision.withdrawn is None  # never published: left alone


def test_selection_by_priority_then_name_and_says_why() -> None:
    def policy(name: str, priority: int, selector: LabelSelector = LabelSelector()) -> Candidate:
        return Candidate(name, 1, PolicySpec(priority=priority, node_selector=selector))

    exists = LabelSelector(match_expressions=(Requirement(key="pool", operator="Exists"),))
    candidates = [policy("b", 1), policy("a", 1), policy("z", 5, exists)]
    chosen = select_policy(candidates, {"pool": "x"})
    assert (chosen.winner and chosen.winner.name, chosen.losers) == ("z", ("a", "b"))
    assert chosen.reason == "priority 5 is above that of a, b"
    chosen = select_policy(candidates, {})
    assert (chosen.winner and chosen.winner.name, chosen.reason) == ("a", "same priority 1 as b; a sorts first")


def test_the_top_pods_are_those_that_take_most_of_cpu_or_of_memory() -> None:
    pods = [
        PodFacts(uid, uid, f"d/{uid}", "n1", Qos.LS, running=True, cpu=cpu, memory=memory)
        for uid, cpu, memory in (("small", 500, 2**20), ("cpu", 4_000, 2**20), ("memory", 100, 2**33))
    ]
    answer = budget.top_pods(NODE, pods, report(0), SELECTED, 2)
    assert [pod.name for pod in answer] == ["d/memory", "d/cpu"]


def test_every_term_says_where_it_comes_from() -> None:
    windows, view = Windows(), report(500, 40)
    result = evaluate(NODE, SELECTED, view, [], windows, 52)
    answer = explain(NODE, SELECTED, view, [], result, windows, 52)
    assert answer.cpu is not None
    sources = {term.name: term.source for term in answer.cpu.terms}
    assert sources["margin"] == "policy default: reclaimPercent 60 keeps back the rest"
    assert sources["system"].startswith("report, 12 s old: the largest of: measured 500m outside pods; reserved")
    assert "HLS and LS pods, strategy usage of policy default" in sources["online"]


@pytest.mark.parametrize(
    ("use", "now", "words"),
    [
        (1_000, 0, "cpu: 100m less use publishes 100m more; a point of reclaimPercent is 100m"),
        (7_000, 0, "cpu: 1,100m less of online or system use, or 11 more points of reclaimPercent"),
        (1_000, 60, "silence: without a report within 120 s everything is withdrawn"),
    ],
)
def test_what_would_change_the_number_is_said(use: int, now: float, words: str) -> None:
    windows, view = Windows(), report(use, 0)
    result = evaluate(NODE, SELECTED, view, [], windows, now)
    answer = explain(NODE, SELECTED, view, [], result, windows, now)
    assert any(words in one for one in answer.would_change), answer.would_change


def test_growth_that_has_to_last_says_when_it_comes() -> None:
    windows = Windows()
    evaluate(carrying(5_000), SELECTED, report(4_000, 0), [], windows, 0)
    view = report(1_000, 100)
    result = evaluate(carrying(2_000), SELECTED, view, [], windows, 100)
    answer = explain(carrying(2_000), SELECTED, view, [], result, windows, 100)
    assert any("cpu: time: in 300 s it grows, to at most 5,000m" in one for one in answer.would_change), (
        answer.would_change
    )


def test_a_withdrawn_node_says_how_it_comes_back() -> None:
    bare = msgspec.structs.replace(NODE, labels={}, published=Published(1, 1, 1))
    result = evaluate(bare, SELECTED, report(0), [], Windows(), 0)
    answer = explain(bare, SELECTED, report(0), [], result, Windows(), 0)
    assert answer.would_change == (f"kubectl label node n1 {names.NODE_LABEL}=true",)


def test_the_explanation_adds_up() -> None:
    pods = [
        PodFacts(uid="a", cgroup_uid="a", name="d/a", node="n1", qos=Qos.LS, running=True, cpu=700, memory=2**30),
        PodFacts(
            uid="b",
            cgroup_uid="b",
            name="d/b",
            node="n1",
            qos=Qos.BE,
            running=True,
            cpu=0,
            memory=0,
            be_cpu=6_000,
            be_memory=1,
            overhead_cpu=100,
        ),
    ]
    seen = msgspec.structs.replace(
        status(500), pods=(PodUsage(uid="a", cpu=900, memory=2**29), PodUsage(uid="b", cpu=2_000, memory=2**29))
    )
    windows, view = Windows(), ReportView(status=seen, arrived=0, since_start=True)
    result = evaluate(carrying(5_000), SELECTED, view, pods, windows, 10)
    answer = explain(carrying(5_000), SELECTED, view, pods, result, windows, 10)
    assert answer.cpu is not None
    assert sum(term.value for term in answer.cpu.terms) == answer.cpu.free == 10_000 - 4_000 - 500 - 900 - 100
    assert [term.value for term in answer.cpu.terms if term.name == "overhead"] == [-100]
    assert answer.cpu.result == answer.cpu.headroom == 4_500
    assert answer.cpu.published == 6_000  # what Running pods request
    assert not answer.gate.open
    assert "cpu: headroom 4,500m is below the 6,000m allocated" in answer.reason
    assert [(p.name, p.cpu, p.cpu_rule) for p in answer.top_pods] == [("d/a", 900, "mean use")]
    assert msgspec.json.decode(msgspec.json.encode(answer))["schema"] == "colocation.openfuyao.com/explain/v1"


def test_a_long_reason_for_withdrawing_a_node_is_cut_before_it_becomes_an_annotation() -> None:
    view = ReportView(status=status(500), problem="x" * 300_000, arrived=0, since_start=True)
    made = evaluate(carrying(5_000), SELECTED, view, [], Windows(), 10)
    assert made.decision.withdrawn is not None
    assert len(made.decision.withdrawn) == SENTENCE_LENGTH
    assert made.decision.withdrawn.endswith("...")
