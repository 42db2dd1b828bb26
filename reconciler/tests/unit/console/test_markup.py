"""No name, label, reason or note of a cluster becomes an element, an attribute or a link of a page."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from colocation.console import pages

from .views import PAGES, PARTS, Filler, Text

PAYLOADS = (
    "<b onclick=evil()>x</b>",
    '"><img src=x onerror=evil()>',
    "'><svg onload=evil()>",
    "</script><script>evil()</script>",
    "</textarea></title></style></pre></select><iframe src=//evil.example>",
    '" autofocus onfocus=evil() x="',
    "' onmouseover=evil() x='",
    "` onmouseover=evil() ",
    "--><!--<base href=//evil.example/>",
    "<![CDATA[<i>]]>",
    "&lt;i&gt;&#60;i&#62;&quot;><i>",
    "javascript:evil()",
    "//evil.example/",
    "../../evil",
    "{{ 7 * 7 }}{% include 'x' %}",
    "{name}{0.__class__}{{",
    "%(x)s%s\\u003ci\\u003e",
    "\u202e<i>\x00\x1b[31m\u2028",
)
LINKS = ("href", "src", "action", "formaction", "data-base", "data-stream", "data-chart")


class Skeleton(HTMLParser):
    """What is markup in a page: elements in their order, with the names of their attributes; links; and its text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, ...]] = []
        self.links: list[str] = []
        self.data: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, *(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in LINKS]
        self.data += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self.elements.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.elements.append(("comment", data))

    def handle_data(self, data: str) -> None:
        self.data.append(data)


def numbered(payload: str) -> Text:
    """Each text another one, in the same order whatever the payload is."""
    texts: Iterator[str] = (f"{payload}{number:05}" for number in range(99_999))
    return lambda: next(texts)


def rendered(name: str, seed: int, payload: str) -> Skeleton:
    filler = Filler(seed, numbered(payload))
    return Skeleton(pages.render(name, filler.page(name), filler.context(name)).body.decode())


@cache
def plain(name: str, seed: int) -> Skeleton:
    return rendered(name, seed, "x")


def test_every_page_is_tried() -> None:
    templates = {name.removesuffix(".html") for name in pages._environment().list_templates()}
    assert templates - PARTS == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("payload", PAYLOADS)
def test_markup_in_the_data_is_text_of_the_page(name: str, payload: str) -> None:
    for seed in range(3):
        hostile = rendered(name, seed, payload)
        assert hostile.elements == plain(name, seed).elements
        for link in hostile.links:
            # By path, below the page's own prefix: no scheme, no other host.
            assert link in ("", "data:,") or link.startswith(("./", "../", "#")), link


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"login"}))
def test_the_data_is_on_the_page_as_it_is(name: str) -> None:
    """Else the test above would hold for a page that shows nothing of it."""
    shown = [part for seed in range(6) for part in rendered(name, seed, PAYLOADS[0]).data]
    assert any(PAYLOADS[0] in part for part in shown)


@given(st.sampled_from(sorted(PAGES)), st.integers(0, 999), st.text(min_size=1, max_size=30))
@example("node", 1, "<i>")
def test_no_text_at_all_is_markup(name: str, seed: int, payload: str) -> None:
    payload = payload.replace("\r", "").encode("utf-8", "ignore").decode()
    assert rendered(name, seed, payload or "x").elements == plain(name, seed).elements


def test_the_test_sees_markup() -> None:
    assert Skeleton("<p>a</p>").elements != Skeleton("<p>a<i></p>").elements
    assert Skeleton("<p>a</p>").elements != Skeleton("<p onclick=x>a</p>").elements
