"""Filters, sums, differences, risks, memory: what the console computes by itself."""

from __future__ import annotations

import csv
import io
import json
import re
from email.message import Message
from ipaddress import ip_network
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from colocation.console import check, routes, table
from colocation.console.gate import NO_SECONDS, YES_SECONDS, Gate, Right
from colocation.console.model import Query
from colocation.console.openapi import document
from colocation.console.place import Options, language, place
from colocation.console.ring import NODE_STEP, Ring
from colocation.console.router import Router
from colocation.console.schema import schema
from colocation.console.sign import local
from colocation.console.snapshot import Seen
from colocation.console.tries import MOST, Tries
from colocation.kube.rest import ApiError
from colocation.model import form
from colocation.model.answers import Amounts, Carried, Row, Simulation, WhatIf
from colocation.model.policy import PolicySpec
from colocation.serving import Refused, Request
from colocation.text import printable

GI = 2**30


def amounts(**more: Any) -> Amounts:
    given: dict[str, Any] = {"capacity": 10_000, "online_requested": 4_000, "used": 3_000, "published": 2_000}
    return Amounts(**{**given, "allocated": 1_000, "used_by_be": 500, **more})


def row(name: str = "n", **more: Any) -> Row:
    given: dict[str, Any] = {
        "node": name, "policy": "p", "open": True, "withdrawn": None, "report_age_seconds": 5.0, "online_pods": 2,
        "be_pods": 1, "cpu": amounts(), "memory": amounts(capacity=100 * GI), "reason": "fine",
    }  # fmt: skip
    return Row(**{**given, **more})


def seen(*rows: Row, at: float = 0.0) -> Seen:
    made = table.as_rows(rows)
    return Seen(
        rows=made,
        by_name={one.node: one for one in made},
        counts=table.count(made),
        cpu=table.sums(one.cpu for one in made),
        memory=table.sums(one.memory for one in made),
        policies=("p",),
        at=at,
        holder="m",
        leads=True,
    )


@pytest.mark.parametrize(
    ("more", "states"),
    [
        ({}, ("open",)),
        ({"open": False}, ("closed",)),
        ({"open": False, "withdrawn": "x", "withdrawal": "StaleReport"}, ("withdrawn", "stale")),
        ({"open": False, "withdrawn": "x", "withdrawal": "Disabled"}, ("withdrawn",)),
        ({"pressure_cpu": 26.0}, ("open", "pressed")),
        ({"pressure_cpu": 25.0, "pressure_memory": 5.0}, ("open",)),
        ({"pressure_memory": 5.1}, ("open", "pressed")),
        ({"starved": 1}, ("open", "starved")),
        ({"throttled_pods": 1, "cpu_quota": 499}, ("open", "starved")),
        ({"throttled_pods": 1, "cpu_quota": 500}, ("open",)),
        ({"throttled_pods": 0, "cpu_quota": 0}, ("open",)),
        ({"suspicions": ("Clock",)}, ("open", "suspect")),
    ],
)
def test_states(more: dict[str, Any], states: tuple[str, ...]) -> None:
    assert table.states(row(**more)) == states


def test_unknown_is_never_nought() -> None:
    found = table.sums([amounts(used=None, used_by_be=None), amounts(used=None, used_by_be=None)])
    assert (found.used, found.used_by_be, found.gain_percent, found.used_capacity) == (None, None, None, 0)
    found = table.sums([amounts(used=None), amounts(used=0)])
    assert (found.used, found.used_capacity) == (0, 10_000)
    assert table.sums([]).gain_percent is None


SORTS = ("node", "policy", "age", "bePods", "pressure", "cpu.used", "memory.gain", "cpu.published")


@given(
    st.lists(st.tuples(st.text("abc", min_size=1, max_size=3), st.one_of(st.none(), st.integers(0, 9))), max_size=12),
    st.sampled_from(SORTS),
    st.sampled_from(["asc", "desc"]),
)
def test_every_order_keeps_all_rows_and_puts_the_unknown_last(
    given_rows: list[tuple[str, int | None]], sort: str, order: Any
) -> None:
    rows = table.as_rows(
        row(name, policy=None if n is None else name, report_age_seconds=n, pressure_cpu=n, cpu=amounts(used=n))
        for name, n in given_rows
    )
    found = table.chosen(rows, Query(sort=sort, order=order))
    assert sorted(id(one) for one in found) == sorted(id(one) for one in rows)
    values = [table.order(sort)(one) for one in found]
    known = [value for value in values if value is not None]
    assert values == known + [None] * (len(values) - len(known))
    assert known == sorted(known, reverse=order == "desc")


def test_an_order_that_there_is_not_is_told() -> None:
    with pytest.raises(ValueError, match="no order"):
        table.chosen((), Query(sort="cpu.__class__"))


def test_filters_are_all_held() -> None:
    rows = table.as_rows([row("web-1"), row("web-2", policy="q"), row("db", open=False)])
    assert [one.node for one in table.chosen(rows, Query(q="WEB"))] == ["web-1", "web-2"]
    assert [one.node for one in table.chosen(rows, Query(q="web", policy="q"))] == ["web-2"]
    assert [one.node for one in table.chosen(rows, Query(state=("closed",)))] == ["db"]
    assert table.chosen(rows, Query(state=("closed", "open"))) == []


@given(st.text(max_size=40), st.text(max_size=40))
def test_no_cell_of_the_csv_is_a_formula_and_all_come_back(name: str, reason: str) -> None:
    text = table.as_csv(table.as_rows([row(name, reason=reason)]))
    head, *lines = csv.reader(io.StringIO(text, newline=""), lineterminator="\n")
    assert tuple(head) == table.HEAD
    assert len(lines) == 2
    for line in lines:
        assert line[0] in (printable(name), f"'{printable(name)}")
        assert not line[0].startswith(("=", "+", "-", "@"))
        assert not line[-1].startswith(("=", "+", "-", "@"))


specs = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 200), st.sampled_from(["100m", "usage", "x"])),
    lambda inner: st.dictionaries(st.sampled_from(["a", "b", "oversell", "cpu"]), inner, max_size=3),
    max_leaves=8,
).filter(lambda one: isinstance(one, dict))


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(one) for key, one in value.items() if one is not None}
    return value


def merged(before: Any, patch: Any) -> Any:
    """RFC 7396, word for word."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


@given(specs.map(without_none), specs.map(without_none))
def test_a_merge_patch_makes_one_spec_the_other(before: Any, after: Any) -> None:
    assert merged(before, check.merge_patch(before, after)) == after


def carried(cpu: int | None, *, is_open: bool = True) -> Carried:
    return Carried(policy="p", cpu=cpu, memory=GI, open=is_open, max_pods=9)


def simulated(*pairs: tuple[Carried, Carried]) -> Simulation:
    return Simulation(nodes=tuple(WhatIf(node=f"n{i}", now=a, then=b, reason="") for i, (a, b) in enumerate(pairs)))


@pytest.mark.parametrize(
    ("before", "after", "pair", "codes"),
    [
        ({}, {"priority": 1}, (carried(100), carried(100)), []),
        ({}, {"priority": 1}, (carried(100), carried(80)), []),
        ({}, {"priority": 1}, (carried(100), carried(79)), ["moves"]),
        ({}, {"priority": 1}, (carried(100), carried(100, is_open=False)), ["closes"]),
        ({}, {"enabled": False}, (carried(100), carried(None, is_open=False)), ["disables", "closes", "moves"]),
        ({}, None, (carried(100), carried(100)), ["deletes"]),
        ({}, {"engine": "none"}, (carried(100), carried(100)), ["engine"]),
        (None, {}, (carried(None, is_open=False), carried(100)), []),
    ],
)
def test_risk(before: Any, after: Any, pair: tuple[Carried, Carried], codes: list[str]) -> None:
    found = check.risk(before, after, check.effect(simulated(pair)))
    assert [one.code for one in found.reasons] == codes
    assert found.level == ("high" if codes else "low")


def test_an_effect_that_is_not_known_is_a_risk_of_its_own() -> None:
    assert check.risk({}, {"priority": 1}, None).level == "unknown"


def test_the_form_has_every_field_with_a_meaning_and_its_range() -> None:
    fields = {one.path: one for one in schema().fields}
    assert set(form.effective({})) == set(fields)
    assert all(one.text for one in fields.values())
    target = fields["suppress.cpu.targetPercent"]
    assert (target.minimum, target.maximum, target.default, target.unit) == (1, 100, 65, "%")
    assert any("oversell.staleAfterSeconds must be at least twice" in rule for rule in schema().rules)


def test_what_the_form_calls_good_is_what_the_decoder_takes() -> None:
    assert form.wrong(msgspec.to_builtins(PolicySpec())) == ()
    assert form.wrong({}) == ()
    assert form.wrong([])[0].code == "type"


@given(specs)
def test_the_form_and_the_decoder_agree(spec: Any) -> None:
    wrong = form.wrong(spec)
    try:
        msgspec.convert(spec, PolicySpec)
    except msgspec.ValidationError:
        assert wrong
    else:
        assert all(one.code == "unknownField" for one in wrong)


def request(path: str = "/nodes", address: str = "9.9.9.9", **headers: str) -> Request:
    message = Message()
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    return Request(path, "", "", message, b"", 0.0, "GET", address)


TRUSTING = Options(trusted_proxies=(ip_network("10.0.0.0/8"),))
PROXIED = "/api/v1/namespaces/ns/services/http:colocation-console:80/proxy"


@pytest.mark.parametrize(
    ("given_request", "options", "base", "secure"),
    [
        (request(Host="console.example"), Options(), "", False),
        (request(Host="127.0.0.1:8443"), Options(), "", True),
        (request(Host="[::1]:8443"), Options(), "", True),
        (request(Host="localhost"), Options(), "", True),
        (request(Host="localhost.evil"), Options(), "", False),
        (request(Host="a", X_Forwarded_Proto="https"), Options(), "", False),
        (request(Host="a", X_Forwarded_Proto="https"), TRUSTING, "", False),
        (request(address="10.1.1.1", Host="a", X_Forwarded_Proto="https"), TRUSTING, "", True),
        (request(address="10.1.1.1", Host="a", X_Forwarded_Prefix="/clusters/c/"), TRUSTING, "/clusters/c", False),
        (request(Host="a", X_Forwarded_Prefix="/clusters/c"), TRUSTING, "", False),
        (request(address="10.1.1.1", Host="a", X_Forwarded_Prefix='/"><script>'), TRUSTING, "", False),
        (request(address="10.1.1.1", Host="a", X_Forwarded_Prefix="//evil"), TRUSTING, "", False),
        (request(Host="a", X_Forwarded_Uri=f"{PROXIED}/nodes?x=1"), Options(), PROXIED, True),
        (request(Host="a", X_Forwarded_Uri="/evil/nodes"), Options(), "", False),
        (request("/colo/nodes", Host="a"), Options(base_path="/colo"), "/colo", False),
    ],
)
def test_where_a_request_came_in(given_request: Request, options: Options, base: str, secure: bool) -> None:
    found = place(given_request, options)
    assert (found.base, found.path, found.secure) == (base, "/nodes", secure)


@given(st.text(max_size=60))
def test_after_signing_in_nobody_is_sent_elsewhere(path: str) -> None:
    found = local(path)
    assert found.startswith("/")
    assert not found.startswith("//")
    assert "\\" not in found
    assert "\n" not in found
    assert "\r" not in found


@pytest.mark.parametrize("bad", ["//evil", "https://evil", "/\\evil", "/\nSet-Cookie: a=b", "javascript:x", "", "/é"])
def test_links_to_elsewhere_become_the_first_page(bad: str) -> None:
    assert local(bad) == "/"


@pytest.mark.parametrize(
    ("chosen", "accepted", "found"),
    [
        ("", "", "en"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("", "de,en;q=0.5,zh;q=0.4", "en"),
        ("zh", "en", "zh"),
        ("xx", "zh", "zh"),
        ("", "zh;q=x", "en"),
    ],
)
def test_language(chosen: str, accepted: str, found: str) -> None:
    assert language(chosen, accepted) == found


def test_the_ring_gives_back_what_it_saw_and_knows_what_it_did_not() -> None:
    ring = Ring(0.0)
    base = NODE_STEP * 1000
    ring.take(seen(row("a", cpu=amounts(used=2_500, used_by_be=None)), at=base))
    ring.take(seen(row("a"), row("b"), at=base + NODE_STEP))
    times, (used, by_be) = ring.node("a", ("cpu.used", "cpu.be_used"), base, base + NODE_STEP)
    assert times == [base, base + NODE_STEP]
    assert used == [pytest.approx(2_500, abs=1), pytest.approx(3_000, abs=1)]
    assert by_be == [None, pytest.approx(500, abs=1)]
    assert ring.node("b", ("cpu.used",), base, base + NODE_STEP)[1] == [[None, pytest.approx(3_000, abs=1)]]
    _, (capacity,) = ring.cluster(("cpu.capacity",), base, base + NODE_STEP)
    assert (capacity[0], capacity[-1], capacity[1]) == (10_000, 20_000, None)
    gained = ring.gained()
    assert gained is not None
    assert gained.core_hours == pytest.approx(1_000 / 1000 / 60, abs=0.01)
    ring.take(seen(row("b"), at=base + 2 * NODE_STEP))
    with pytest.raises(KeyError):
        ring.node("a", ("cpu.used",), base, base)
    ring.take(seen(row("b"), row("c"), at=base + 3 * NODE_STEP))
    assert ring.node("c", ("cpu.used",), base, base + 2 * NODE_STEP)[1] == [[None] * 3], "nothing of the node before it"


class Api:
    """A fault is injected: an API server that answers as told, and counts."""

    def __init__(self) -> None:
        self.asked, self.allowed, self.error = 0, True, None  # type: int, bool, ApiError | None

    def send(self, *_: Any, **__: Any) -> bytes:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return json.dumps({"status": {"allowed": self.allowed}}).encode()


def test_a_yes_is_kept_half_a_minute_a_no_five_seconds_and_no_answer_not_at_all() -> None:
    now, api, right = [0.0], Api(), Right("list", "nodes")
    gate = Gate(lambda: now[0])

    def may(token: str = "t") -> bool:
        return gate.may(api, token, right)  # type: ignore[arg-type]

    assert may()
    api.allowed = False
    now[0] = YES_SECONDS - 0.1
    assert (may(), api.asked) == (True, 1)
    now[0] = YES_SECONDS
    assert (may(), api.asked) == (False, 2)
    now[0] += NO_SECONDS - 0.1
    api.allowed = True
    assert (may(), api.asked) == (False, 2)
    now[0] += 0.1
    assert (may(), api.asked) == (True, 3)
    assert may("another")
    assert api.asked == 4
    now[0] += YES_SECONDS
    api.error = ApiError(0, "Unreachable", "gone")
    for _ in range(2):
        with pytest.raises(ApiError):
            may()
    assert api.asked == 6


def test_five_wrong_tokens_a_minute() -> None:
    now = [0.0]
    tries = Tries(lambda: now[0])
    for _ in range(MOST):
        assert tries.wait("a") == 0
        tries.wrong("a")
    assert 0 < tries.wait("a") <= 61
    assert tries.wait("b") == 0
    now[0] = 61.0
    assert tries.wait("a") == 0


def test_routes_and_description_are_the_same() -> None:
    described = json.loads(document(routes.ALL))
    given_paths = {(path, method) for path, one in described["paths"].items() for method in one}
    assert given_paths == {(one.path, one.method.lower()) for one in routes.ALL if one.path.startswith("/api/")}
    text = json.dumps(described)
    for reference in set(re.findall(r"#/components/schemas/(\w+)", text)):
        assert reference in described["components"]["schemas"]
    identities = [op["operationId"] for one in described["paths"].values() for op in one.values()]
    assert len(set(identities)) == len(identities)


def test_a_path_is_found_whatever_the_names_in_it_hold() -> None:
    router = Router(routes.ALL)
    assert router.find("GET", "/api/v1/policies/a.b-c")[1] == {"name": "a.b-c"}
    assert router.find("POST", "/api/v1/policies/a:check")[0].path.endswith(":check")
    assert router.find("GET", "/policies/new")[1] == {"name": "new"}
    assert router.find("GET", "/policies:new")[0].template == "edit"
    for path in ("/api/v1/policies/a/b", "/api/v1/policies/", "/nodes/a/b", "//", "/static/../x"):
        with pytest.raises(Refused) as caught:
            router.find("GET", path)
        assert caught.value.code == 404
    with pytest.raises(Refused) as caught:
        router.find("DELETE", "/api/v1/nodes")
    assert caught.value.code == 405


def test_a_row_of_a_newer_manager_is_read() -> None:
    text = msgspec.json.encode({**msgspec.to_builtins(row()), "somethingNew": 1})
    assert msgspec.json.decode(text, type=Row) == structs.replace(row())
