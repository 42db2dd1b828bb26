"""The report's forms: a page that needs nothing but itself, a table, rows."""

from __future__ import annotations

import csv
import io
import re
from functools import lru_cache
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from msgspec import structs

from colocation.assess.assessment import Assessment, Settings, assess
from colocation.assess.html import page
from colocation.assess.phrases import PHRASES
from colocation.assess.recommend import Price
from colocation.assess.shape import VERSION, Header, Inventory, Workload
from colocation.cli.assess_options import price, risk
from colocation.cli.assess_table import as_csv, render
from colocation.cli.common import CliError
from tests.assess.synthetic import synthesize, traces

NASTY = "<script>alert(1)</script>\x1b[31m"
START = 1_700_000_000 // 3600 * 3600


@lru_cache
def report() -> Assessment:
    cluster = synthesize(START, 10, nodes=2)
    workload = Workload(namespace="a", name=NASTY, pods=1, cpu_request=1000, memory_request=2**30, reasons=["a Job"])
    inventory = Inventory(cluster="test", candidates=[workload], obstacles=[NASTY])
    header = Header(version=VERSION, source="test", start=START, steps=cluster.steps, nodes=2, inventory=inventory)
    asked = Settings(risk=0.01, price=Price(0.03, 0.004, "EUR"), processes=1)
    return assess(header, traces(cluster, START, cluster.steps), asked)


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "srcset")]


@pytest.mark.parametrize("lang", sorted(PHRASES))
def test_the_page_needs_nothing_but_itself(lang: str) -> None:
    text = page(report(), lang)
    parsed = Page(text)
    assert not {"script", "link", "img", "iframe"} & set(parsed.tags)
    assert parsed.links == []
    assert "url(" not in text
    assert "prefers-color-scheme: dark" in text
    assert "@media print" in text
    plots = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(plots) == 4 + 2 * len(report().pools) + 1
    for plot in plots:
        ET.fromstring(plot)
    assert PHRASES[lang]["title"] in text


def test_what_others_wrote_is_escaped() -> None:
    assert "<script>" not in page(report(), "en")
    assert "\x1b" not in render(report())


def test_both_languages_say_everything() -> None:
    assert PHRASES["en"].keys() == PHRASES["zh"].keys()
    assert all(len(PHRASES[lang]["days"].split()) == 7 for lang in PHRASES)


def test_rows_are_one_per_node() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(report()))))
    assert [row["node"] for row in rows] == [node.name for node in report().nodes]
    assert all(int(row["cpu_capacity"]) == 16_000 for row in rows)


def test_the_table_says_what_is_recommended_and_what_it_is_worth() -> None:
    text = render(report())
    assert "recommended" in text
    assert "EUR a month" in text
    assert "kind: ColocationPolicy" in text
    small = structs.replace(report(), candidates=[], at_risk=[], obstacles=[], notes=[])
    assert "In the way" not in render(small)


@pytest.mark.parametrize("text", ["0%", "21%", "1", "0.01%", "x"])
def test_a_risk_that_no_policy_takes_gets_a_sentence(text: str) -> None:
    with pytest.raises(CliError, match="percentage"):
        risk(text)


@pytest.mark.parametrize("text", ["", "cpu=1", "cpu=1,memory=x", "cpu=1,memory=1,disk=1", "cpu=-1,memory=1"])
def test_a_price_that_cannot_be_read_gets_a_sentence(text: str) -> None:
    with pytest.raises(CliError, match="cpu="):
        price(text)
