# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Image archives: what they are called in a package, and which architectures they really hold."""

from __future__ import annotations

import re
import tarfile
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._archive import HEADER_LIMIT
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Finding, Refused

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
"""How the platform calls an architecture, and how images do."""

_NAME = re.compile(r"(?P<stem>[A-Za-z0-9_.-]+)-(?P<architecture>x86_64|aarch64)\.tar", re.A)
_JSON_LIMIT = 4 << 20


def valid_name(stem: str) -> bool:
    """Letters, digits, underscore, hyphen, dot; not ending in one of the last three."""
    return re.fullmatch(r"[A-Za-z0-9_.-]*[A-Za-z0-9]", stem, re.A) is not None


def check_name(name: str, file: str) -> t.Iterator[Finding]:
    match = _NAME.fullmatch(name)
    if not match or not valid_name(match["stem"]) or "-" not in match["stem"]:
        message = f"{name} is not NAME-VERSION-x86_64.tar or NAME-VERSION-aarch64.tar of letters, digits, _, - and ."
        yield Finding(file, None, "name-image", message)


def check_archive(path: str, name: str, file: str) -> t.Iterator[Finding]:
    """Is it an image, and for the architecture that its name says?"""
    try:
        holds = architectures(path)
    except (tarfile.TarError, ValueError, KeyError, TypeError, AttributeError, OSError) as e:
        yield Finding(file, None, "image-archive", f"it is neither an OCI layout nor what `docker save` writes ({e})")
        return
    except Refused as e:
        yield e.finding
        return
    match = _NAME.fullmatch(name)
    if match and holds != {ARCHITECTURES[match["architecture"]]}:
        message = f"it holds an image for {' and '.join(sorted(holds)) or 'no architecture'}; its name says {match['architecture']}"
        yield Finding(file, None, "image-archive", message)


def architectures(path: str) -> set[str]:
    """What the image configurations in an archive say; ValueError for what is no image archive."""
    with open(path, "rb") as raw, tarfile.open(fileobj=t.cast(t.BinaryIO, _Headers(raw, path)), mode="r:") as archive:
        members = {m.name[2:] if m.name.startswith("./") else m.name: m for m in archive}

        def read(name: str) -> t.Any:
            member = members.get(name)
            stream = archive.extractfile(member) if member is not None and member.isreg() else None
            if member is None or stream is None or member.size > _JSON_LIMIT:
                raise ValueError(f"no {name} in it")
            return _yaml.load_json(stream.read())

        if "index.json" in members:
            return _oci(read, read("index.json"), 0)
        return {read(image["Config"])["architecture"] for image in read("manifest.json")}


def _oci(read: t.Callable[[str], t.Any], document: t.Any, depth: int) -> set[str]:
    if depth > 3:
        raise ValueError("indexes nested without end")
    if "manifests" in document:
        parts = [m for m in document["manifests"] if (m.get("platform") or {}).get("architecture") != "unknown"]
        match = set()
        for part in parts:
            match |= _oci(read, read(_blob(part)), depth + 1)
        return match
    return {read(_blob(document["config"]))["architecture"]}


def _blob(descriptor: t.Any) -> str:
    return "blobs/" + str(descriptor["digest"]).replace(":", "/")


class _Headers:
    """A file that tarfile reads at most a header's worth from at once: a pax header is taken whole into memory."""

    def __init__(self, stream: t.BinaryIO, where: str) -> None:
        self.stream, self.where = stream, where
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, amount: int) -> bytes:
        if amount > max(HEADER_LIMIT, _JSON_LIMIT):
            raise Refused("archive-bomb", self.where, f"a header of {amount} bytes")
        return self.stream.read(amount)
