"""The console's languages. A message's key is its English sentence; a catalogue holds the other languages' sentences.

Values are in braces: ``t("{count} nodes", count=3)``. Sentence and values are escaped, so that a name that somebody
gave to a node or a policy never becomes markup; a value that is markup already (a link, a time) stays it.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any, Final

from markupsafe import Markup, escape
from msgspec import Struct

from colocation.console.numbers import bytes_text, cores
from colocation.model.phrase import ENGLISH, Phrase

LANGUAGES: Final = {"en": "English", "zh": "中文"}
"""Code to the name by which its speakers know it."""
DEFAULT: Final = "en"
_PLAIN: Final = ("Seconds", "Percent", "Pods", "Points")


class Language(Struct, frozen=True):
    """One language's sentences."""

    code: str
    sentences: dict[str, str]

    def __call__(self, sentence: str, /, **values: Any) -> Markup:
        """Say ``sentence`` in this language, with its values."""
        said = Markup(escape(self.sentences.get(sentence, sentence)))  # noqa: S704 (escaped)
        return said.format(**values) if values else said

    def plain(self, sentence: str, /, **values: Any) -> str:
        """The same as plain text, for JSON."""
        said = self.sentences.get(sentence, sentence)
        return said.format(**values) if values else said

    def count(self, number: int, one: str, many: str, /, **values: Any) -> Markup:
        """The sentence for one, or for another number, which is ``{n}``."""
        return self(one if number == 1 else many, n=number, **values)

    def phrase(self, phrase: Phrase) -> str:
        """A sentence of the manager's; the English one as it stands if this console does not know its code."""
        sentence = ENGLISH.get(phrase.code)
        if sentence is None:
            return f"{phrase.code} {phrase.values or ''}".rstrip()
        amount = bytes_text if phrase.resource == "memory" else cores
        values = {
            name: amount(value)
            if phrase.resource and isinstance(value, int) and not name.endswith(_PLAIN)
            else self.word(value)
            for name, value in phrase.values.items()
        }
        return self.plain(sentence, **values)

    def word(self, value: object) -> object:
        """A text in this language if the catalogue has it, else as it is."""
        return self.sentences.get(value, value) if isinstance(value, str) else value


@cache
def language(code: str) -> Language:
    """One of `LANGUAGES`; English for any other code."""
    if code not in LANGUAGES or code == DEFAULT:
        return Language(DEFAULT, {})
    text = resources.files(__package__).joinpath("locales", f"{code}.json").read_text("utf-8")
    return Language(code, json.loads(text))
