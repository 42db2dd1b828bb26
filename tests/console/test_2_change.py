"""People change: with checks at the field, the effect before, a conflict, the way back; nodes that are switched."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from colocation.budget.rollout import canary_nodes
from colocation.kube.resources import EVENTS, NODES, POLICIES
from colocation.model.policy import Rollout
from tests.lab.waiting import eventually

from .browser import shot, sign_in, visit
from .journey import MOST_CLICKS, raise_target
from .world import STARVED, Console, World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PERCENT = "oversell.cpu.reclaimPercent"


@pytest.fixture
def page(browser: Browser, place: World, console: Console) -> Page:
    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("operator"))
        yield page


@pytest.fixture
def policy(place: World) -> Any:
    """A policy of this test's own, for the last ten nodes."""
    name = "tested"
    for number in range(90, 100):
        place.rest.patch(NODES.path(f"node-{number:03}"), {"metadata": {"labels": {"pool": name}}})
    oversell = {"cpu": {"strategy": "usage"}, "memory": {"strategy": "usage"}, "growAfterSeconds": 0}
    oversell["staleAfterSeconds"] = 7200
    often = {"intervalSeconds": 5, "minIntervalSeconds": 1}  # a failed check must last for two reports
    selector = {"matchLabels": {"pool": name}}
    place.cluster.policy(name, oversell=oversell, report=often, priority=50, nodeSelector=selector)
    eventually(lambda: place.policy(name).get("status", {}).get("updatedNodes") == 10, 60, "it is everywhere")
    yield name
    place.rest.delete(POLICIES.path(name))
    for number in range(90, 100):
        place.rest.patch(NODES.path(f"node-{number:03}"), {"metadata": {"labels": {"pool": None}}})


def field(page: Page, path: str) -> Any:
    return page.locator(f"[id='f-{path}']")


def test_j5_a_change_is_checked_shown_confirmed_and_followed(
    browser: Browser, page: Page, place: World, console: Console, policy: str
) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    before = place.cluster.published("node-099")[0]
    page.goto(f"{console.url}/policies/{policy}")
    page.get_by_role("link", name="Change", exact=True).click()
    expect(field(page, PERCENT)).to_have_value("60")
    field(page, PERCENT).fill("160")
    field(page, "evict.memory.lowPercent").fill("90")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.get_by_role("alert")).to_contain_text(PERCENT)
    expect(page.locator(f"[id='e-{PERCENT}']")).to_be_visible()
    shot(page, "change-wrong")
    assert violations_of_post(page) == []

    field(page, PERCENT).fill("70")
    page.get_by_role("button", name="Show the effect").click()
    # the ranges hold now, so the API server is asked: its rule about the two marks
    expect(page.get_by_role("alert")).to_contain_text("lowPercent must be smaller than")
    field(page, "evict.memory.lowPercent").fill("80")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.locator("#effect")).to_contain_text("of 100 nodes change")
    expect(page.locator(".diff tbody tr")).to_have_count(1)
    expect(page.locator(".diff tbody tr")).to_contain_text("60")
    shot(page, "change-effect")
    assert violations_of_post(page) == []
    assert place.policy(policy)["spec"]["oversell"]["cpu"]["reclaimPercent"] == 60, "nothing was written yet"

    page.get_by_label("Reason").fill("the night has room")
    confirm(page, policy)
    expect(page.locator("#progress")).to_be_visible()
    assert page.url.endswith(f"/policies/{policy}?follow=1")
    expect(page.locator("#progress")).to_have_attribute("data-updated", "10")
    shot(page, "change-follow")
    assert place.policy(policy)["spec"]["oversell"]["cpu"]["reclaimPercent"] == 70
    eventually(lambda: (place.cluster.published("node-099")[0] or 0) > (before or 0), 60, "be-cpu of its nodes grows")

    told = [one for one in place.cluster.get(EVENTS.path(namespace="default"))["items"] if "night" in json.dumps(one)]
    assert told, "an Event says who changed it and why"
    page.goto(f"{console.url}/changes")
    row = page.locator("tbody tr", has_text="the night has room").first
    expect(row).to_contain_text(PERCENT)
    expect(row).to_contain_text("operator")
    shot(page, "changes")


def test_a_stranger_finds_a_starved_node_and_raises_its_policys_target_in_at_most_twelve_clicks(
    browser: Browser, place: World, console: Console
) -> None:
    before = place.policy("default")["spec"]["suppress"]
    with visit(browser, console.url) as context:
        clicks = raise_target(context.new_page(), console.url, place.token("operator"), STARVED, 80)
    assert place.policy("default")["spec"]["suppress"]["cpu"]["targetPercent"] == 80
    place.rest.patch(POLICIES.path("default"), {"spec": {"suppress": before}})
    assert clicks <= MOST_CLICKS


def confirm(page: Page, name: str) -> None:
    """Write it; where the risk is high, with the name typed."""
    typed = page.get_by_label(re.compile("Type the policy"))
    if typed.count():
        assert page.locator("button[data-confirm]").is_disabled()
        typed.fill(name)
    page.locator("button[data-confirm]").click()
    page.wait_for_load_state()


def violations_of_post(page: Page) -> list[str]:
    """Of a page that a form led to: axe's script by its text, which the page's policy lets a test's world run."""
    from build import npm  # noqa: PLC0415

    from .browser import AXE, WCAG  # noqa: PLC0415

    source = (npm.ensure(AXE) / "axe.min.js").read_text()
    html = page.content()
    context = page.context.browser.new_context(bypass_csp=True, viewport=page.viewport_size, reduced_motion="reduce")
    try:
        other = context.new_page()
        styles = page.locator("link[rel=stylesheet]").all()
        links = [page.evaluate("one => one.href", style.element_handle()) for style in styles]
        texts = [page.context.request.get(link).text() for link in links]
        other.set_content(re.sub(r"<(script|link)[^>]*>(</script>)?", "", html))
        for text in texts:
            other.add_style_tag(content=text)
        other.evaluate(source)
        found = other.evaluate("tags => axe.run(document, {runOnly: tags})", list(WCAG))
    finally:
        context.close()
    return [f"{one['id']}: {node['html'][:200]}" for one in found["violations"] for node in one["nodes"][:3]]


def test_j5_the_same_as_yaml(page: Page, place: World, console: Console, policy: str) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    page.goto(f"{console.url}/policies/{policy}/edit")
    field(page, PERCENT).fill("65")
    page.get_by_role("button", name="Show as YAML").click()
    text = page.locator("#f-yaml")
    expect(text).to_contain_text("reclaimPercent: 65")
    text.fill(text.input_value().replace("reclaimPercent: 65", "reclaimPercnt: 66", 1))
    page.get_by_role("button", name="Show the effect").click()
    expect(page.get_by_role("alert")).to_contain_text("reclaimPercnt")
    page.locator("#f-yaml").fill("a: [")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.get_by_role("alert")).to_contain_text("not YAML")
    assert place.policy(policy)["spec"]["oversell"]["cpu"]["reclaimPercent"] == 60


def test_j6_two_people_at_once(page: Page, place: World, console: Console, policy: str) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    page.goto(f"{console.url}/policies/{policy}/edit")
    field(page, PERCENT).fill("70")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.locator("#effect")).to_be_visible()
    theirs = {"spec": {"suppress": {"cpu": {"targetPercent": 55}}, "oversell": {"cpu": {"reclaimPercent": 62}}}}
    place.rest.patch(POLICIES.path(policy), theirs)
    confirm(page, policy)
    expect(page.locator("#conflict")).to_be_visible()
    shot(page, "conflict")
    assert violations_of_post(page) == []
    rows = page.locator("tbody tr")
    expect(rows.filter(has_text=PERCENT)).to_contain_text("both changed it")
    expect(rows.filter(has_text="suppress.cpu.targetPercent")).to_contain_text("55")
    assert place.policy(policy)["spec"]["oversell"]["cpu"]["reclaimPercent"] == 62, "theirs stands"
    page.get_by_role("button", name="Put mine on top").click()
    expect(page.locator(".diff tbody tr")).to_have_count(1)
    confirm(page, policy)
    expect(page.locator("#progress")).to_be_visible()
    spec = place.policy(policy)["spec"]
    assert (spec["oversell"]["cpu"]["reclaimPercent"], spec["suppress"]["cpu"]["targetPercent"]) == (70, 55)


def test_j7_a_stopped_roll_out_leads_back(page: Page, place: World, console: Console, policy: str) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    mine = [f"node-{number:03}" for number in range(90, 100)]
    first = canary_nodes(policy, Rollout(percent=10), ((node, {}) for node in mine))
    for node in mine:
        place.report(node, pressure={"cpu": 2.0, "memory": 0.0})
    eventually(lambda: place.policy(policy).get("status", {}).get("stable"), 60, "it has a stable version")
    page.goto(f"{console.url}/policies/{policy}/edit")
    field(page, PERCENT).fill("68")
    field(page, "rollout.percent").fill("10")
    field(page, "rollout.pauseSeconds").fill("300")
    page.get_by_role("button", name="Show the effect").click()
    confirm(page, policy)
    expect(page.locator("#progress")).to_contain_text("1 of 10 nodes")  # followed by the stream, without a reload
    shot(page, "roll-out")
    for _ in range(40):
        for node in mine:
            place.report(node, pressure={"cpu": 60.0 if node in first else 2.0, "memory": 0.0})
        if place.policy(policy)["status"].get("rolloutStopped"):
            break
        page.wait_for_timeout(1000)
    expect(page.locator("#stopped")).to_contain_text("The change was stopped")
    shot(page, "roll-out-stopped")
    page.get_by_role("link", name="Go back to the version before").click()
    expect(field(page, PERCENT)).to_have_value("60")
    page.get_by_role("button", name="Show the effect").click()
    expect(page.locator(".diff tbody tr", has_text=PERCENT)).to_contain_text("68")
    confirm(page, policy)
    expect(page.locator("#progress")).to_be_visible()
    assert place.policy(policy)["spec"]["oversell"]["cpu"]["reclaimPercent"] == 60
    for node in mine:
        place.report(node)


def test_j8_three_nodes_are_switched_off_and_on(page: Page, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    names = ["node-017", "node-018", "node-019"]
    page.goto(f"{console.url}/nodes?q=node-01&sort=node&order=desc")
    for name in names:
        page.get_by_label(f"Choose {name}").check()
    page.get_by_role("button", name="Stop taking part").click()
    expect(page.get_by_role("heading", name="Stop these nodes")).to_be_visible()
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.locator("main")).to_contain_text("default/batch-017")
    shot(page, "switch")
    assert violations_of_post(page) == []
    assert all(taking_part(place, name) for name in names), "nothing was written yet"
    page.get_by_role("button", name="Stop 3 nodes").click()
    expect(page.get_by_role("link", name="Back to the nodes")).to_be_visible()
    assert not any(taking_part(place, name) for name in names)

    page.goto(f"{console.url}/nodes:add")
    for name in names:
        page.get_by_label(f"Choose {name}").check()
    page.get_by_role("button", name="Take part").click()
    page.get_by_role("button", name="Let 3 nodes take part").click()
    expect(page.get_by_role("link", name="Back to the nodes")).to_be_visible()
    assert all(taking_part(place, name) for name in names)


def taking_part(place: World, name: str) -> bool:
    labels = place.cluster.get(NODES.path(name))["metadata"].get("labels", {})
    return bool(labels.get("node.openfuyao.com/colocation") == "true")


def test_j9_a_reader_sees_no_button_and_the_api_server_refuses_the_rest(
    browser: Browser, place: World, console: Console
) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("reader"))
        for path in ("/nodes", "/policies", "/policies/default", "/nodes/node-001"):
            page.goto(console.url + path)
            expect(page.locator("main")).to_be_visible()
            assert page.locator("main a.button.main, main button[name=colocation], main input[name=names]").count() == 0
        page.goto(f"{console.url}/policies/default")
        version = place.policy("default")["metadata"]["resourceVersion"]
        spec = json.dumps(place.policy("default")["spec"])
        answer = page.evaluate(
            """async ({spec, version, csrf}) => (await fetch('../policies:check', {method: 'POST', body:
            new URLSearchParams({name: 'default', form: 'json', spec, base: spec, version, csrf})})).status""",
            {"spec": spec, "version": version, "csrf": page.locator("input[name=csrf]").first.input_value()},
        )
        assert answer in (403, 409), answer
        me = context.request.get(f"{console.url}/api/v1/me").json()
        direct = context.request.put(
            f"{console.url}/api/v1/policies/default",
            data={"spec": json.loads(spec), "version": version},
            headers={"X-Csrf": me["csrf"], "X-Check": "1.2", "Origin": console.url, "Sec-Fetch-Site": "same-origin"},
        )
        assert direct.status in (403, 412)
    assert json.dumps(place.policy("default")["spec"]) == spec


def test_deleting_a_policy_names_what_it_does(page: Page, place: World, console: Console, policy: str) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    page.goto(f"{console.url}/policies/{policy}")
    page.get_by_role("link", name="Delete").click()
    expect(page.locator("#risk")).to_have_attribute("data-risk", "high")
    shot(page, "delete")
    confirm(page, policy)
    expect(page.get_by_role("heading", name="Policies")).to_be_visible()
    assert policy not in place.api.kubectl("get", "cpol", "-o", "name")
    place.cluster.policy(policy)


def test_a12_starved_to_a_raised_target_in_twelve_clicks(page: Page, place: World, console: Console) -> None:
    """Somebody who has never seen it: only what the pages offer, counted."""
    from playwright.sync_api import expect  # noqa: PLC0415

    clicks = 0

    def click(what: Any) -> None:
        nonlocal clicks
        clicks += 1
        what.click()

    page.goto(f"{console.url}/")
    click(page.get_by_role("link", name="starved best-effort pods"))
    click(page.locator("tbody th a").first)
    click(page.locator("section", has_text="Policy").get_by_role("link", name="default").first)
    click(page.get_by_role("link", name="Change", exact=True))
    click(field(page, "suppress.cpu.targetPercent"))
    field(page, "suppress.cpu.targetPercent").fill("75")
    click(page.get_by_role("button", name="Show the effect"))
    expect(page.locator(".diff tbody tr")).to_contain_text("suppress.cpu.targetPercent")
    typed = page.get_by_label(re.compile("Type the policy"))
    if typed.count():
        click(typed)
        typed.fill("default")
    click(page.locator("button[data-confirm]"))
    expect(page.locator("#progress")).to_be_visible()
    assert place.policy("default")["spec"]["suppress"]["cpu"]["targetPercent"] == 75
    assert clicks <= 12
    print(f"clicks: {clicks}")
