"""People look: they sign in, see the manager's numbers, find a starved node, and why a node has its number."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.tests.component.cluster import NAMESPACE
from tests.lab.waiting import eventually

from .browser import Weight, shot, sign_in, violations, visit
from .world import CLOSED, NODE_COUNT, PRESSED, SILENT, STARVED, SUSPECT, Console, World

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = {
    "overview": "/",
    "nodes": "/nodes",
    "node": f"/nodes/{STARVED}",
    "policies": "/policies",
    "policy": "/policies/default",
    "change": "/policies/default/edit",
    "monitor": f"/monitor?node={STARVED}&range=1h",
    "chart": "/monitor/cpu?range=1h",
    "changes": "/changes",
    "add": "/nodes:add",
}
"""Name of a page's picture to its path."""


@pytest.fixture
def page(browser: Browser, place: World, console: Console) -> Page:
    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("operator"))
        yield page


def test_j1_sign_in_and_out(browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    with visit(browser, console.url) as context:
        page = context.new_page()
        page.goto(f"{console.url}/nodes?q=node-00")
        expect(page).to_have_url(f"{console.url}/login?goTo=/nodes%3Fq%3Dnode-00")
        shot(page, "sign-in")
        assert violations(browser, page) == []
        page.get_by_label("Token", exact=True).fill("no.such.token")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("alert")).to_contain_text("does not accept this token")
        assert context.cookies() == []

        page.get_by_label("Token", exact=True).fill(place.token("operator"))
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("heading", name="Nodes")).to_be_visible()
        assert page.url.endswith("/nodes?q=node-00")
        cookies = {one["name"]: one for one in context.cookies()}
        session = cookies["__Host-colocation"]
        assert session["httpOnly"]
        assert session["secure"]
        assert session["sameSite"] == "Lax"

        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        page.goto(f"{console.url}/nodes")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_j1_an_account_that_is_gone_signs_in_anew(browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    place.account("leaver")
    place.may_see_numbers("leaver")
    token = place.token("leaver")
    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, token)
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        place.api.kubectl("delete", "serviceaccount", "leaver", f"--namespace={NAMESPACE}")

        def sent_away() -> bool:
            page.goto(f"{console.url}/policies")
            return "/login" in page.url

        eventually(sent_away, 60, "the token is asked about again", every=2)
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


@pytest.mark.parametrize("name", PAGES)
def test_every_page_is_accessible(name: str, browser: Browser, page: Page, console: Console) -> None:
    answer = page.goto(console.url + PAGES[name])
    assert answer is not None
    assert answer.status == 200
    if name in ("overview", "node", "monitor"):
        page.locator(".plot[data-drawn], .plot:has-text('No data')").first.wait_for()
    shot(page, name)
    assert violations(browser, page) == []


def test_no_page_weighs_more_than_150_kb(browser: Browser, place: World, console: Console) -> None:
    """Each in a browser that has kept nothing: the page, its styles, scripts and data, as they are sent."""
    with visit(browser, console.url) as context:
        sign_in(context.new_page(), console.url, place.token("operator"), "/policies")
        state: Any = context.storage_state()
    found = {}
    for name, path in PAGES.items():
        with visit(browser, console.url, storage_state=state) as context:
            page = context.new_page()
            weight = Weight(page)
            page.goto(console.url + path, wait_until="load")
            if name in ("overview", "node", "monitor"):
                page.locator(".plot[data-drawn], .plot:has-text('No data')").first.wait_for()
            found[name] = round(weight.kilobytes())
    assert all(5 < kilobytes <= 150 for kilobytes in found.values()), found


def test_j2_the_overview_has_the_managers_numbers(page: Page, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    rows = json.loads(place.manager.http("/v1/report"))["nodes"]
    assert len(rows) == NODE_COUNT
    found = page.context.request.get(f"{console.url}/api/v1/summary").json()
    for resource in ("cpu", "memory"):
        for key in ("capacity", "onlineRequested", "published", "allocated"):
            assert found[resource][key] == sum(row[resource][key] or 0 for row in rows), (resource, key)
        be = sum(row[resource]["usedByBe"] or 0 for row in rows)
        assert found[resource]["gainPercent"] == pytest.approx(100 * be / found[resource]["capacity"], abs=0.01)
    cores = found["cpu"]["capacity"] / 1000
    expect(page.locator(".tile").first).to_contain_text(f"{cores / 1000:.1f} k")
    gain = f"{found['cpu']['gainPercent']:.1f} %"
    expect(page.locator(".tile", has_text="gain").first).to_contain_text(gain)


def test_j3_a_starved_node_is_three_clicks_away(page: Page, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    page.goto(f"{console.url}/")
    page.get_by_role("link", name="starved best-effort pods").click()  # 1
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("link", name=STARVED).click()  # 2
    expect(page.get_by_role("heading", name=STARVED)).to_be_visible()
    expect(page.get_by_text("CPU quota of best-effort pods")).to_be_visible()


def test_each_state_has_its_nodes(page: Page, console: Console) -> None:
    wanted = {"withdrawn": SILENT, "pressed": PRESSED, "starved": STARVED, "suspect": SUSPECT, "closed": CLOSED}
    for state, node in wanted.items():
        page.goto(f"{console.url}/nodes?state={state}")
        assert page.locator("tbody th").all_inner_texts() == [node], state


def test_the_table_is_filtered_sorted_and_paged_on_the_server(page: Page, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    page.goto(f"{console.url}/nodes")
    expect(page.locator("tbody tr")).to_have_count(50)
    page.get_by_label("Name of node or policy").press_sequentially("node-01")
    expect(page.locator("tbody tr")).to_have_count(10)
    assert "q=node-01" in page.url
    expect(page.get_by_label("Name of node or policy")).to_be_focused()
    page.locator("thead a", has_text="published").first.click()
    expect(page.locator("thead th[aria-sort]")).to_have_count(1)
    first = page.locator("tbody th").first.inner_text()
    page.locator("thead a", has_text="published").first.click()
    expect(page.locator("tbody th").first).not_to_have_text(first)
    page.get_by_role("link", name="Clear", exact=True).click()
    page.get_by_role("link", name="Next page").click()
    expect(page.locator("tbody th").first).to_have_text("node-050")
    csv = page.context.request.get(f"{console.url}/api/v1/nodes.csv?q=node-01").text()
    assert len(csv.splitlines()) == 1 + 2 * 10


def test_j4_the_steps_add_up_to_what_is_published(page: Page, place: World, console: Console) -> None:
    page.goto(f"{console.url}/nodes/node-001")
    for resource, place_in_node in (("cpu", 0), ("memory", 1)):
        steps = page.locator(f"[data-waterfall={resource}] tr[data-step]")
        found = {one.get_attribute("data-step"): one.get_attribute("data-value") for one in steps.all()}
        values = {name: int(value) for name, value in found.items() if name and value}
        terms = ("capacity", "margin", "system", "online", "unrequested", "overhead")
        assert sum(values[term] for term in terms) == values["free"]
        assert values["result"] <= values["free"]
        assert values["published"] == place.cluster.published("node-001")[place_in_node]
    page.locator("[data-waterfall=cpu] summary", has_text="online").click()
    assert page.get_by_text("strategy usage of policy default").first.is_visible()


def test_charts_speak_to_the_keyboard(page: Page, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    page.goto(f"{console.url}/monitor?range=1h")
    plot = page.locator("#cluster-charts .plot[data-drawn]").first
    plot.focus()
    page.keyboard.press("End")
    expect(page.locator("#live")).to_contain_text("capacity")
    page.get_by_role("link", name="Table").first.click()
    expect(page.locator("tbody tr").first).to_be_visible()
