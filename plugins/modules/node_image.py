#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_image
short_description: Bring an image archive into containerd on a node, or take it out again
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Imports an image archive of the control host into containerd on a node, for clusters that pull from no registry.
  - The archive is transferred only if its images are not there yet. What was there before is remembered, so that
    O(state=absent) removes what was imported and nothing else.
  - Has a corresponding action plugin, which transfers the archive.
extends_documentation_fragment:
  - openfuyao.colocation._attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
  idempotent:
    support: full
options:
  archive:
    description:
      - Path of the archive on the control host, an OCI image layout or what C(docker save) writes, as a tar file.
      - Required with O(state=present).
    type: path
  state:
    description:
      - Whether the images are to be there.
    type: str
    choices:
      - present
      - absent
    default: present
  namespace:
    description:
      - Containerd's namespace. Kubelet sees only V(k8s.io).
    type: str
    default: k8s.io
  path:
    description:
      - The state directory in which is remembered what was there before.
    type: path
    default: /var/lib/openfuyao-colocation
  sha256:
    description:
      - Set by the action plugin.
    type: str
  src:
    description:
      - Set by the action plugin.
    type: path
requirements:
  - python >= 3.9
  - ctr, which comes with containerd
"""

EXAMPLES = r"""
- name: Bring the images to the node without a registry
  openfuyao.colocation.node_image:
    archive: /srv/images/colocation-image.tar

- name: Take them out again
  openfuyao.colocation.node_image:
    state: absent
"""

RETURN = r"""
sha256:
  description: The archive's checksum.
  returned: with O(state=present)
  type: str
images:
  description: Image name to digest, of the images that were brought in or taken out.
  returned: always
  type: dict
  sample:
    registry.example/colocation:0.1.0: sha256:0123
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _layout, _node

SECTION = "images"


class Images:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.before = _node.Before(module.params["path"])
        self.notes = self.before.section(SECTION)
        self.ctr = module.get_bin_path("ctr", opt_dirs=["/usr/local/bin", "/opt/bin", "/usr/local/sbin"])

    def run(self, *args: str) -> str:
        unmanaged = _layout.unmanaged(_layout.find(), "images")
        if unmanaged:
            self.module.fail_json(msg=f"{unmanaged[0].upper()}{unmanaged[1:]}. Nothing was changed.")
        if not self.ctr:
            self.module.fail_json(
                msg="ctr was not found on this node, by which images are imported. With another runtime, put the "
                "images into a registry and leave colocation_image_archive unset."
            )
        command = [self.ctr, "-n", self.module.params["namespace"], "images", *args]
        rc, out, err = self.module.run_command(command)
        if rc:
            self.module.fail_json(msg=f"{' '.join(command)} failed: {err.strip() or out.strip()}")
        return out + err

    def listing(self) -> dict[str, str]:
        return _node.parse_images(self.run("ls"))

    def needed(self, sha256: str) -> bool:
        return _node.image_plan(sha256, self.notes.get("archive"), self.listing())

    def bring(self, src: str, sha256: str) -> dict[str, str]:
        before = self.listing()
        # Noted before the import, so that an import cut short is known for ours by the next run.
        self.notes.setdefault("there_before", sorted(before))
        self.before.save()
        answer = self.run("import", src)
        images = _node.imported(before, self.listing(), answer, _node.archive_names(src))
        if not images:
            self.module.fail_json(msg=f"The archive was imported, but containerd has no new image. Output of ctr: {answer.strip()}")
        ours = self.notes.setdefault("ours", {})
        ours.update({name: digest for name, digest in images.items() if name not in self.notes["there_before"]})
        self.notes["archive"] = {"sha256": sha256, "images": images}
        self.before.save()
        return images

    def take(self) -> dict[str, str]:
        ours: dict[str, str] = self.notes.get("ours") or {}
        if not ours:
            return {}
        there = self.listing()
        digests = set(ours.values())
        # CRI keeps a second name, sha256:..., for each image it knows.
        gone = {
            name: digest
            for name, digest in there.items()
            if name not in self.notes.get("there_before", [])
            and (ours.get(name) == digest or (name.startswith("sha256:") and digest in digests))
        }
        if not self.module.check_mode:
            if gone:
                self.run("rm", "--sync", *gone)
            self.before.notes.pop(SECTION)
            self.before.save()
        return gone


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "archive": {"type": "path"},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "namespace": {"type": "str", "default": "k8s.io"},
            "path": {"type": "path", "default": "/var/lib/openfuyao-colocation"},
            "sha256": {"type": "str"},
            "src": {"type": "path"},
        },
        required_if=[("state", "present", ["archive", "sha256"])],
        supports_check_mode=True,
    )
    _node.require_root(module)
    result: dict[str, t.Any] = {"changed": False, "images": {}, "sha256": module.params["sha256"]}
    try:
        images = Images(module)
        if module.params["state"] == "absent":
            result["images"] = images.take()
            result["changed"] = bool(result["images"])
        elif module.params["src"]:
            result.update(images=images.bring(module.params["src"], module.params["sha256"]), changed=True)
        else:
            result["needed"] = images.needed(module.params["sha256"])
            result["images"] = (images.notes.get("archive") or {}).get("images") or {}
    except (OSError, ValueError) as e:
        module.fail_json(msg=f"The images could not be handled: {e}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
