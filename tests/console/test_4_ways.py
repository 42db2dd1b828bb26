"""Other ways to the pages: Chinese, dark, a phone, the keyboard, no script, a prefix, openFuyao's page."""

from __future__ import annotations

import http.server
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
import yaml

from reconciler.tests.component.cluster import NAMESPACE
from tests.chart.behind import behind
from tests.chart.conftest import render
from tests.lab import binaries
from tests.lab import console as lab_console
from tests.lab.apiserver import free_ports
from tests.lab.waiting import eventually

from .browser import shot, sign_in, violations, visit
from .test_1_look import PAGES
from .world import STARVED, Console, World

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("name", ["overview", "nodes", "node", "policy", "change", "monitor"])
def test_j11_chinese_dark_and_375_pixels_wide(name: str, browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    size = {"width": 375, "height": 812}
    with visit(browser, console.url, viewport=size, color_scheme="dark", locale="zh-CN") as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("operator"))
        page.goto(console.url + PAGES[name])
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        if name == "overview":
            expect(page.get_by_role("heading", name="概览")).to_be_visible()
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= 375, f"{wide} pixels wide"
        shot(page, f"{name}-zh-dark-375")
        # axe's context asks for Chinese by the cookie, and for dark by the page's own choice
        page.get_by_role("button", name="English").click()
        page.goto(console.url + PAGES[name])
        expect(page.locator("html")).to_have_attribute("lang", "en")
        assert violations(browser, page) == []


def test_j11_a_choice_of_look_and_language_stays(browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    with visit(browser, console.url) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("operator"), "/nodes?q=node-01")
        page.get_by_role("button", name="中文").click()
        expect(page.get_by_role("heading", name="节点")).to_be_visible()
        assert page.url.endswith("/nodes?q=node-01")
        page.get_by_role("button", name="深色").click()
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        shot(page, "nodes-zh-dark")
        page.goto(f"{console.url}/policies")
        expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(page.locator("html")).to_have_attribute("lang", "zh-CN")


def test_j11_by_keyboard_alone(browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    with visit(browser, console.url) as context:
        page = context.new_page()
        page.goto(f"{console.url}/login")
        expect(page.get_by_label("Token", exact=True)).to_be_focused()
        page.keyboard.insert_text(place.token("operator"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Overview")).to_be_visible()
        page.keyboard.press("Tab")
        expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.goto(f"{console.url}/nodes")
        page.get_by_label("Name of node or policy").focus()
        page.keyboard.type("node-007")
        expect(page.locator("tbody tr")).to_have_count(1)
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "node-007":
                break
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="node-007")).to_be_visible()


def test_j12_without_script(browser: Browser, place: World, console: Console) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    with visit(browser, console.url, java_script_enabled=False) as context:
        page = context.new_page()
        sign_in(page, console.url, place.token("operator"))
        expect(page.locator(".tile").first).to_contain_text("capacity")
        page.get_by_role("link", name="starved best-effort pods").click()
        expect(page.locator("tbody th").first).to_have_text(STARVED)
        page.goto(f"{console.url}/nodes")
        page.get_by_label("Name of node or policy").fill("node-01")
        page.get_by_role("button", name="Show").click()
        expect(page.locator("tbody tr")).to_have_count(10)
        page.goto(f"{console.url}/policies/batch/edit")
        page.locator("[id='f-oversell.cpu.reclaimPercent']").fill("79")
        page.get_by_role("button", name="Show the effect").click()
        expect(page.locator("#effect")).to_be_visible()
        page.goto(f"{console.url}/monitor/cpu?range=1h")
        expect(page.locator("h1")).to_contain_text("CPU")


@contextmanager
def front(console: Console, prefix: str, *, headers: dict[str, str], host_page: str = "") -> Iterator[str]:
    """A web server before a console, as a platform has it: what is below ``prefix`` goes there, without the prefix."""

    class Front(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            if not self.path.startswith(prefix):
                body = host_page.encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Security-Policy", HOST_POLICY)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
                return
            length = int(self.headers.get("Content-Length") or 0)
            asked = urllib.request.Request(
                f"http://127.0.0.1:{console.port}{self.path.removeprefix(prefix) or '/'}",
                data=self.rfile.read(length) if length else None,
                method=self.command,
                headers={**{k: v for k, v in self.headers.items() if k.lower() not in DROPPED}, **headers},
            )
            try:
                found = OPENER.open(asked, timeout=30)
            except urllib.error.HTTPError as error:
                found = error
            stream = found.headers.get("Content-Type", "").startswith("text/event-stream")
            self.send_response(found.status)
            for name, value in found.headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            if host_page:
                self.send_header("Content-Security-Policy", HOST_POLICY)
            if stream:
                self.send_header("Connection", "close")
                self.end_headers()
                self.close_connection = True
                return
            body = found.read()
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 (http.server's)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Front)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **more: object) -> None:
        """Redirects are the browser's."""


OPENER = urllib.request.build_opener(_Stay)
DROPPED = ("connection", "host", "accept-encoding", "content-length")
HOST_POLICY = "connect-src 'self' https:; frame-ancestors 'none'; object-src 'none'"
"""What openFuyao's platform sends with every answer, those of plugins too."""


def test_j13_inside_openfuyaos_page(browser: Browser, place: World) -> None:
    """A stand-in of their website: its proxy rule, its policy, and the plugin's text run as they run it."""
    from playwright.sync_api import expect  # noqa: PLC0415

    page_of_theirs = """<!doctype html><html lang="en"><title>openFuyao</title>
      <div id="colocation_root" class="ColocationConfiguration"></div>
      <script>
      fetch('/proxy/colocation/dist/colocation.mjs').then(a => a.text()).then(t => new Function(t)())
      </script>"""
    console = place.console("--auth-mode=proxy")
    bearer = {"X-OpenFuyao-Authorization": f"Bearer {place.token('operator')}", "Sec-Fetch-Site": "same-origin"}
    try:
        with (
            front(console, "/proxy/colocation", headers=bearer, host_page=page_of_theirs) as url,
            visit(browser, url) as context,
        ):
            page = context.new_page()
            page.goto(f"{url}/container_platform/colocation")
            expect(page.get_by_role("heading", name="Policies")).to_be_visible()
            page.get_by_role("link", name="Nodes", exact=True).click()
            expect(page.locator("tbody tr")).to_have_count(50)
            page.get_by_label("Name of node or policy").fill("node-007")
            expect(page.locator("tbody tr")).to_have_count(1)
            page.get_by_role("link", name="node-007").click()
            expect(page.get_by_role("heading", name="node-007")).to_be_visible()
            expect(page.locator(".plot[data-drawn], .plot:has-text('No data')").first).to_be_visible()
            page.get_by_role("link", name="Policies", exact=True).click()
            page.get_by_role("link", name="batch").click()
            page.get_by_role("link", name="Change", exact=True).click()
            page.locator("[id='f-oversell.cpu.reclaimPercent']").fill("78")
            page.get_by_role("button", name="Show the effect").click()
            expect(page.locator("#effect")).to_be_visible()
            shot(page, "in-openfuyao")
            assert page.url == f"{url}/container_platform/colocation", "their page stays"
            page.evaluate("window.postMessage({type: 'colocationOverviewPageDestory', isDestory: true})")
            expect(page.locator("#effect")).to_have_count(0)
    finally:
        console.end()


def test_j14_below_a_prefix(browser: Browser, place: World) -> None:
    from playwright.sync_api import expect  # noqa: PLC0415

    console = place.console("--base-path=/tools/colocation")
    try:
        with front(console, "/tools/colocation", headers={}) as url, visit(browser, url) as context:
            page = context.new_page()
            sign_in(page, f"{url}/tools/colocation", place.token("operator"), "/nodes?q=node-007")
            expect(page.locator("tbody tr")).to_have_count(1)
            assert urlsplit(page.url).path == "/tools/colocation/nodes"
            page.get_by_role("link", name="node-007").click()
            expect(page.get_by_role("heading", name="node-007")).to_be_visible()
            page.get_by_role("link", name="Policies", exact=True).click()
            page.get_by_role("link", name="batch").click()
            page.get_by_role("link", name="Change", exact=True).click()
            page.get_by_role("button", name="Show the effect").click()
            expect(page.get_by_text("This changes nothing")).to_be_visible()
            page.get_by_role("button", name="Sign out").click()
            assert urlsplit(page.url).path == "/tools/colocation/login"
    finally:
        console.end()


@contextmanager
def kubectl_proxy(place: World) -> Iterator[str]:
    """`kubectl proxy` to the world's API server, as its administrator."""
    (port,) = free_ports(1)
    argv = [str(binaries.path("kubectl")), f"--kubeconfig={place.api.kubeconfig}", "proxy", f"--port={port}"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_j14_through_kubectl_proxy(browser: Browser, place: World) -> None:
    """Two proxies, of which the API server's rewrites links in pages: signing in, live data, forms, choices, charts."""
    from playwright.sync_api import expect  # noqa: PLC0415

    console = place.console(host="0.0.0.0")
    deployment = "--show-only=templates/console/deployment.yaml"
    made = yaml.safe_load_all(render(deployment, "--set=console.enabled=true"))
    place.api.kubectl("apply", "-f", "-", stdin=yaml.safe_dump(next(one for one in made if one["kind"] == "Service")))
    try:
        with (
            behind(place.api, NAMESPACE, "colocation-console", console.port),
            kubectl_proxy(place) as url,
            visit(browser, url) as context,
        ):
            there = f"{url}{lab_console.path()}"
            eventually(lambda: lab_console.answers(f"{there}/login"), 60, "the way is open")
            page = context.new_page()
            sign_in(page, there, place.token("operator"), "/nodes?q=node-00")
            expect(page.locator("tbody tr")).to_have_count(10)
            assert page.url == f"{there}/nodes?q=node-00"
            session = {one["name"]: one for one in context.cookies()}["__Secure-colocation"]
            assert (session["path"], session["httpOnly"]) == (lab_console.path(), True)
            with page.expect_response(lambda answer: answer.request.headers.get("x-fragment") == "1", timeout=60_000):
                place.report("node-003", cpu=9_000)  # what changes arrives by the stream, through both
            expect(page.locator("#live")).not_to_contain_text("Connection lost")
            page.get_by_role("link", name="node-007").click()
            expect(page.get_by_role("heading", name="node-007")).to_be_visible()
            expect(page.locator(".plot[data-drawn], .plot:has-text('No data')").first).to_be_visible()
            page.get_by_role("button", name="中文").click()
            expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
            page.get_by_role("button", name="English").click()
            page.get_by_role("link", name="Policies", exact=True).click()
            page.get_by_role("link", name="batch").click()
            page.get_by_role("link", name="Change", exact=True).click()
            page.locator("[id='f-oversell.cpu.reclaimPercent']").fill("77")
            page.get_by_role("button", name="Show the effect").click()
            expect(page.locator("#effect")).to_be_visible()
            shot(page, "through-kubectl-proxy")
            page.get_by_role("button", name="Sign out").click()
            assert page.url == f"{there}/login"
    finally:
        console.end()
