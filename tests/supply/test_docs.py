"""The documentation: links work in the repository, in the artifact and on the docs site; pages name their reader."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tools import docs_site, prose

CLONE = Path(__file__).resolve().parents[2]
DOCS = CLONE / "docs"
PAGES = sorted(
    [
        *CLONE.glob("*.md"),
        *DOCS.rglob("*.md"),
        *CLONE.glob("roles/*/README.md"),
        *CLONE.glob("charts/*/README.md"),
    ]
)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
SCREEN = 45
"""Lines of a screen."""


def links(text: str) -> Iterator[str]:
    """Targets of the links and pictures outside code."""
    without_code = re.sub(r"```.*?```|`[^`\n]*`|^ {4,}.*$", "", text, flags=re.DOTALL | re.MULTILINE)
    yield from (
        target for target in _LINK.findall(without_code) if not target.startswith(("http://", "https://", "mailto:"))
    )


def anchors(page: Path) -> set[str]:
    """The anchors that hosting sites and MyST give to a page's headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in plain}


def broken(page: Path, root: Path) -> list[str]:
    """Links of a page that lead to no file below root, or to no heading."""
    bad = []
    for link in links(page.read_text()):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        leads_somewhere = target.exists() and root in (target, *target.parents)
        if not leads_somewhere or (anchor and anchor not in anchors(target)):
            bad.append(link)
    return bad


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(CLONE)))
def test_links_work_in_the_repository(page: Path) -> None:
    assert broken(page, CLONE) == []


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page.relative_to(CLONE).parts[0] != "charts"],
    ids=lambda page: str(page.relative_to(CLONE)),
)
def test_links_work_in_the_artifact(page: Path) -> None:
    ignored = yaml.safe_load((CLONE / "galaxy.yml").read_text())["build_ignore"]
    for link in links(page.read_text()):
        target = (page.parent / link.partition("#")[0]).resolve()
        inside = target.relative_to(CLONE).parts
        assert not any(fnmatch.fnmatch(part, pattern) for pattern in ignored for part in inside[:1]), link


def test_links_work_on_the_docs_site(tmp_path: Path) -> None:
    """`make docs-site` has Sphinx check them too; this needs no Sphinx."""
    docs_site.pages(tmp_path)
    pages = sorted(tmp_path.rglob("*.md"))
    assert len(pages) > 40
    assert {str(page.relative_to(tmp_path)): bad for page in pages if (bad := broken(page, tmp_path))} == {}


def test_the_docs_site_opens_with_the_landing_page_and_lists_every_page(tmp_path: Path) -> None:
    docs_site.pages(tmp_path)
    landing = (tmp_path / "index.md").read_text()
    head = landing.partition("## ")[0]
    assert "docs/pictures/explain.svg" in head
    assert "docs/get-started.md" in head
    menus = set(re.findall(r"^[\w./-]+$", landing, re.MULTILINE))
    pages = {str(page.relative_to(tmp_path).with_suffix("")) for page in (tmp_path / "docs").rglob("*.md")}
    assert pages - menus == set()


def test_index_lists_every_page_once() -> None:
    listed = [
        link.partition("#")[0]
        for link in re.findall(r"^\* \[[^\]]+\]\(([^)]+)\)", (DOCS / "index.md").read_text(), re.MULTILINE)
    ]
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")} - {"index.md"}
    assert sorted(listed) == sorted(pages)


@pytest.mark.parametrize(
    "page",
    [page for page in DOCS.rglob("*.md") if page.parent.name != "benchmarks" and page.name != "index.md"],
    ids=lambda page: page.name,
)
def test_a_page_names_its_reader(page: Path) -> None:
    head = [line for line in page.read_text().splitlines() if line and not line.startswith("<!--")][:3]
    assert any(line.startswith(("**For:** ", "**读者\uff1a**")) for line in head)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_the_readme_fits_three_screens(name: str) -> None:
    assert len((CLONE / name).read_text().splitlines()) <= 3 * SCREEN


@pytest.mark.parametrize(
    ("reader", "text", "line"),
    [
        (prose.markdown, "Good.\n\nNobody reads it.\n", 3),
        (prose.markdown, "It waits so\nlong, then ends.\n", 1),
        (prose.markdown, "Not is it so.\n", 1),
        (prose.yaml_file, "# Whom it serves\na: 1\n", 1),
        (prose.yaml_file, "options:\n  x:\n    description: The amount that was sold.\n", 3),
        (prose.fragment, "---\nminor_changes:\n  - >-\n    A pod is\n    told it.\n", 5),
        (prose.python, '"""What a node sold."""\n', 1),
        (prose.python, "x = 1\ny = f'the agent was told {x}'\n", 2),
        (prose.python, "# It waits so\n# long, then ends.\n", 1),
        (prose.makefile, "lint:  ## mend it\n", 1),
    ],
)
def test_the_prose_check_finds_an_old_word_and_its_line(reader: object, text: str, line: int) -> None:
    assert callable(reader)
    assert [finding.line for finding in prose.findings("x", reader(text))][:1] == [line]


@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (prose.markdown, "Use `nobody` and\n\n    whom = told\n\n```\nsold\n```\n"),
        (prose.yaml_file, "nobody: told\n"),
        (prose.python, "told = 'nobody'\n"),
        (prose.markdown, "It is so long that it is cut. Note that the run goes on to the next node.\n"),
    ],
)
def test_the_prose_check_passes_over_code(reader: object, text: str) -> None:
    assert callable(reader)
    assert prose.findings("x", reader(text)) == []
