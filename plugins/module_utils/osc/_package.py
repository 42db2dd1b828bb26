# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""One package, archive or folder, opened safely and held against all rules."""

from __future__ import annotations

import dataclasses
import io
import os
import tempfile
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import (
    _archive,
    _chart,
    _folder,
    _forms,
    _helm,
    _images,
    _mapping,
    _yaml,
)
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._archive import Limits
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._forms import Service
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import JSON, WARNINGS, Finding, Refused

CONSOLE_SIZE = 4 << 20
CONSOLE_COUNT = 5
PARTS = ("package", "images", "extends")


@dataclasses.dataclass
class Options:
    """How to look at packages."""

    helm: str
    run: _helm.Run
    profile: str = "bundle"
    source: str = "ISV"
    values: t.Sequence[tuple[str, t.Any]] = ()
    kube_version: str | None = None
    max_size: int = 32 << 30
    """Bytes that a bundle may come to, unpacked."""

    def helm_in(self, scratch: str) -> _helm.Helm:
        return _helm.Helm(
            self.helm, self.run, scratch, [f"--kube-version={self.kube_version}"] if self.kube_version else []
        )


@dataclasses.dataclass
class Opened:
    """A package on disk, its archives unpacked."""

    form: str
    folder: str
    where: str
    stem: str
    suffix: str | None
    bundle: bool = False
    images: dict[str, str] = dataclasses.field(default_factory=dict)
    mapping: bytes | None = None
    extends: dict[str, bytes] = dataclasses.field(default_factory=dict)

    def service(self) -> Service:
        return Service(self.form, _folder.contents(self.folder, self.where), self.where)


@dataclasses.dataclass
class Result:
    path: str
    findings: list[Finding] = dataclasses.field(default_factory=list)
    form: str | None = None
    name: str | None = None
    version: str | None = None
    images: list[JSON] = dataclasses.field(default_factory=list)
    versions: list[JSON] = dataclasses.field(default_factory=list)

    @property
    def errors(self) -> list[Finding]:
        return [f for f in self.findings if not f.warning and f.rule not in WARNINGS]


def open_package(path: str, scratch: str, max_size: int = Options.max_size) -> Opened:
    """Unpack an archive below ``scratch``, and return its kind. Raises Refused if no further check is possible."""
    name = os.path.basename(os.path.abspath(path))
    suffix = None
    folder = path
    if not os.path.isdir(path):
        suffix = _archive.suffix_of(name)
        folder = tempfile.mkdtemp(dir=scratch)
        _folder.unpack(path, folder, Limits(total=max_size), name)
        folder = _root(folder)
    stem = _archive.stem_of(name) if suffix else name
    if os.path.isdir(os.path.join(folder, "package")):
        return _open_bundle(folder, scratch, name if suffix else "", stem, suffix)
    names = _folder.listing(folder, name)
    form = _forms.form_of(names)
    if form is None:
        raise Refused(
            "layout-package",
            name,
            "it holds no package/, no Chart.yaml, no ClusterServiceVersion and no lifecycle.yaml",
        )
    return Opened(form, folder, name, stem, suffix)


def _root(folder: str) -> str:
    """Archives have one folder at their top, or none."""
    below = _folder.sole_folder(folder)
    return folder if os.path.basename(below) in (*PARTS, "manifests", "templates") else below


def _open_bundle(folder: str, scratch: str, where: str, stem: str, suffix: str | None) -> Opened:
    inside = os.path.join(folder, "package")
    entries = sorted(os.listdir(inside))
    place = f"{where}/package" if where else "package"
    if len(entries) != 1:
        message = f"it holds {', '.join(entries) or 'nothing'}; it must hold one Helm .tgz, or one operator or OSC .zip"
        raise Refused("layout-package", place, message)
    opened = open_package(os.path.join(inside, entries[0]), scratch, Limits.total)
    if opened.bundle or opened.suffix is None:
        raise Refused("layout-package", f"{place}/{entries[0]}", "it is no Helm .tgz, and no operator or OSC .zip")
    opened.where, opened.bundle = f"package/{entries[0]}", True
    images = os.path.join(folder, "images")
    if os.path.isdir(images):
        opened.images = _folder.listing(images, "images")
        if "mapping.yaml" in opened.images:
            with open(opened.images.pop("mapping.yaml"), "rb") as file:
                opened.mapping = file.read()
    extends = os.path.join(folder, "extends")
    if os.path.isdir(extends):
        opened.extends = _folder.contents(extends, "extends")
    return opened


def check(path: str, options: Options, scratch: str) -> Result:
    """Hold one package against all rules."""
    result = Result(path)
    try:
        opened = open_package(path, scratch, options.max_size)
        result.form = opened.form
        service = opened.service()
        result.name, result.version = service.identity()
        result.findings += _check_outside(path, opened, options)
        result.findings += _check_service(opened, service, result, options, scratch)
    except Refused as e:
        result.findings.append(e.finding)
    result.findings = sorted(set(result.findings), key=lambda f: (f.file, f.line or 0, f.rule, f.message))
    return result


def _check_outside(path: str, opened: Opened, options: Options) -> t.Iterator[Finding]:
    """Names, sizes and folders."""
    name = os.path.basename(os.path.abspath(path))
    archive = os.path.basename(opened.where)
    for stem, file in {opened.stem: opened.where, _archive.stem_of(name): name}.items():
        if not _images.valid_name(stem):
            message = f"{stem} is not of letters, digits, _, - and ., or ends in one of the last three"
            yield Finding(file, None, "name-package", message)
    if opened.suffix and opened.suffix not in _forms.FORMATS[opened.form]:
        formats = " or ".join(_forms.FORMATS[opened.form])
        yield Finding(
            opened.where,
            None,
            "archive-format",
            f"{archive} is a package of the form {opened.form}: that is a {formats}",
        )
    if options.profile == "console":
        if os.path.isfile(path) and os.path.getsize(path) > CONSOLE_SIZE:
            message = f"it has {os.path.getsize(path):,} bytes; the console takes {CONSOLE_SIZE:,}"
            yield Finding(name, None, "limit-size", message)
        if opened.images:
            message = "it carries images; push them to a registry, and build it for the profile console"
            yield Finding("images", None, "limit-images", message)
    if opened.bundle:
        folder = path if os.path.isdir(path) else ""
        for other in sorted(set(os.listdir(folder)) - set(PARTS)) if folder else []:
            yield Finding(other, None, "layout-unknown", "it is not part of a service package")


def _check_service(
    opened: Opened, service: Service, result: Result, options: Options, scratch: str
) -> t.Iterator[Finding]:
    yield from service.check_layout()
    yield from service.check_mark(options.source)
    if opened.suffix and service.form != "operator":
        rule = "layout-chart" if service.form == "helm" else "layout-osc"
        yield from _forms.check_name(opened.stem, result.name, result.version, opened.where, rule)
    chart = chart_of(opened, service)
    if chart:
        helm = options.helm_in(scratch)
        report = _chart.check(chart, helm, options.values)
        yield from (_moved(f, chart, service) for f in report.findings)
        result.images = [{"address": u.address, "template": u.source, "values": list(u.paths)} for u in report.used]
    if service.form != "helm":
        yield from service.check_addresses()
        result.images += [{"address": address, "template": None, "values": []} for address in service.addresses()]
    yield from _check_csds(opened, service, chart, result)
    yield from _check_images(opened, service, chart, options, scratch)


def chart_of(opened: Opened, service: Service) -> _chart.Chart | None:
    """The chart of a package: itself, or what an OSC package has in raw/."""
    prefix = {"helm": "", "osc": "raw/"}.get(service.form)
    if prefix is None or f"{prefix}Chart.yaml" not in service.files:
        return None
    files = {name[len(prefix) :]: data for name, data in service.files.items() if name.startswith(prefix)}
    root = str(service.mapping(f"{prefix}Chart.yaml").get("name"))
    folder = os.path.join(opened.folder, prefix) if prefix else opened.folder
    replaced = _configuration(service) if prefix else None
    return _chart.Chart(
        root, {f"{root}/{name}": text for name, text in _texts(files, service.where).items()}, folder, replaced
    )


def _texts(files: dict[str, bytes], where: str) -> dict[str, str]:
    """Text files, and those of the charts packed inside charts/: Helm reads these, too."""
    files_read = _folder.texts(files)
    for name, data in files.items():
        if name.startswith("charts/") and name.count("/") == 1 and _archive.suffix_of(name):
            archive = _archive.read(io.BytesIO(data), name, f"{where}/{name}")
            inner = {entry.name: b"".join(pieces) for entry, pieces in archive}
            files_read.update({f"charts/{path}": text for path, text in _folder.texts(inner).items()})
    return files_read


def _configuration(service: Service) -> t.Any:
    """The values that the CSDs of an OSC package set for the chart in raw/."""
    files_read: JSON = {}
    for csd in service.csds({}, None):
        for tree in csd.configurations():
            spec = tree.get("spec") if isinstance(tree, dict) else None
            spec = spec if isinstance(spec, dict) else tree
            files_read.update(spec["values"] if isinstance(spec.get("values"), dict) else spec)
    return files_read


def _moved(finding: Finding, chart: _chart.Chart, service: Service) -> Finding:
    """Helm calls a chart's files by the chart's name; users, by where they are."""
    folder = "raw/" if service.form == "osc" else ""
    below = finding.file[len(chart.root) + 1 :]
    return dataclasses.replace(finding, file=service.place(folder + below))


def _check_csds(opened: Opened, service: Service, chart: t.Any, result: Result) -> t.Iterator[Finding]:
    for csd in service.csds(opened.extends, chart.base if chart else None):
        yield from csd.check()
        problems = csd.versions()
        if problems:
            result.versions.append(problems)


def _check_images(
    opened: Opened, service: Service, chart: t.Any, options: Options, scratch: str
) -> t.Iterator[Finding]:
    for name in sorted(opened.images):
        file = f"images/{name}"
        if not name.endswith(".tar") or "/" in name:
            yield Finding(file, None, "layout-images", "it is no image archive (.tar), and not mapping.yaml")
            continue
        yield from _images.check_name(name, file)
        yield from _images.check_archive(opened.images[name], name, file)
    if opened.mapping is None:
        if opened.images and service.form == "helm":
            message = "there are images and no mapping.yaml: the platform would not know which values to replace"
            yield Finding("images", None, "mapping-complete", message)
        return
    mapping = _mapping.Mapping(_yaml.text_of(opened.mapping, _mapping.FILE))
    archives = [name for name in opened.images if name.endswith(".tar")]
    problems = list(mapping.check(service.form, archives, chart.values if chart else None))
    yield from problems
    if service.form == "helm" and chart and not problems:
        yield from mapping.prove(chart, options.helm_in(scratch))
