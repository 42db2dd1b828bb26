#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: osc_package
short_description: Build a service package for the Operator Service Center (OSC)
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Makes a package of a Helm chart, an operator bundle or a folder in OSC's own form, with its images or without. Any service's;
    nothing of it is peculiar to colocation.
  - Marks the source (V(ISV) by default), keeping comments and all else as it is. Writes C(mapping.yaml), which says where in the
    values each image's address stands, after rendering the chart to find out.
  - Holds the package against all rules before it is put in place. One that breaks a rule is not.
  - The same inputs make the same archive, bit for bit, with the same version of Python's zlib.
extends_documentation_fragment:
  - openfuyao.colocation._osc_check
  - openfuyao.colocation._attributes
attributes:
  check_mode:
    support: full
    details: Builds and judges the package in a temporary folder.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  src:
    description:
      - What is packed. A chart (folder or C(.tgz)), an operator bundle (folder or C(.zip)), a folder in OSC's own form, or a
        service folder that has one of these archives in C(package/), beside C(images/) and C(extends/).
    type: path
    required: true
  dest:
    description:
      - The folder for the archive, which is called C(NAME-VERSION) and by its format.
    type: path
    required: true
  state:
    description:
      - V(present) builds it. V(absent) removes the archive that V(present) would have built.
    type: str
    choices:
      - present
      - absent
    default: present
  name:
    description:
      - The service's name. By default what the package says of itself; that of a chart cannot be another.
    type: str
  version:
    description:
      - The service's version. By default what the package says of itself; that of a chart cannot be another.
    type: str
  format:
    description:
      - The archive's format. By default C(.zip) for bundles, operators and OSC's own form, C(.tgz) for charts.
    type: str
    choices:
      - zip
      - tgz
      - tar.gz
  images:
    description:
      - The images that the service needs, with O(profile=bundle). They are named C(NAME-VERSION-ARCHITECTURE.tar) in the package.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description:
          - The image's name, the last part of its address.
        type: str
        required: true
      version:
        description:
          - The image's tag.
        type: str
        required: true
      archives:
        description:
          - Path of the image archive for V(x86_64) and for V(aarch64), or for one of them. An OCI layout or what C(docker save)
            writes, for that architecture.
        type: dict
        required: true
      address:
        description:
          - Paths in the values, by the fields of C(mapping.yaml) (V(fullAddress), V(repository), V(prefixAddress), V(repo),
            V(endpoint), V(tag)). By default they are found by rendering the chart.
        type: dict
  mapping:
    description:
      - A C(mapping.yaml) to take as it is, instead of one that is made.
    type: path
  extends:
    description:
      - A folder that becomes C(extends/), for operators and for CSDs beside a chart.
    type: path
seealso:
  - module: openfuyao.colocation.osc_package_info
  - module: openfuyao.colocation.osc_package_unpack
"""

EXAMPLES = r"""
- name: A chart for an upload at the console
  openfuyao.colocation.osc_package:
    src: charts/etcd
    dest: dist
    profile: console

- name: A bundle with images for both architectures
  openfuyao.colocation.osc_package:
    src: charts/etcd
    dest: dist
    images:
      - name: etcd
        version: 3.5.0
        archives:
          x86_64: images/etcd-amd64.tar
          aarch64: images/etcd-arm64.tar

- name: An operator, with a CSD that lets its instances be upgraded
  openfuyao.colocation.osc_package:
    src: bundle
    dest: dist
    name: etcd-operator
    extends: extends
"""

RETURN = r"""
path:
  description: The archive.
  returned: always
  type: str
  sample: dist/etcd-6.7.0.zip
sha256:
  description: The archive's digest.
  returned: success, with O(state=present)
  type: str
size:
  description: The archive's size in bytes.
  returned: success, with O(state=present)
  type: int
entries:
  description: What the archive holds, with modes and digests.
  returned: success, with O(state=present)
  type: dict
package:
  description: What was found when it was held against the rules, as a package of M(openfuyao.colocation.osc_package_info).
  returned: with O(state=present)
  type: dict
summary:
  description: RV(package) in words.
  returned: with O(state=present)
  type: list
  elements: str
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _build, _folder, _module, _package


def entries_of(path: str, scratch: str, max_size: int) -> dict[str, str]:
    """What an archive holds; nothing where there is none, or none that can be read."""
    if not os.path.isfile(path):
        return {}
    folder = tempfile.mkdtemp(dir=scratch)
    try:
        _folder.unpack(path, folder, _package.Limits(total=max_size))
    except _module.Refused:
        return {}
    return _folder.state_of(folder)


def run(module: AnsibleModule, options: _package.Options, scratch: str) -> None:
    params = module.params
    recipe = _build.Recipe(
        src=params["src"],
        images=params["images"],
        extends=params["extends"],
        mapping=params["mapping"],
        name=params["name"],
        version=params["version"],
        suffix=f".{params['format']}" if params["format"] else None,
    )
    if options.profile == "console" and (recipe.images or recipe.mapping or recipe.extends):
        module.fail_json(
            msg="A package for the console carries no images, mapping and extends; they need profile=bundle."
        )
    if params["state"] == "absent":
        path = os.path.join(params["dest"], _build.file_name(recipe, options, scratch))
        there = os.path.exists(path)
        if there and not module.check_mode:
            os.remove(path)
        module.exit_json(changed=there, path=path)
    built = _build.build(recipe, options, scratch)
    path = os.path.join(params["dest"], os.path.basename(built))
    checked = _package.check(built, options, scratch)
    checked.path = path
    package = _module.report(checked, set(params["ignore"]))
    summary = _module.told(package)
    if not package["valid"]:
        msg = f"The package breaks rules and was not put in place. {'; '.join(summary)}"
        module.fail_json(msg=msg, path=path, package=package, summary=summary)
    digest = _folder.sha256(built)
    changed = not os.path.isfile(path) or _folder.sha256(path) != digest
    entries = entries_of(built, scratch, options.max_size)
    before = entries if not changed else entries_of(path, scratch, options.max_size)
    result = {
        "sha256": digest,
        "size": os.path.getsize(built),
        "entries": entries,
        "package": package,
        "summary": summary,
    }
    if changed and not module.check_mode:
        os.makedirs(params["dest"], exist_ok=True)
        module.atomic_move(built, path)
    module.exit_json(changed=changed, path=path, diff={"before": before, "after": entries}, **result)


def main() -> None:
    image = {
        "name": {"type": "str", "required": True},
        "version": {"type": "str", "required": True},
        "archives": {"type": "dict", "required": True},
        "address": {"type": "dict"},
    }
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "name": {"type": "str"},
            "version": {"type": "str"},
            "format": {"type": "str", "choices": ["zip", "tgz", "tar.gz"]},
            "images": {"type": "list", "elements": "dict", "default": [], "options": image},
            "mapping": {"type": "path"},
            "extends": {"type": "path"},
            **_module.CHECK_SPEC,
        },
        supports_check_mode=True,
    )
    options = _module.options_of(module)

    def work() -> None:
        with tempfile.TemporaryDirectory(prefix="osc-", dir=module.tmpdir) as scratch:
            try:
                run(module, options, scratch)
            except _build.BuildError as e:
                module.fail_json(msg=str(e))

    _module.guarded(module, work)


if __name__ == "__main__":
    main()
