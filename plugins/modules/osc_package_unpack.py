#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: osc_package_unpack
short_description: Unpack a service package for the Operator Service Center (OSC), from any source
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Unpacks a package into a folder. An archive with links, devices, duplicate names, names that leave its folder or are not
    UTF-8, or with more data than allowed, is refused, and nothing of it is left behind.
  - The archive is unpacked beside O(dest) first, which is exchanged when all of it was good.
extends_documentation_fragment:
  - openfuyao.colocation._attributes
attributes:
  check_mode:
    support: full
    details: Unpacks the archive into a temporary folder, to compare.
  diff_mode:
    support: full
  idempotent:
    support: full
options:
  src:
    description:
      - The package, a C(.zip), C(.tgz) or C(.tar.gz).
    type: path
    required: true
  dest:
    description:
      - The folder which is to hold what the package's one folder holds.
    type: path
    required: true
  force:
    description:
      - Replace O(dest) also when it holds files that the package has not. They are removed.
    type: bool
    default: false
  max_unpacked_mib:
    description:
      - What the package may come to when it is unpacked, in MiB.
    type: int
    default: 32768
requirements:
  - python >= 3.9
seealso:
  - module: openfuyao.colocation.osc_package_info
"""

EXAMPLES = r"""
- name: Unpack a bundle that came on a disk
  openfuyao.colocation.osc_package_unpack:
    src: /mnt/disk/etcd-6.7.0.zip
    dest: /srv/services/etcd
"""

RETURN = r"""
files:
  description: Every file, with its mode and digest.
  returned: success
  type: dict
  sample:
    images/mapping.yaml: 644 sha256:0123
parts:
  description: Where the deployment package, its images and their mapping are; V(null) for what the package has not.
  returned: success
  type: dict
  sample:
    package: /srv/services/etcd/package/etcd-6.7.0.tgz
    images: [/srv/services/etcd/images/etcd-3.5.0-x86_64.tar]
    mapping: /srv/services/etcd/images/mapping.yaml
"""

import os
import shutil
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _folder, _module
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._archive import Limits
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import JSON


def parts_of(files: dict[str, str], dest: str) -> JSON:
    def under(folder: str) -> list[str]:
        return [os.path.join(dest, name) for name in files if name.startswith(folder + "/")]

    images = [path for path in under("images") if path.endswith(".tar")]
    package, mapping = under("package"), os.path.join(dest, "images", "mapping.yaml")
    return {
        "package": package[0] if len(package) == 1 else None,
        "images": images,
        "mapping": mapping if "images/mapping.yaml" in files else None,
    }


def exchange(folder: str, dest: str, beside: str) -> None:
    """Put ``made`` in the place of ``dest``; what was there goes when the new one stands."""
    old = os.path.join(beside, "old")
    if os.path.lexists(dest):
        os.rename(dest, old)
    try:
        os.rename(folder, dest)
    except OSError:
        if os.path.lexists(old):
            os.rename(old, dest)
        raise


def run(module: AnsibleModule) -> None:
    src, dest = module.params["src"], os.path.abspath(module.params["dest"])
    if os.path.lexists(dest) and (os.path.islink(dest) or not os.path.isdir(dest)):
        module.fail_json(msg=f"{dest} is there and is no folder.")
    above = os.path.dirname(dest)
    if not module.check_mode:
        os.makedirs(above, exist_ok=True)
    # On the same file system as dest, so that one rename puts it in place; check mode leaves no trace there.
    beside = tempfile.mkdtemp(prefix=".osc-", dir=module.tmpdir if module.check_mode else above)
    try:
        folder = os.path.join(beside, "unpacked")
        os.mkdir(folder, 0o755)
        _folder.unpack(src, folder, Limits(total=module.params["max_unpacked_mib"] << 20))
        unpacked = _folder.sole_folder(folder)
        after, before = _folder.state_of(unpacked), _folder.state_of(dest)
        foreign = sorted(set(before) - set(after))
        if foreign and not module.params["force"]:
            module.fail_json(
                msg=f"{dest} holds {len(foreign)} file(s) that are not in the package: {', '.join(foreign[:10])}. "
                "Nothing was changed. Give another dest, or force=true to remove them."
            )
        changed = before != after
        if changed and not module.check_mode:
            exchange(unpacked, dest, beside)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    module.exit_json(changed=changed, files=after, parts=parts_of(after, dest), diff={"before": before, "after": after})


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "src": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "force": {"type": "bool", "default": False},
            "max_unpacked_mib": {"type": "int", "default": 32768},
        },
        supports_check_mode=True,
    )
    _module.guarded(module, lambda: run(module))


if __name__ == "__main__":
    main()
