"""What a person who has never seen the console does about a starved node: by links and buttons that are there.

The same script runs against the world of these tests, and against real nodes (tests/e2e/journey_console.py).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from .browser import shot

if TYPE_CHECKING:
    from playwright.sync_api import Page

MOST_CLICKS: Final = 12
TARGET: Final = "suppress.cpu.targetPercent"


class Person:
    """Counts what the hand does: a click, and a click into each field that is filled."""

    def __init__(self, page: Page) -> None:
        self.page, self.clicks = page, 0

    def click(self, what: Any) -> None:
        """A link or a button."""
        self.clicks += 1
        what.click()

    def fill(self, what: Any, text: str) -> None:
        """A field."""
        self.clicks += 1
        what.fill(text)


def raise_target(page: Page, url: str, token: str, node: str, percent: int, *, pictures: str = "") -> int:
    """Sign in, find the starved node, raise its policy's target, follow it to all nodes; how many clicks that took.

    ``pictures``: begins the names of the pictures that are taken on the way.
    """
    from playwright.sync_api import expect  # noqa: PLC0415

    def picture(name: str) -> None:
        if pictures:
            shot(page, f"{pictures}-{name}")

    person = Person(page)
    page.goto(f"{url}/")
    person.fill(page.get_by_label("Token", exact=True), token)
    person.click(page.get_by_role("button", name="Sign in"))
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
    picture("overview")
    person.click(page.get_by_role("link", name="starved best-effort pods"))
    person.click(page.get_by_role("link", name=node, exact=True))
    expect(page.get_by_role("heading", name=node)).to_be_visible()
    picture("node")
    policy = page.locator("section", has=page.get_by_role("heading", name="Policy", exact=True)).get_by_role("link")
    person.click(policy.first)
    person.click(page.get_by_role("link", name="Change", exact=True))
    person.fill(page.locator(f"[id='f-{TARGET}']"), str(percent))
    person.click(page.get_by_role("button", name="Show the effect"))
    expect(page.locator(".diff tbody tr")).to_contain_text([TARGET])
    picture("effect")
    person.fill(page.get_by_label("Reason"), "its best-effort pods starve")
    typed = page.get_by_label(re.compile("Type the policy"))
    if typed.count():  # where the risk is high
        person.fill(typed, str(typed.get_attribute("data-must")))
    person.click(page.get_by_role("button", name="Write the policy"))
    progress = page.locator("#progress")
    expect(progress).to_have_attribute("data-updated", str(progress.get_attribute("data-nodes")))
    picture("followed")
    return person.clicks
