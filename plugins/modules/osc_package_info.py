#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: osc_package_info
short_description: Hold service packages for the Operator Service Center (OSC) against its rules
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Says of each package which rules it breaks, with file and line. Packages of all three forms (Helm, operator, OSC), as
    archives or as folders, anyone's.
  - That every image address comes from the chart's values is shown by rendering the chart with C(helm), with each address in
    the values replaced, and looking for what is left over; also with everything that is off in the values switched on.
  - Archives are read by strict rules. One with links, names that leave its folder, or data without end is refused.
extends_documentation_fragment:
  - openfuyao.colocation._osc_check
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
options:
  paths:
    description:
      - The packages, archives or folders. Together they are one upload.
    type: list
    elements: path
    required: true
  strict:
    description:
      - Fail when a package breaks a rule. Otherwise RV(valid) says it.
    type: bool
    default: false
notes:
  - All rules by name are in C(docs/osc-packages.md).
seealso:
  - module: openfuyao.colocation.osc_package
  - module: openfuyao.colocation.osc_package_unpack
"""

EXAMPLES = r"""
- name: Is the bundle fit to be handed over?
  openfuyao.colocation.osc_package_info:
    paths:
      - dist/etcd-6.7.0.zip
    strict: true

- name: Look at five charts as one upload at the console
  openfuyao.colocation.osc_package_info:
    paths: "{{ query('ansible.builtin.fileglob', 'dist/*.tgz') }}"
    profile: console
  register: upload

- name: Say what is wrong
  ansible.builtin.debug:
    msg: "{{ upload.summary }}"
"""

RETURN = r"""
valid:
  description: Whether every package keeps every rule.
  returned: always
  type: bool
packages:
  description: Each package, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The package.
      type: str
    form:
      description: V(helm), V(operator) or V(osc); V(null) for what is none.
      type: str
    name:
      description: The service's name.
      type: str
    version:
      description: The service's version.
      type: str
    valid:
      description: Whether there are no findings of level V(error).
      type: bool
    ignored:
      description: How many findings were left out by O(ignore).
      type: int
    findings:
      description: What breaks a rule.
      type: list
      elements: dict
      contains:
        rule:
          description: The rule's name.
          type: str
          sample: image-from-values
        file:
          description: The file, within the package.
          type: str
          sample: package/etcd-6.7.0.tgz/templates/cronjob.yaml
        line:
          description: The line, where there is one.
          type: int
        level:
          description: V(error) or V(warning).
          type: str
        message:
          description: What is wrong, and what to do.
          type: str
    images:
      description: The images that the service runs, and the values that each address is made of.
      type: list
      elements: dict
    versions:
      description: For each C(versionDefinition), the tags that an instance can be upgraded to and what is written for each,
        newest last, and what a failed upgrade is rolled back to.
      type: list
      elements: dict
upload:
  description: Findings about the packages together.
  returned: always
  type: list
  elements: dict
summary:
  description: RV(packages) in words, a line for each finding.
  returned: always
  type: list
  elements: str
"""

import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _module, _package
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import Finding


def upload_findings(paths: t.Sequence[str], profile: str) -> list[Finding]:
    """What is wrong with the packages together."""
    if profile != "console" or len(paths) <= _package.CONSOLE_COUNT:
        return []
    answer = f"{len(paths)} packages; the console takes {_package.CONSOLE_COUNT} at a time: upload them in parts"
    return [Finding("the upload", None, "limit-count", answer)]


def main() -> None:
    spec = {
        "paths": {"type": "list", "elements": "path", "required": True},
        "strict": {"type": "bool", "default": False},
        **_module.CHECK_SPEC,
    }
    module = AnsibleModule(argument_spec=spec, supports_check_mode=True)
    options = _module.options_of(module)
    ignore = set(module.params["ignore"])

    def work() -> None:
        rows = []
        for path in module.params["paths"]:
            with tempfile.TemporaryDirectory(prefix="osc-", dir=module.tmpdir) as scratch:
                rows.append(_module.report(_package.check(path, options, scratch), ignore))
        upload = [f.to_json() for f in upload_findings(module.params["paths"], options.profile) if f.rule not in ignore]
        valid = not upload and all(row["valid"] for row in rows)
        summary = [f"{f['file']}: {f['rule']}: {f['message']}" for f in upload]
        summary += [line for row in rows for line in _module.told(row)]
        result = {"valid": valid, "packages": rows, "upload": upload, "summary": summary}
        if module.params["strict"] and not valid:
            module.fail_json(msg="The packages break rules. " + "; ".join(summary), **result)
        module.exit_json(changed=False, **result)

    _module.guarded(module, work)


if __name__ == "__main__":
    main()
