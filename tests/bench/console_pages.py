# SPDX-License-Identifier: Apache-2.0
"""What a browser makes of the console's pages: time until they can be used, and their weight. A part of `console`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from tests.bench.figures import Figure, figure, percentile
from tests.console.browser import Weight, chromium, sign_in, visit
from tests.lab.progress import step

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

TIMES = 5
PAGES = {"overview": "/", "nodes": "/nodes"}
READY = """() => {
  const one = performance.getEntriesByType('navigation')[0];
  return one.domContentLoadedEventEnd - one.startTime;
}"""
"""Milliseconds from the click until the page's script has run: everything on it answers."""
KEYSTROKE = """() => new Promise((done) => {
  const field = document.querySelector('input[name=q]');
  const table = document.querySelector('#nodes');
  const began = performance.now();
  new MutationObserver((_changes, watch) => { watch.disconnect(); done(performance.now() - began); })
    .observe(table, {childList: true});
  field.value = field.value === 'node-000' ? 'node-001' : 'node-000';
  field.dispatchEvent(new InputEvent('input', {bubbles: true}));
})"""


def figures(url: str, token: str) -> list[Figure]:
    """Of Overview and Nodes, in a browser that has seen nothing yet, and in one that has."""
    found: list[Figure] = []
    with step("pages in a browser"), chromium() as browser:
        for name, path in PAGES.items():
            cold = percentile([_cold(browser, url, token, path)[0] for _ in range(TIMES)], 50)
            weight = _cold(browser, url, token, path)[1]
            with visit(browser, url) as context:
                page = context.new_page()
                sign_in(page, url, token, path)
                warm = percentile([_ready(page, url + path) for _ in range(TIMES)], 50)
            note = f"Median of {TIMES}; load average {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores."
            found += [
                figure(f"{name}-cold", cold, "ms", most=2000, note=f"Nothing is in the browser's cache. {note}"),
                figure(f"{name}-warm", warm, "ms", most=1000, note=f"Styles and scripts are in it. {note}"),
                figure(f"{name}-weight", weight, "kB", most=150, note="All that it loads, as it is sent: compressed."),
            ]  # fmt: skip
        found.append(
            figure("keystroke", _keystroke(browser, url, token), "ms", most=300, note=f"To the filtered table. {note}")
        )
    return found


def _cold(browser: Browser, url: str, token: str, path: str) -> tuple[float, float]:
    """Milliseconds and kilobytes: signed in by a browser's cookies, with an empty cache."""
    with visit(browser, url) as context:
        page = context.new_page()
        sign_in(page, url, token, "/changes")
        state: Any = context.storage_state()
    with visit(browser, url, storage_state=state) as context:
        page = context.new_page()
        weight = Weight(page)
        taken = _ready(page, url + path)
        page.wait_for_load_state("load")
        return taken, weight.kilobytes()


def _ready(page: Page, url: str) -> float:
    page.goto(url, wait_until="domcontentloaded")
    return float(page.evaluate(READY))


def _keystroke(browser: Browser, url: str, token: str) -> float:
    with visit(browser, url) as context:
        page = context.new_page()
        sign_in(page, url, token, "/nodes")
        return percentile([float(page.evaluate(KEYSTROKE)) for _ in range(2 * TIMES)], 50)
