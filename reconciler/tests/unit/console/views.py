"""Views of every page, filled at random: the same seed gives the same view, with the texts that a test wants."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct, inspect, structs

from colocation.console import forms, model
from colocation.console.context import Context
from colocation.console.schema import schema
from colocation.model.phrase import ENGLISH, Phrase

PAGES: Final[dict[str, type[Struct]]] = {
    "add": forms.AddPage,
    "changes": model.Changes,
    "chart": model.Series,
    "conflict": forms.ConflictPage,
    "edit": forms.EditForm,
    "effect": forms.EffectPage,
    "failed": model.Failed,
    "login": model.Login,
    "monitor": model.Monitor,
    "node": model.NodeView,
    "nodes": model.Nodes,
    "overview": model.Overview,
    "policies": model.Policies,
    "policy": model.PolicyPage,
    "switch": forms.SwitchPage,
}
"""A page's template to its view."""
PARTS: Final = {
    "asof", "changes_table", "conditions", "events", "field", "fragment", "macros", "nodes_table", "page",
}  # fmt: skip
"""Templates that are a part of others."""
DEEPEST: Final = 12
Text = Callable[[], str]


class Filler:
    """Fills views. ``text``: gives each text."""

    def __init__(self, seed: int, text: Text) -> None:
        self._dice, self._text = random.Random(seed), text

    def page(self, name: str) -> Struct:
        """The view of a page."""
        made: Struct = self._value(inspect.type_info(PAGES[name]), 0)
        return made

    def context(self, name: str) -> Context:
        """Of somebody with a hostile name, who came to that page by a hostile link."""
        me = self._value(inspect.type_info(model.Me), 0)
        query = tuple((self._text(), self._text()) for _ in range(self._dice.randrange(3)))
        return Context(
            path="/nodes/x",
            query=query,
            language=self._dice.choice(("en", "zh")),
            fragment=self._dice.random() < 0.3,
            me=None if name in ("login", "failed") and self._dice.random() < 0.5 else me,
            cluster=self._text(),
        )

    def _value(self, kind: inspect.Type, depth: int) -> Any:
        dice = self._dice
        match kind:
            case inspect.Metadata():
                return self._value(kind.type, depth)
            case inspect.StructType():
                return self._struct(kind, depth + 1)
            case inspect.UnionType():
                none = [one for one in kind.types if isinstance(one, inspect.NoneType)]
                others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
                if none and (depth > DEEPEST or dice.random() < 0.2):
                    return None
                return self._value(dice.choice(others), depth)
            case inspect.VarTupleType() | inspect.ListType():
                count = 0 if depth > DEEPEST else dice.randrange(4 if depth < 5 else 2)
                made = [self._value(kind.item_type, depth + 1) for _ in range(count)]
                return tuple(made) if isinstance(kind, inspect.VarTupleType) else made
            case inspect.DictType():
                return {self._text(): self._value(kind.value_type, depth + 1) for _ in range(dice.randrange(3))}
            case inspect.LiteralType():
                return dice.choice(kind.values)
            case inspect.StrType():
                return self._text()
            case inspect.BoolType():
                return dice.random() < 0.5
            case inspect.IntType():
                return dice.choice((0, 1, 7, 1500, 64_000, 2**37))
            case inspect.FloatType():
                return dice.choice((0.0, 0.5, 12.25, 1e6))
            case inspect.AnyType():
                return self._any(depth)
        raise AssertionError(kind)

    def _struct(self, kind: inspect.StructType, depth: int) -> Any:
        if kind.cls is model.Schema:
            return schema()
        values = {one.name: self._value(one.type, depth) for one in kind.fields}
        dice = self._dice
        if kind.cls is Phrase and dice.random() < 0.8:
            values["code"] = dice.choice(sorted(ENGLISH))
            names = [part.split("}")[0] for part in ENGLISH[values["code"]].split("{")[1:]]
            values["values"] = {name: self._text() if dice.random() < 0.7 else 1500 for name in names}
        if kind.cls is model.RiskReason:
            values["values"] = {"nodes": dice.randrange(5)}
        if kind.cls is model.Series:
            values |= {"chart": "cpu", "times": tuple(range(3))}
            lines = (structs.replace(one, values=(None, 1.0, 2.5)) for one in values["series"])
            values["series"] = tuple(lines)
        return kind.cls(**values)

    def _any(self, depth: int) -> Any:
        dice = self._dice
        chosen = dice.randrange(6 if depth < DEEPEST else 4)
        if chosen == 0:
            return self._text()
        if chosen < 4:
            return (None, True, 7)[chosen - 1]
        inner = [self._any(depth + 2) for _ in range(dice.randrange(3))]
        return inner if chosen == 4 else {self._text(): one for one in inner}
