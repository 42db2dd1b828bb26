# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""The rules of OSC service packages by name, and what a finding against one of them looks like.

docs/osc-packages.md has the same table; a test keeps them equal.
"""

from __future__ import annotations

import dataclasses
import typing as t

JSON = t.Dict[str, t.Any]

RULES: dict[str, str] = {
    "archive-format": "A Helm service is a .tgz or .tar.gz, an operator service a .zip, an OSC service or a bundle any of the three.",
    "archive-damaged": "An archive is complete, and has no bytes before its first entry.",
    "archive-path": "No entry leaves the archive's folder: no absolute path, no `..`, no backslash, no drive letter.",
    "archive-link": "No entry is a symbolic or a hard link.",
    "archive-special": "No entry is a device, a pipe, sparse, encrypted, or packed by anything but deflate.",
    "archive-duplicate": "No two entries share a name, also not by case or Unicode form, and none is both file and folder.",
    "archive-bomb": "Unpacked, an archive has at most the given number of entries and bytes, and is at most 100 times its size; YAML is at most 100 "
    "levels deep and a million values long.",
    "encoding": "Names of entries, YAML, JSON and template files are UTF-8.",
    "yaml-syntax": "YAML files can be read.",
    "layout-package": "The folder package/ holds exactly one package: a Helm .tgz, or an operator or OSC .zip.",
    "layout-unknown": "Beside package/, images/ and extends/ a service folder holds nothing.",
    "layout-images": "The folder images/ holds image archives (.tar) and mapping.yaml, and nothing else.",
    "layout-chart": "A Helm package is one folder with Chart.yaml, values.yaml and templates/, whose name and version its file name says.",
    "layout-operator": "An operator package holds exactly one ClusterServiceVersion (*.clusterserviceversion.yaml) and a CRD.",
    "layout-osc": "An OSC package holds metadata.yaml, lifecycle.yaml and manifests/ with at least one *_crd.yaml.",
    "name-package": "Names of packages: letters, digits, underscore, hyphen, dot; not ending in one of the last three.",
    "name-image": "Image archives are named NAME-VERSION-x86_64.tar or NAME-VERSION-aarch64.tar, of the same characters.",
    "limit-count": "One upload at the console takes at most 5 packages (profile console).",
    "limit-size": "A package uploaded at the console has at most 4 MB (profile console).",
    "limit-images": "A package for the console carries no images; they are pushed to a registry (profile console).",
    "source-mark": "The source is marked: annotations.source in Chart.yaml, metadata.annotations.source in the "
    "ClusterServiceVersion, source in an OSC package's metadata.yaml.",
    "chart-renders": "The chart can be rendered by Helm with the values that it ships.",
    "image-from-values": "Every image address that a chart renders comes from its values.yaml.",
    "image-literal": "No template holds an image address of its own.",
    "image-from-csv": "In an operator package image addresses are only in the ClusterServiceVersion.",
    "image-from-osc": "In an OSC package image addresses are only in lifecycle.yaml and *csd.yaml.",
    "image-archive": "An image archive is an OCI layout or what `docker save` writes, for the architecture that its name says.",
    "mapping-syntax": "mapping.yaml has a list `instance`, each with image, tag, address and package.",
    "mapping-path": "Every path that mapping.yaml names is in values.yaml.",
    "mapping-archive": "Every archive that mapping.yaml names is in images/, and every archive there is named.",
    "mapping-complete": "Once what mapping.yaml names is replaced, no image is pulled from anywhere else.",
    "csd-syntax": "A CSD is a CustomServiceDefinition of osc.io/v1beta1 whose CRDRef names a CRD of the package.",
    "csd-version": "versionDefinition has mode (url or tag), path and tags.",
    "csd-path": "The path of a versionDefinition is in values.yaml or the custom resource, and holds an address (url) or a tag (tag).",
    "csd-tags": "The tags of a versionDefinition are strings, valid as image tags, and unique.",
}

WARNINGS = frozenset({"layout-unknown"})
"""Rules whose findings are reported, but do not refuse a package."""


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """One breach of one rule at one place; ``file`` is below the package, ``line`` counts from 1."""

    file: str
    line: int | None
    rule: str
    message: str
    warning: bool = False

    def __post_init__(self) -> None:
        if self.rule not in RULES:
            raise ValueError(f"no such rule: {self.rule}")

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.rule}: {self.message}"

    def to_json(self) -> JSON:
        level = "warning" if self.warning or self.rule in WARNINGS else "error"
        return {"rule": self.rule, "file": self.file, "line": self.line, "level": level, "message": self.message}


class Refused(Exception):
    """A breach after which no further check of the package is possible."""

    def __init__(self, rule: str, file: str, message: str, line: int | None = None) -> None:
        self.finding = Finding(file, line, rule, message)
        super().__init__(str(self.finding))
