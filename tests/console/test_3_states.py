"""What people see when something is missing or away: each state has a sentence and a way on."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from colocation.console.session import Sessions
from colocation.kube.resources import NODE_COLOCATIONS, NODES, POLICIES
from reconciler.tests.component.proxy import Proxy
from tests.lab.apiserver import ApiServer, free_ports
from tests.lab.waiting import eventually

from .browser import shot, sign_in, visit
from .world import Console, World

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser


def test_no_right_to_the_report_names_the_grant(browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("stranger"))
        for path in ("/", "/nodes", "/nodes/node-001", "/monitor"):
            answer = page.goto(console.url + path)
            assert answer is not None
            assert answer.status == 403
            expect(page.locator("pre")).to_contain_text("colocation grant reader")
            assert "node-0" not in page.locator("main").inner_text().replace("/node-001", "")
        shot(page, "no-right")


def test_a_part_without_right_is_left_out_and_named(browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("numbers"))
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        expect(page.locator(".banner").first).to_contain_text("Left out")
        page.goto(f"{console.url}/policies")
        expect(page.locator("pre")).to_contain_text("colocation grant")
        shot(page, "part-left-out")


def test_no_such_page_node_and_policy(browser: Browser, place: World, console: Console) -> None:
    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("operator"))
        for path in ("/no-such-page", "/nodes/no-such-node", "/policies/no-such-policy", "/nodes?sort=no-such-order"):
            answer = page.goto(console.url + path)
            assert answer is not None
            assert answer.status in (400, 404), path
            assert page.get_by_role("link", name="Overview").count() >= 1, path


def test_j10_the_manager_is_killed_and_comes_back(browser: Browser, place: World) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    second = place.another_manager()
    console = place.console(manager=second)
    try:
        with visit(browser, console.url) as context:
            page = context.new_page()
            sign_in(page, console.url, place.token("operator"))
            expect(page.locator(".tiles").first).to_be_visible()
            second.end(signal.SIGKILL)
            expect(page.locator("#live")).to_contain_text("The manager does not answer")  # without a reload
            page.reload()
            expect(page.locator(".banner").first).to_contain_text("the data is the last that it gave")
            expect(page.locator(".tiles").first).to_be_visible()
            shot(page, "manager-away")
            page.goto(f"{console.url}/policies/batch/edit")
            page.get_by_role("button", name="Show the effect").click()
            expect(page.locator("main")).to_contain_text("The effect is not known")
    finally:
        console.end()


def test_j10_no_data_yet(browser: Browser, place: World) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    gone = place.another_manager()
    gone.end(signal.SIGKILL)
    console = place.console(manager=gone)
    try:
        with visit(browser, console.url) as context:
            page = context.new_page()
            sign_in(page, console.url, place.token("operator"))
            expect(page.locator("main")).to_contain_text("tries again")
            shot(page, "no-data-yet")
            page.close()  # it tries again by itself
            page = context.new_page()
            page.goto(f"{console.url}/policies")  # needs no manager
            expect(page.get_by_role("link", name="default")).to_be_visible()
    finally:
        console.end()


@pytest.fixture
def empty(place: World) -> Iterator[World]:
    """Nothing is labelled, and there is no policy, for a while."""
    policies = [place.policy(name) for name in ("default", "batch")]
    names = [one["metadata"]["name"] for one in place.cluster.get(NODE_COLOCATIONS.path())["items"]]
    for name in names:
        place.rest.patch(NODES.path(name), {"metadata": {"labels": {"node.openfuyao.com/colocation": None}}})
    for one in policies:
        place.rest.delete(POLICIES.path(one["metadata"]["name"]))
    yield place
    for one in policies:
        place.cluster.policy(one["metadata"]["name"], **one["spec"])
    for name in names:
        place.rest.patch(NODES.path(name), {"metadata": {"labels": {"node.openfuyao.com/colocation": "true"}}})


def test_no_node_and_no_policy(browser: Browser, empty: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, empty.token("operator"))

        def nothing() -> bool:
            page.goto(f"{console.url}/")
            return "No node takes part yet" in page.locator("main").inner_text()

        eventually(nothing, 60, "the console has seen that nothing takes part", every=2)
        shot(page, "no-node")
        page.get_by_role("link", name="Choose nodes").click()
        expect(page.locator("input[name=names]").first).to_be_visible()
        page.goto(f"{console.url}/policies")
        page.get_by_role("link", name="Start from the default policy").click()
        page.get_by_label("Name of the policy").fill("first")
        page.get_by_role("button", name="Show the effect").click()
        expect(page.get_by_role("heading", name="Create first")).to_be_visible()
        assert "first" not in empty.api.kubectl("get", "cpol", "-o", "name")


def test_the_api_server_is_away(browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    assert isinstance(place.api, ApiServer)
    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("operator"))
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        place.api.pause()
        try:
            answer = page.goto(f"{console.url}/policies")
            assert answer is not None
            assert answer.status == 503
            expect(page.locator("h1")).to_contain_text("The API server does not answer")
            shot(page, "api-server-away")
        finally:
            place.api.resume()
        # The page tries again by itself.
        expect(page.get_by_role("heading", name="Policies")).to_be_visible()


def test_the_manager_is_still_reading(browser: Browser, place: World) -> None:
    """It answers, and the API server does not answer it: its requests are held back on their way."""
    from playwright.sync_api import expect  # noqa: PLC0415

    assert isinstance(place.api, ApiServer)
    with Proxy(place.api, place.folder) as between:
        between.passes_up.clear()
        reading = place.cluster.manager(f"--kubeconfig={between.kubeconfig}", ready=False)
        eventually(lambda: reading.http("/healthz"), 60, "it answers")
        console = place.console(manager=reading)
        try:
            with visit(browser, console.url) as context:
                page = context.new_page()
                sign_in(page, console.url, place.token("operator"))
                expect(page.locator("h1")).to_contain_text("The manager is still reading the cluster")
                expect(page.locator("main")).to_contain_text("tries again")
                shot(page, "manager-still-reading")
                between.passes_up.set()
                # The page tries again by itself.
                expect(page.get_by_role("heading", name="Overview")).to_be_visible(timeout=90_000)
                expect(page.locator(".tile").first).to_be_visible()
        finally:
            console.end()
            reading.end(signal.SIGKILL)


def test_prometheus_is_away(browser: Browser, place: World) -> None:
    """Charts are from the console's own memory, and say so; the page of one says what does not answer."""
    from playwright.sync_api import expect  # noqa: PLC0415

    (nobody,) = free_ports(1)
    console = place.console(f"--prometheus=http://127.0.0.1:{nobody}")
    try:
        with visit(browser, console.url) as context:
            page = context.new_page()
            sign_in(page, console.url, place.token("operator"), "/monitor?range=1h")
            expect(page.locator("[data-source]").first).to_contain_text("From this console's memory, since")
            page.goto(f"{console.url}/monitor/cpu?range=1h")
            expect(page.locator(".banner").first).to_contain_text("Left out: prometheus, because it does not answer")
            expect(page.locator("tbody tr").first).to_be_visible()
            shot(page, "prometheus-away")
    finally:
        console.end()


def test_a_session_ends_while_somebody_looks(browser: Browser, place: World) -> None:
    """A session of some seconds, sealed with the console's key as its own login would: a token lasts ten minutes."""
    from playwright.sync_api import expect  # noqa: PLC0415

    key = os.urandom(32)
    (place.folder / "session-key").write_bytes(key)
    console = place.console(f"--session-key={place.folder / 'session-key'}")
    token, sessions = place.token("operator"), Sessions(key)
    try:
        with visit(browser, console.url) as context:
            page = context.new_page()
            sign_in(page, console.url, token)
            (one,) = [one for one in context.cookies() if one["name"] == "__Host-colocation"]
            (value,) = sessions.seal(sessions.begin(token, time.time() + 12, time.time()))
            context.add_cookies([{**one, "value": value}])
            page.goto(f"{console.url}/nodes?q=node-00")
            expect(page.locator("tbody tr")).to_have_count(10)
            expect(page.locator("#live")).to_contain_text("Your session has ended.")  # without a reload
            shot(page, "session-ended")
            page.locator("#live").get_by_role("link", name="Sign in").click()
            page.get_by_label("Token", exact=True).fill(token)
            page.get_by_role("button", name="Sign in").click()
            expect(page.locator("tbody tr")).to_have_count(10)
            assert page.url == f"{console.url}/nodes?q=node-00", "where the session ended"
    finally:
        console.end()
