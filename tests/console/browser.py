"""Debian's Chromium, driven by Playwright; and what no page may do: break its policy, throw, ask other hosts."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from build import npm
from tests.lab import debian
from tests.lab.extras import extras

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

CLONE: Final = Path(__file__).parents[2]
SHOTS: Final = CLONE / "build/out/console"
DOCS: Final = CLONE / "docs/console"
AXE: Final = npm.read(Path(__file__).parent / "npm.txt")[0]
ARGUMENTS: Final = (
    "--no-sandbox",  # root has no user namespace to be in
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SECONDS: Final = 30
"""How long anything may take: this machine may have other work."""
WCAG: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; installs what is missing, once."""
    if not shutil.which("chromium"):
        debian.install("chromium", "fonts-wqy-microhei", "fonts-dejavu-core")
    folder = str(extras("browser"))
    if folder not in sys.path:
        sys.path.insert(0, folder)
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 (installed just now)

    expect.set_options(timeout=SECONDS * 1000)

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Watch:
    """What went wrong in the pages of a context."""

    def __init__(self, context: BrowserContext, host: str) -> None:
        self.wrong: list[str] = []
        self._host = host
        context.on("page", self._page)
        context.on("request", self._request)

    def _page(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.wrong.append(f"{page.url}: {error}"))
        page.on("console", lambda message: self._console(page, message))

    def _console(self, page: Page, message: Any) -> None:
        text = message.text
        if message.type == "error" and ("Content Security Policy" in text or "TrustedType" in text or "violat" in text):
            self.wrong.append(f"{page.url}: {text}")

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self._host:
            self.wrong.append(f"a request to another host: {request.url}")


@contextlib.contextmanager
def visit(browser: Browser, url: str, **options: Any) -> Iterator[BrowserContext]:
    """A fresh browser context for one console; at its end nothing may have gone wrong in it."""
    settings = {"viewport": {"width": 1280, "height": 860}, "locale": "en-GB", "timezone_id": "Asia/Shanghai"} | options
    context = browser.new_context(**settings)
    context.set_default_timeout(SECONDS * 1000)
    watch = Watch(context, urlsplit(url).netloc)
    try:
        yield context
    finally:
        context.close()
    assert not watch.wrong, "\n".join(watch.wrong)


class Weight:
    """Bytes that a page's answers take on the wire, as they are sent: compressed."""

    def __init__(self, page: Page) -> None:
        self._answers: list[Any] = []
        page.on("requestfinished", self._finished)

    def _finished(self, request: Any) -> None:  # Playwright marks its handlers, and cannot mark a built-in one
        self._answers.append(request)

    def kilobytes(self) -> float:
        """Of all that has come since the beginning; what the browser had kept weighs nothing."""
        sizes = [request.sizes() for request in self._answers]
        return sum(int(one["responseBodySize"]) + int(one["responseHeadersSize"]) for one in sizes) / 1000


def sign_in(page: Page, url: str, token: str, path: str = "/") -> None:
    """As a person does it."""
    page.goto(f"{url}{path}")
    page.get_by_label("Token", exact=True).or_(page.get_by_label("令牌", exact=True)).fill(token)
    page.locator("form[action*='login'] button").click()
    page.wait_for_load_state()


def violations(browser: Browser, page: Page) -> list[str]:
    """What axe finds in the page as it is: WCAG 2.2 AA and its best practices."""
    state = page.context.storage_state()
    size = page.viewport_size
    scheme = page.evaluate("matchMedia('(prefers-color-scheme: dark)').matches")
    context = browser.new_context(
        bypass_csp=True,
        storage_state=state,
        viewport=size,
        locale="en-GB",
        color_scheme="dark" if scheme else "light",
        reduced_motion="reduce",  # a colour on its way to another is none that can be judged
    )
    try:
        other = context.new_page()
        other.set_default_timeout(SECONDS * 1000)
        other.goto(page.url)
        other.add_script_tag(path=str(npm.ensure(AXE) / "axe.min.js"))
        found = other.evaluate("tags => axe.run(document, {runOnly: tags})", list(WCAG))
    finally:
        context.close()
    return [
        f"{one['id']}: {one['help']}: {node['html'][:160]} ({node.get('failureSummary', '')[:300]})"
        for one in found["violations"]
        for node in one["nodes"][:3]
    ]


def shot(page: Page, name: str, *, full: bool = False) -> None:
    """A picture of the page; with DOCS=1 among the docs too."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    file = SHOTS / f"{name}.png"
    page.screenshot(path=str(file), full_page=full, animations="disabled", caret="hide")
    if os.environ.get("DOCS"):
        DOCS.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, DOCS / file.name)
