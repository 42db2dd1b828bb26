from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Refused

MARK = ("annotations", "source")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        # nothing there yet
        ("name: etcd # ours\nversion: 1\n", "annotations:\n  source: ISV\nname: etcd # ours\nversion: 1\n"),
        # beside others, with their comments, indentation and order
        (
            "# top\nannotations:\n    b: 1  # why\n    a: 2\nname: etcd\n",
            "# top\nannotations:\n    source: ISV\n    b: 1  # why\n    a: 2\nname: etcd\n",
        ),
        # another mark
        ("annotations: {source: OpenSource, a: b}\n", "annotations: {source: ISV, a: b}\n"),
        ("annotations:\n  source: 'OpenSource'  # was\n", "annotations:\n  source: ISV  # was\n"),
        # nothing below the key
        ("annotations:\nname: etcd\n", "annotations:\n  source: ISV\nname: etcd\n"),
        ("annotations: # none\nname: etcd\n", "annotations:\n  source: ISV # none\nname: etcd\n"),
        ("annotations: null\nname: etcd\n", "annotations:\n  source: ISV\nname: etcd\n"),
        ("annotations: {}\nname: etcd\n", "annotations: {source: ISV}\nname: etcd\n"),
        ("annotations: {a: b}\n", "annotations: {source: ISV, a: b}\n"),
        # on one line, without a line end, with a document start, from Windows
        ('{"name": "etcd"}', '{annotations: {source: ISV}, "name": "etcd"}'),
        ("name: etcd", "annotations:\n  source: ISV\nname: etcd"),
        ("---\nname: etcd\n", "---\nannotations:\n  source: ISV\nname: etcd\n"),
        ("name: etcd\r\n", "annotations:\r\n  source: ISV\r\nname: etcd\r\n"),
        # a block of text among the annotations
        (
            "annotations:\n  changes: |\n    - source: no\n  b: c\n",
            "annotations:\n  source: ISV\n  changes: |\n    - source: no\n  b: c\n",
        ),
        # there already
        ("annotations:\n  source: ISV\n", "annotations:\n  source: ISV\n"),
    ],
)
def test_the_mark_is_added_and_all_else_is_kept(before, after):
    made = _yaml.with_value(before, "Chart.yaml", MARK, "ISV")
    assert made == after
    assert _yaml.with_value(made, "Chart.yaml", MARK, "ISV") == made


def test_a_mark_that_would_change_anything_else_is_refused():
    text = "base: &base {a: b}\nannotations: *base\nother: *base\n"  # one mapping under three names
    with pytest.raises(Refused, match="by hand"):
        _yaml.with_value(text, "Chart.yaml", MARK, "ISV")


def test_places_are_told_by_line_also_of_what_is_missing():
    text = "a:\n  b:\n    - c: 1\n    - c: 2\n"
    assert _yaml.line_at(text, "f", ("a", "b", 1, "c")) == 4
    assert _yaml.line_at(text, "f", ("a", "b", 1, "missing", "deeper")) == 4
    assert _yaml.line_at(text, "f", ("missing",)) == 1


@pytest.mark.parametrize("text", ["a: [", "a: b: c", "\tx: 1", "a: 2026-99-99", "a: !!python/object:os.system x"])
def test_what_is_not_yaml_is_refused_as_such(text):
    with pytest.raises(Refused) as caught:
        _yaml.load(text, "values.yaml")
    assert caught.value.finding.rule == "yaml-syntax"
