# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Renders a chart by the real Helm, without a cluster, without the user's plugins, repositories or kubeconfig."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Refused

Run = t.Callable[[t.List[str], t.Dict[str, str]], t.Tuple[int, str, str]]
"""Runs a command with these environment variables on top: exit status, output, errors."""

_DOCUMENT = re.compile(r"^---\n# Source: (.+)\n", re.MULTILINE)
_KUBE_VERSION = re.compile(r"requires kubeVersion: [^\d]*(\d+\.\d+(?:\.\d+)?)[^\n]* incompatible with Kubernetes")
_API = re.compile(r"""\.APIVersions\.Has\s+["`]([\w./-]+)["`]""")


def asked_apis(templates: t.Iterable[str]) -> list[str]:
    """The APIs that templates ask a cluster for: what depends on them is to show, too."""
    return sorted({api for text in templates for api in _API.findall(text)})


@dataclasses.dataclass(frozen=True)
class Document:
    source: str
    text: str

    @property
    def tree(self) -> t.Any:
        """The object; the text itself where PyYAML reads it otherwise than Helm does."""
        return _tree(self.text)


@functools.lru_cache(maxsize=2048)  # most objects are the same in every render
def _tree(text: str) -> t.Any:
    try:
        return _yaml.load(text, "")
    except Refused:
        return text


class HelmError(Exception):
    """Helm's own words."""


class Helm:
    """One chart in a folder, to be rendered again and again."""

    def __init__(self, binary: str, run: Run, scratch: str, options: t.Sequence[str] = ()) -> None:
        self.binary, self.run, self.scratch, self.options = binary, run, scratch, list(options)
        self.renders = 0
        self._skip_schema = ["--skip-schema-validation"]

    def render(self, chart: str, values: t.Any, apis: t.Sequence[str] = ()) -> list[Document]:
        """What the chart comes to with ``values`` laid over its own."""
        path = os.path.join(self.scratch, "values.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(values, file, default=str)
        self.renders += 1
        common = [self.binary, "template", "release", chart, "--include-crds", "--namespace", "default", "-f", path]
        common += [f"--api-versions={api}" for api in apis]
        rc, out, err = self.run([*common, *self._skip_schema, *self.options], self._environment())
        if rc and "unknown flag: --skip-schema-validation" in err:  # Helm before 3.16
            self._skip_schema = []
            rc, out, err = self.run([*common, *self.options], self._environment())
        if rc and not self.options and (wanted := _KUBE_VERSION.search(err)):
            # Not for the Kubernetes that this Helm would imagine: take the first that the chart names.
            self.options = [f"--kube-version={wanted[1]}"]
            rc, out, err = self.run([*common, *self._skip_schema, *self.options], self._environment())
        if rc:
            raise HelmError(_short(err or out, chart))
        parts = _DOCUMENT.split(out if out.startswith("---") else "---\n" + out)
        return [Document(source, text) for source, text in zip(parts[1::2], parts[2::2])]

    def packaged(self, chart: str, target: str) -> None:
        """`helm package`, for what .helmignore and the dependencies leave in a chart's archive."""
        rc, out, err = self.run([self.binary, "package", chart, "--destination", target], self._environment())
        if rc:
            raise HelmError(_short(err or out, chart))

    def _environment(self) -> dict[str, str]:
        names = ("HELM_CONFIG_HOME", "HELM_CACHE_HOME", "HELM_DATA_HOME", "HELM_PLUGINS")
        return {name: os.path.join(self.scratch, name.lower()) for name in names} | {
            "KUBECONFIG": os.devnull,
            "HELM_DEBUG": "0",
        }


def _short(text: str, chart: str) -> str:
    lines = [line for line in text.replace(os.path.dirname(chart) + "/", "").splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("Error")] or lines
    return " ".join(errors)[:600]
