# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Passwords in configuration files (TOML, YAML or JSON), found by the names of their keys, for Ansible to mask in all that it shows.

Wide rather than exact: a value that is masked without need costs a line of a diff, a password that is shown cannot be taken back.
"""

from __future__ import annotations

import re

_NAME = r"[\w.-]*(?:password|passwd|token|secret|credential|api[_-]?key|authorization|cookie)[\w.-]*|auth|staticPodURLHeader"
_QUOTED = r"\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'"
_BELOW = r"[ \t]*\n(?:(?P<in>[ \t]+|(?=-))[^\n]*(?:\n|\Z)(?:[ \t][^\n]*(?:\n|\Z))*)"
_PAIR = re.compile(
    rf"(?:^|[\s{{,.\"'])(?:{_NAME})[\"']?[ \t]*[=:](?P<value>[ \t]*(?:{_QUOTED}|\[.*?\]|\{{.*?\}}|[^\s\"'\[{{][^\n,}}]*)|{_BELOW})",
    re.MULTILINE | re.DOTALL | re.IGNORECASE,
)
_HEADERS = re.compile(r"^\s*\[[^\n]*\bheaders?[\"']?\s*\]\s*(?:#[^\n]*)?\n(?P<value>(?:(?!\s*\[[^\]\n,]*\]\s*$).*\n?)*)", re.MULTILINE)
"""A table of HTTP headers in TOML: any of them may be a password."""
_IN_URL = re.compile(r"://[^\s/@:\"']*:(?P<value>[^\s/@\"']+)@")
_WORD = re.compile(rf"(?P<quoted>{_QUOTED})|(?P<bare>[^\s\"'\[\]{{}},:=#-][^\s,\[\]{{}}]*)", re.DOTALL)


def secrets(text: str | None) -> set[str]:
    """The values that may be passwords, each as it is written in the text."""
    secrets: set[str] = set()
    for pattern in (_PAIR, _HEADERS):
        for match in pattern.finditer(text or ""):
            secrets |= _words(match.group("value"))
    secrets |= {match.group("value") for match in _IN_URL.finditer(text or "")}
    return {secret for secret in secrets if len(secret) > 3}


def _words(value: str) -> set[str]:
    """Quoted strings and bare words, without keys and words that every configuration has."""
    secrets = set()
    for match in _WORD.finditer(value):
        word, is_key = match.group(), re.match(r"\s*(?:=|:(?:\s|$))", value[match.end() :])
        if is_key or word.endswith(":"):
            continue
        if match.group("quoted"):
            edge = 3 if word[:3] in ('"""', "'''") else 1
            secrets.add(word[edge:-edge].strip())
        elif not re.fullmatch(r"true|false|null|\d{1,5}|\d+m?s|Webhook|AlwaysAllow|Bearer|Basic", word):
            secrets.add(word)
    return secrets
