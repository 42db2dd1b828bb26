#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle_unpack
short_description: Check a bundle, and unpack it to install from
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Compares every file with the bundle's list while it is written. A bundle that is incomplete, damaged or has anything
    beside its list is refused, and nothing of it is used.
  - Does nothing where this bundle was unpacked before.
extends_documentation_fragment:
  - openfuyao.colocation._attributes
attributes:
  check_mode:
    support: full
    details: Unpacks in check mode too, since a play cannot predict anything without what is in the bundle.
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  src:
    description:
      - Path of the bundle.
    type: path
    required: true
  dest:
    description:
      - A folder to keep unpacked bundles in, each in a folder named after its checksum.
    type: path
    required: true
requirements:
  - python >= 3.9
seealso:
  - module: openfuyao.colocation.bundle
"""

EXAMPLES = r"""
- name: Unpack a bundle
  openfuyao.colocation.bundle_unpack:
    src: /srv/colocation-bundle.tar
    dest: /var/cache/colocation-bundles
  register: bundle
"""

RETURN = r"""
version:
  description: What the bundle installs.
  returned: success
  type: str
path:
  description: Where it was unpacked.
  returned: success
  type: str
images:
  description: Architecture to the path of the image archive.
  returned: success
  type: dict
helm:
  description: Architecture to the path of helm.
  returned: success
  type: dict
chart:
  description: Path of the packaged chart.
  returned: success
  type: str
"""

import json
import os
import shutil
import tarfile
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.release import _bundle


def unpacked(src: str, dest: str) -> dict[str, t.Any]:
    folder = os.path.join(dest, _bundle.digest(src)[:16])
    done = os.path.join(folder, _bundle.MANIFEST)
    if os.path.exists(done):
        with open(done, encoding="utf-8") as file:
            return _bundle.contents(json.load(file), folder)
    os.makedirs(dest, mode=0o700, exist_ok=True)
    partial = tempfile.mkdtemp(prefix=".unpack-", dir=dest)
    try:
        answer = _bundle.unpack(src, partial)
        # The list is written last: a folder without it is not used.
        with open(os.path.join(partial, _bundle.MANIFEST), "wb") as stream:
            stream.write(_bundle.encode(answer))
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return _bundle.contents(answer, folder)


def main() -> None:
    module = AnsibleModule(
        argument_spec={"src": {"type": "path", "required": True}, "dest": {"type": "path", "required": True}},
        supports_check_mode=True,
    )
    try:
        result = unpacked(module.params["src"], module.params["dest"])
    except (_bundle.BundleError, tarfile.TarError, OSError, ValueError) as e:
        module.fail_json(msg=f"The bundle cannot be used: {e} Nothing was changed.")
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
