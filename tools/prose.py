"""The prose check of `make lint`: proselint's rules and our word list (tools/prose.yml) over what a person reads.

Text that is not prose (code in Markdown, keys and values in YAML, code in Python) is replaced by spaces of the same
length before proselint sees it, so that line and column of a finding are those in the file.

Vale would be the other choice: its packages on PyPI and npm download a binary that not every site can reach, and its
build from Go modules needs a C compiler and minutes. proselint is one Python package with a compiled RE2.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tokenize
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from proselint.checks import __register__ as shipped_checks
from proselint.config import DEFAULT, Config
from proselint.registry import CheckRegistry
from proselint.registry.checks import Check, CheckFlags, Padding, types
from proselint.registry.checks.engine import Fast, RegexOptions
from proselint.tools import LintFile

ROOT = Path(__file__).resolve().parents[1]
RULES = Path(__file__).with_suffix(".yml")
PREFIX = "colocation"
"""Prefix of this project's own checks in findings."""


class Finding(NamedTuple):
    """One place that a rule rejects: file, line and column (from 1), the rule's name and its message."""

    path: str
    line: int
    column: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}:{self.column}: {self.message} ({self.rule})"


_BLANKS = re.compile(r"[^\n]")


def blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    """The text with everything outside the spans (start, end) replaced by spaces; line breaks stay."""
    pieces, position = [], 0
    for begin, end in sorted(spans):
        start = max(begin, position)  # an anchor of YAML has its span twice
        if end <= start:
            continue
        pieces += [_BLANKS.sub(" ", text[position:start]), text[start:end]]
        position = end
    return "".join([*pieces, _BLANKS.sub(" ", text[position:])])


_FENCE = re.compile(r"^( *)(```|~~~).*?^\1\2[^\n]*$", re.MULTILINE | re.DOTALL)
_NOT_PROSE = (
    _FENCE,
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"^(?: {4,}|\t).*$", re.MULTILINE),  # indented code; a list's second paragraph has two or three spaces
    re.compile(r"``[^`]+``|`[^`]+`", re.DOTALL),
    re.compile(r"(?<=\])\([^)\s]*\)"),  # where a link leads to
    re.compile(r"https?://\S+"),
)


def markdown(text: str) -> str:
    """Markdown without code, comments and link targets."""
    for pattern in _NOT_PROSE:
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return text


_YAML_COMMENT = re.compile(r"(?:^|(?<=\s))#[# ].*$", re.MULTILINE)
_PROSE_KEYS = {
    "description",
    "short_description",
    "notes",
    "requirements",
    "msg",
    "fail_msg",
    "success_msg",
    "summary",
    "name",
}


def yaml_file(text: str) -> str:
    """Comments of a YAML file, and the values of keys such as `description` and `msg`. See ``fragment`` too."""
    spans = [match.span() for match in _YAML_COMMENT.finditer(text)]
    with_templates = re.search(r"^\s*\{\{-? ", text, re.MULTILINE)
    if not with_templates:
        for document in yaml.compose_all(text, Loader=yaml.SafeLoader):
            spans += _yaml_spans(document, prose=False)
    return _without_code(blank(text, spans))


def fragment(text: str) -> str:
    """A changelog fragment: all its values are reStructuredText."""
    document = yaml.compose(text, Loader=yaml.SafeLoader)
    return _without_code(blank(text, _yaml_spans(document, prose=True)))


def _yaml_spans(node: yaml.Node | None, *, prose: bool) -> Iterator[tuple[int, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _yaml_spans(value, prose=prose or key.value in _PROSE_KEYS)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _yaml_spans(value, prose=prose)
    elif isinstance(node, yaml.ScalarNode) and prose and " " in node.value:
        yield node.start_mark.index, node.end_mark.index


_CODE = (
    re.compile(r"``[^`]+``|`[^`]+`", re.DOTALL),
    re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL),
    re.compile(r"\b[CVOEIBUMPL]\([^()]*\)"),  # Ansible's markup
    re.compile(r"https?://\S+"),
)


def _without_code(text: str) -> str:
    for pattern in _CODE:
        text = pattern.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)
    return text


_QUOTES = re.compile(r"[a-zA-Z]*(\"{3}|'{3}|\"|')")
_SENTENCE = 3
"""Words from which a string of a program counts as prose: a message, a help text, a docstring."""


def python(text: str) -> str:
    """Comments, docstrings and messages of a Python file. A message is a string of at least three words."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        is_string = token.type == tokenize.STRING and len(token.string.split()) >= _SENTENCE
        if is_string or (token.type == tokenize.COMMENT and not token.string.startswith(("#!", "# noqa", "# type:"))):
            start, end = starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]
            quotes = _QUOTES.match(token.string)
            margin = (quotes.end(), len(quotes[1])) if quotes else (0, 0)
            spans.append((start + margin[0], end - margin[1]))
    return _without_code(blank(text, spans))


_HELP = re.compile(r"##? .*$", re.MULTILINE)


def makefile(text: str) -> str:
    """Comments and the help texts behind `##`."""
    return blank(text, (match.span() for match in _HELP.finditer(text)))


READERS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("README.md", markdown),
    ("CONTRIBUTING.md", markdown),
    ("SECURITY.md", markdown),
    ("docs/*.md", markdown),
    ("docs/how-to/*.md", markdown),
    ("roles/*/README.md", markdown),
    ("charts/*/README.md", markdown),
    ("charts/*/values.yaml", yaml_file),
    ("charts/*/Chart.yaml", yaml_file),
    ("changelogs/fragments/*.yml", fragment),
    ("roles/*/meta/argument_specs.yml", yaml_file),
    ("roles/*/defaults/main.yml", yaml_file),
    ("roles/*/tasks/*.yml", yaml_file),
    ("playbooks/*.yml", yaml_file),
    ("galaxy.yml", yaml_file),
    ("plugins/**/*.py", python),
    ("reconciler/src/**/*.py", python),
    ("tools/*.py", python),
    ("build/*.py", python),
    ("Makefile", makefile),
)


def files() -> Iterator[tuple[Path, Callable[[str], str]]]:
    """What is checked, and how its prose is read."""
    for pattern, reader in READERS:
        for path in sorted(ROOT.glob(pattern)):
            if path != Path(__file__) and ".zh-CN." not in path.name:
                yield path, reader


@cache
def _register() -> Config:
    """Put both sets of rules into proselint's registry; the configuration that enables them."""
    rules = yaml.safe_load(RULES.read_text())
    registry = CheckRegistry()
    registry.register_many(shipped_checks)
    registry.register_many(tuple(_checks(rules)))
    enabled = dict.fromkeys(rules["proselint"], True) | dict.fromkeys(rules["proselint_off"], False)
    deepest_first = sorted(enabled.items(), key=lambda item: -item[0].count("."))
    return {**DEFAULT, "checks": {PREFIX: True, **dict(deepest_first)}}


def _checks(rules: dict[str, Any]) -> Iterator[Check]:
    groups = {f"words.{group}": (entries, r"(?i)\b(?:{})\b") for group, entries in rules["words"].items()}
    groups["inverted"] = (rules["inverted"], r"(?m)(?:^|[.:;]\s+)(?:{})")  # at the beginning of a sentence
    for group, (entries, frame) in groups.items():
        for pattern, advice in entries.items():
            yield Check(
                check_type=types.Existence(
                    (frame.format(pattern.replace(" ", r"\s+")),), Padding.RAW, tuple(rules["exceptions"])
                ),
                engine=Fast(RegexOptions(case_insensitive=False)),
                path=f"{PREFIX}.{group}",
                message=f"'{{}}': {advice}",
                flags=CheckFlags(allow_quotes=True),
            )


_MARKS = re.compile(r"^[\s#*|>\"'-]+", re.MULTILINE)
_GAP = re.compile(r"[ \t]{2,}")


def findings(path: str, prose: str) -> list[Finding]:
    """What the rules reject in this text; `path` is only repeated in the findings.

    Indentation, list marks and gaps are left out, so that a sentence that goes over several comment lines is one.
    """
    dense: list[str] = []
    offsets: list[int] = []
    gaps = sorted(
        [
            *((match.span()) for match in _MARKS.finditer(prose)),
            *((m.start() + 1, m.end()) for m in _GAP.finditer(prose)),
        ]
    )
    position = 0
    for start, end in [*gaps, (len(prose), len(prose))]:
        if start >= position:
            dense.append(prose[position:start])
            offsets += range(position, start)
            dense.append("\n" if "\n" in prose[start:end] else "")
            offsets += [start] * len(dense[-1])
        position = max(position, end)
    text = "".join(dense)
    if not text.strip():
        return []
    results = []
    for result in LintFile(path, text).lint(_register()):
        check = result.check_result
        offset = offsets[min(check.span[0] - 1, len(offsets) - 1)]  # LintFile puts a line break before the text
        line = prose.count("\n", 0, offset) + 1
        column = offset - prose.rfind("\n", 0, offset)
        results.append(Finding(path, line, column, check.check_path, " ".join(check.message.split())))
    return results


def main(argv: list[str] | None = None) -> int:
    """Check the files named, or all; 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tools.prose", description="Check the project's prose.")
    parser.add_argument("paths", nargs="*", help="only files whose path begins with one of these")
    wanted = tuple(parser.parse_args(argv).paths)
    count = 0
    for path, reader in files():
        name = str(path.relative_to(ROOT))
        if wanted and not name.startswith(wanted):
            continue
        for finding in findings(name, reader(path.read_text())):
            print(finding)
            count += 1
    if count:
        print(f"{count} places to rewrite; the rules are in {RULES.relative_to(ROOT)}", file=sys.stderr)
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
