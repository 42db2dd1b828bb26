# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Makes a package: of a chart, an operator bundle, an OSC folder, or a service folder that has one of them in package/.

The same inputs make the same archive, bit for bit: what goes in is named, sorted and stripped of times and owners.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import (
    _chart,
    _folder,
    _forms,
    _images,
    _mapping,
    _package,
    _write,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._forms import Service
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._helm import HelmError
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._package import Opened, Options
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import JSON


class BuildError(Exception):
    """What the user gets to read: what is missing, and what to do."""


@dataclasses.dataclass
class Recipe:
    """What a package is made of."""

    src: str
    images: t.Sequence[JSON] = ()
    extends: str | None = None
    mapping: str | None = None
    name: str | None = None
    version: str | None = None
    suffix: str | None = None


def file_name(recipe: Recipe, options: Options, scratch: str) -> str:
    """How the archive is called."""
    _opened_package, service = _open(recipe, scratch)
    name, version = _identity(recipe, service)
    return f"{name}-{version}{_suffix(recipe, service.form, options.profile)}"


def build(recipe: Recipe, options: Options, scratch: str) -> str:
    """Make the package below ``scratch``; its path. Raises BuildError or Refused."""
    opened, service = _open(recipe, scratch)
    name, version = _identity(recipe, service)
    suffix = _suffix(recipe, service.form, options.profile)
    if service.form == "helm":
        service.files = _without_ignored(opened, service, options, scratch)
    executable = _folder.executables(_folder.listing(opened.folder, opened.where))
    inner_suffix = _forms.FORMATS[service.form][0] if options.profile == "bundle" else suffix
    files: dict[str, _write.Source] = {f"{name}/{n}": data for n, data in service.marked(options.source).items()}
    deployed = _write.pack(inner_suffix, files, {f"{name}/{n}" for n in executable})
    target = os.path.join(scratch, "built", f"{name}-{version}{suffix}")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        if options.profile == "console":
            file.write(deployed)
        else:
            package = {f"{name}/package/{name}-{version}{inner_suffix}": deployed}
            beside = _beside(recipe, opened, service, options, scratch)
            _write.write(file, suffix, {**package, **{f"{name}/{n}": source for n, source in beside.items()}})
    return target


def _open(recipe: Recipe, scratch: str) -> tuple[Opened, Service]:
    if not os.path.exists(recipe.src):
        raise BuildError(f"There is no {recipe.src}.")
    opened = _package.open_package(recipe.src, scratch)
    return opened, opened.service()


def _identity(recipe: Recipe, service: Service) -> tuple[str, str]:
    own = service.identity()
    name, version = recipe.name or own[0], recipe.version or own[1]
    if not name or not version:
        raise BuildError(f"{recipe.src} says no name and version of its own; give both.")
    if service.form == "helm" and (name, version) != own:
        raise BuildError(f"Chart.yaml says {own[0]} {own[1]}, not {name} {version}: change it there.")
    return name, version


def _suffix(recipe: Recipe, form: str, profile: str) -> str:
    allowed = (".zip", ".tgz", ".tar.gz") if profile == "bundle" else _forms.FORMATS[form]
    suffix = recipe.suffix or allowed[0]
    if suffix not in allowed:
        raise BuildError(
            f"a package of the form {form} for the profile {profile} is a {' or '.join(allowed)}, not a {suffix}"
        )
    return suffix


def _without_ignored(opened: Opened, service: Service, options: Options, scratch: str) -> dict[str, bytes]:
    """What `helm package` would take: without what .helmignore names. Helm itself rewrites Chart.yaml, losing comments."""
    if opened.suffix:
        return service.files
    target = os.path.join(scratch, "helm-package")
    os.makedirs(target, exist_ok=True)
    try:
        options.helm_in(scratch).packaged(os.path.abspath(opened.folder), target)
    except HelmError as e:
        raise BuildError(f"Helm does not package {opened.where}: {e}") from None
    packed = os.path.join(target, os.listdir(target)[0])
    _folder.unpack(packed, os.path.join(scratch, "helm-package-files"))
    taken = _folder.listing(_folder.sole_folder(os.path.join(scratch, "helm-package-files")), opened.where)
    return {name: data for name, data in service.files.items() if name in taken}


def _beside(
    recipe: Recipe, opened: Opened, service: Service, options: Options, scratch: str
) -> dict[str, _write.Source]:
    """images/ and extends/ of a bundle."""
    sources: dict[str, _write.Source] = {f"images/{name}": path for name, path in opened.images.items()}
    sources.update({f"extends/{name}": data for name, data in opened.extends.items()})
    if recipe.extends:
        extends = _folder.listing(recipe.extends, "extends")
        sources.update({f"extends/{name}": path for name, path in extends.items()})
    entries = _entries(recipe.images, sources)
    mapping = opened.mapping
    if recipe.mapping:
        with open(recipe.mapping, "rb") as file:
            mapping = file.read()
    elif entries and service.form == "helm":
        chart = _package.chart_of(opened, service)
        if chart:
            mapping = _mapping.text_of(_addressed(entries, chart, options, scratch)).encode()
    if mapping is not None:
        sources[_mapping.FILE] = mapping
    return sources


def _entries(images: t.Sequence[JSON], sources: dict[str, _write.Source]) -> list[JSON]:
    """The archives of the images, added to ``made`` under the names that the rules ask for; one file is taken once."""
    names: dict[tuple[str, str], str] = {}
    entries = []
    for image in images:
        package = {}
        for architecture, given in sorted(image["archives"].items()):
            path = os.path.expanduser(given)
            if architecture not in _images.ARCHITECTURES:
                raise BuildError(f"{architecture} is no architecture of OSC packages; they are x86_64 and aarch64")
            if not os.path.isfile(path):
                raise BuildError(f"there is no image archive {path}")
            real = os.path.realpath(path)
            package[architecture] = names.setdefault((real, architecture), f"{image['name']}-{image['version']}-{architecture}.tar")
            sources[f"images/{package[architecture]}"] = real
        entry = {"image": image["name"], "tag": image["version"], "address": image.get("address"), "package": package}
        entries.append(entry)
    return entries


def _addressed(entries: list[JSON], chart: _chart.Chart, options: Options, scratch: str) -> list[JSON]:
    """Each image with the values that make its address: as given, or found by rendering the chart with marks."""
    if all(entry["address"] for entry in entries):
        return entries
    try:
        mapping = _mapping.derived(chart, options.helm_in(scratch))
    except HelmError as e:
        raise BuildError(
            f"which values make the images' addresses cannot be found, as Helm does not render the chart: {e}"
        ) from None
    for entry in entries:
        fits = {a: fields for a, fields in mapping.items() if _mapping.is_of(a, entry["image"])}
        if not entry["address"]:
            if len({str(fields) for fields in fits.values()}) != 1:
                known = ", ".join(sorted(mapping)) or "none"
                raise BuildError(
                    f"which values make the address of {entry['image']}? The chart renders {known}. Give its address, "
                    "as mapping.yaml has it, or call it as the last part of its address"
                )
            entry["address"] = next(iter(fits.values()))
    return entries
