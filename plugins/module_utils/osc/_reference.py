# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Image addresses: how they are written, and where in Kubernetes objects and free text they stand."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._yaml import Path

_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
HOST = rf"(?:localhost(?::\d+)?|(?:{_LABEL}\.)+{_LABEL}(?::\d+)?|{_LABEL}:\d+(?=/))"
_PATH = r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*"
TAG = r"\w[\w.-]{0,127}"
_DIGEST = r"sha256:[0-9a-f]{64}"

_REFERENCE = re.compile(
    rf"(?:(?P<host>{HOST})/)?(?P<repository>{_PATH}(?:/{_PATH})*)(?::(?P<tag>{TAG}))?(?:@(?P<digest>{_DIGEST}))?", re.A
)

REGISTRIES = re.compile(
    r"(?:(?:index\.|registry-1\.)?docker\.io|quay\.io|ghcr\.io|(?:[\w-]+\.)?gcr\.io|registry\.k8s\.io|mcr\.microsoft\.com"
    r"|public\.ecr\.aws|nvcr\.io|docker\.elastic\.co|registry\.[\w-]+(?:\.[\w-]+)+|(?:swr|cr|harbor|hub|docker)\.[\w-]+(?:\.[\w-]+)+"
    r"|[\w-]+\.azurecr\.io|[\w-]+-docker\.pkg\.dev|[\w.-]+\.dkr\.ecr\.[\w.-]+)",
    re.A,
)
"""Hosts that are registries by their name: an address there needs no tag to be known for one."""

_IN_TEXT = re.compile(
    rf"(?<![\w./@:-])(?:(?:{HOST}/{_PATH}(?:/{_PATH})*(?::{TAG}(?:@{_DIGEST})?|@{_DIGEST}))|(?:{REGISTRIES.pattern})(?::\d+)?/{_PATH}(?:/{_PATH})*)(?![\w/])",
    re.A,
)
_IMAGE_LINE = re.compile(r"""(?mi)^[ \t]*(?:-[ \t]+)?["']?[\w.-]*image["']?[ \t]*[:=][ \t]*["']?([^\s"'{},]+)""")
_IMAGE_FLAG = re.compile(r"(?i)^--?[\w.-]*image[=\s]([^\s]+)$")
_NO_IMAGE = frozenset({"always", "ifnotpresent", "never", "true", "false", "null", "none"})


@dataclasses.dataclass(frozen=True)
class Reference:
    host: str | None
    repository: str
    tag: str | None
    digest: str | None

    def __str__(self) -> str:
        text = f"{self.host}/{self.repository}" if self.host else self.repository
        return text + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def parse(text: str) -> Reference | None:
    """An image address, or None for what is none. As docker reads it: a first part with a dot or a port is a host."""
    match = _REFERENCE.fullmatch(text)
    return Reference(match["host"], match["repository"], match["tag"], match["digest"]) if match else None


def valid_tag(text: str) -> bool:
    return re.fullmatch(TAG, text, re.A) is not None


def is_image_key(key: t.Any) -> bool:
    return (
        isinstance(key, str) and re.fullmatch(r"(?i)(?!.*pull).*image(?:[_-]?(?:name|url|ref|repo))?", key) is not None
    )


def in_text(text: str) -> list[str]:
    """Addresses with a host somewhere in a text, and what stands behind `image:` in text that holds YAML."""
    match = [m[0] for m in _IN_TEXT.finditer(text) if not text[: m.start()].endswith("://")]
    if "\n" in text.strip():
        match += [m[1] for m in _IMAGE_LINE.finditer(text) if m[1].lower() not in _NO_IMAGE and parse(m[1])]
    if flag := _IMAGE_FLAG.match(text):
        match += [flag[1]] if parse(flag[1]) else []
    return list(dict.fromkeys(match))


def in_tree(tree: t.Any) -> t.Iterator[tuple[Path, str]]:
    """Every image address of a loaded document, with the path of the value that holds it."""
    for path, value in _yaml.leaves(tree):
        if not isinstance(value, str) or not value:
            continue
        key = next((step for step in reversed(path) if isinstance(step, str)), "")
        if "properties" in path and path[-1] in ("description", "pattern", "title"):
            continue  # a CRD's words
        if (is_image_key(key) or _env_image(tree, path)) and parse(value) and value.lower() not in _NO_IMAGE:
            yield path, value
        elif composed := _composed(tree, path):
            yield path, composed
        else:
            for address in in_text(value):
                yield path, address


def _env_image(tree: t.Any, path: Path) -> bool:
    """The value of an environment variable or argument that says it is an image, as RELATED_IMAGE_... do."""
    if not path or path[-1] != "value":
        return False
    above = _yaml.at(tree, path[:-1])
    name = above.get("name") if isinstance(above, dict) else None
    return isinstance(name, str) and re.search(r"(?i)(?:^|_)image(?:$|_)(?!pull)", name) is not None


def _composed(tree: t.Any, path: Path) -> str | None:
    """An address in parts, as custom resources have it: repository beside tag, maybe a registry."""
    if not path or path[-1] != "repository":
        return None
    parts = _yaml.at(tree, path[:-1])
    if not isinstance(parts, dict) or not {"tag", "digest", "registry"} & set(parts):
        return None
    text = str(parts["repository"])
    if isinstance(parts.get("registry"), str) and parts["registry"]:
        text = f"{parts['registry']}/{text}"
    if isinstance(parts.get("tag"), str) and parts["tag"]:
        text = f"{text}:{parts['tag']}"
    return text if parse(text) else None
