# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""What the three modules for OSC packages have in common."""

from __future__ import annotations

import os
import traceback
import typing as t

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _package, _yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._forms import SOURCES
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import JSON, RULES, Refused

HELM_SECONDS = 120
"""Seconds after which a template's rendering is ended: it could run forever."""

CHECK_SPEC: dict[str, t.Any] = {
    "profile": {"type": "str", "choices": ["bundle", "console"], "default": "bundle"},
    "source": {"type": "str", "choices": list(SOURCES), "default": "ISV"},
    "helm": {"type": "path"},
    "values_files": {"type": "list", "elements": "path", "default": []},
    "kube_version": {"type": "str"},
    "ignore": {"type": "list", "elements": "str", "default": []},
    "max_unpacked_mib": {"type": "int", "default": 32768},
}
"""Options of every module that holds packages against the rules."""


def options_of(module: AnsibleModule) -> _package.Options:
    """The module's options; ends the module where something is missing."""
    if _yaml.yaml is None:
        module.fail_json(msg=missing_required_lib("PyYAML"))
    unknown = sorted(set(module.params["ignore"]) - set(RULES))
    if unknown:
        module.fail_json(msg=f"ignore names no rule: {', '.join(unknown)}. The rules are {', '.join(RULES)}.")
    helm = module.params["helm"] or module.get_bin_path("helm", opt_dirs=["/usr/local/bin"])
    if not helm or not os.path.exists(helm):
        module.fail_json(
            msg=f"{'Helm was not found' if not helm else 'There is no ' + helm}. Charts are judged by rendering them: "
            "install helm (3.8 or newer) on this host, or give its path as helm."
        )

    timeout = module.get_bin_path("timeout")
    patience = [timeout, str(HELM_SECONDS)] if timeout else []

    def run(command: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
        rc, out, err = module.run_command([*patience, *command], environ_update=environment)
        if patience and rc == 124:
            err = f"Error: it took more than {HELM_SECONDS} s"
        return rc, out, err

    values = []
    for path in module.params["values_files"]:
        try:
            with open(path, "rb") as file:
                values.append(
                    (os.path.basename(path), _yaml.load(_yaml.text_of(file.read(), path), path) or {})
                )
        except (OSError, Refused) as e:
            module.fail_json(msg=f"The values file cannot be read: {e}")
    return _package.Options(
        helm=helm,
        run=run,
        profile=module.params["profile"],
        source=module.params["source"],
        values=values,
        kube_version=module.params["kube_version"],
        max_size=module.params["max_unpacked_mib"] << 20,
    )


def report(result: _package.Result, ignore: t.Container[str]) -> JSON:
    """One package, as the modules return it."""
    findings = [finding.to_json() for finding in result.findings if finding.rule not in ignore]
    return {
        "path": result.path,
        "form": result.form,
        "name": result.name,
        "version": result.version,
        "valid": not any(finding["level"] == "error" for finding in findings),
        "findings": findings,
        "ignored": len(result.findings) - len(findings),
        "images": result.images,
        "versions": result.versions,
    }


def told(row: JSON) -> list[str]:
    """A package in words: a sentence, then a line for each finding."""
    errors = sum(finding["level"] == "error" for finding in row["findings"])
    warnings = len(row["findings"]) - errors
    what = f"{row['form']} package {row['name']} {row['version']}" if row["form"] else "no package"
    verdict = "keeps all rules" if not row["findings"] else f"{errors} error(s), {warnings} warning(s)"
    ignored = f", {row['ignored']} finding(s) ignored" if row["ignored"] else ""
    lines = [f"{row['path']}: {what}: {verdict}{ignored}"]
    for finding in row["findings"]:
        place = finding["file"] if finding["line"] is None else f"{finding['file']}:{finding['line']}"
        lines.append(f"{place}: {finding['level']}: {finding['rule']}: {finding['message']}")
    return lines


def guarded(module: AnsibleModule, work: t.Callable[[], None]) -> None:
    """Run a module's work; faults of files become the module's error message."""
    try:
        work()
    except Refused as e:
        module.fail_json(msg=str(e), finding=e.finding.to_json())
    except OSError as e:
        module.fail_json(msg=f"A file cannot be read or written: {e}", exception=traceback.format_exc())
