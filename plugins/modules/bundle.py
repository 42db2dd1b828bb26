#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bundle
short_description: Make one checksummed archive of all that a site without internet needs
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Puts image archives, charts, collections, Python wheels, programs and Debian packages into one tar, with their
    checksums (C(bundle.json), its first member) and a bill of materials (C(sbom.cdx.json), CycloneDX 1.6).
  - The same files give the same bytes. A checksum of the whole is written beside it.
  - Fetches nothing; the role C(colocation_bundle) does.
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
  dest:
    description:
      - Path of the bundle.
    type: path
    required: true
  version:
    description:
      - What the bundle installs.
    type: str
    required: true
  architectures:
    description:
      - The nodes' architectures. There has to be an image for each.
    type: list
    elements: str
    choices:
      - amd64
      - arm64
    required: true
  images:
    description:
      - Image archives, OCI image layouts or what C(docker save) writes. A bill of materials beside one, with
        C(.cdx.json) in the place of C(.tar), goes along.
    type: list
    elements: path
    required: true
  charts:
    description:
      - Packaged charts.
    type: list
    elements: path
    default: []
  collections:
    description:
      - Collections, each an artifact or the folder of an installed one.
    type: list
    elements: path
    default: []
  programs:
    description:
      - Programs for the control machine, by file name.
    type: dict
    default: {}
  wheels:
    description:
      - A folder of Python wheels.
    type: path
  debs:
    description:
      - A folder of Debian packages.
    type: path
requirements:
  - python >= 3.9
seealso:
  - module: openfuyao.colocation.bundle_unpack
"""

EXAMPLES = r"""
- name: Make a bundle of one image and one chart
  openfuyao.colocation.bundle:
    dest: /srv/colocation-bundle.tar
    version: 0.2.0
    architectures:
      - amd64
    images:
      - build/out/colocation-image.tar
    charts:
      - build/out/colocation-package-0.2.0.tgz
"""

RETURN = r"""
sha256:
  description: Checksum of the bundle.
  returned: outside check mode
  type: str
size:
  description: Its bytes.
  returned: outside check mode
  type: int
files:
  description: What is in it, each with kind, size and checksum.
  returned: always
  type: dict
"""

import os
import tempfile
import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.openfuyao.colocation.plugins.module_utils.release import _bundle


def members(params: dict[str, t.Any], scratch: str) -> dict[str, tuple[str, str]]:
    """Name in the bundle to kind and path on disk."""
    charts: dict[str, tuple[str, str]] = {}

    def add(kind: str, path: str, name: str = "") -> None:
        if not os.path.isfile(path):
            raise _bundle.BundleError(f"There is no file {path}. Nothing was written.")
        key = f"{_bundle.FOLDERS[kind]}/{name or os.path.basename(path)}"
        if key in charts:
            raise _bundle.BundleError(f"{path} and {charts[key][1]} have the same name. Rename one of them.")
        charts[key] = (kind, os.path.realpath(path))

    for path in params["images"]:
        add("image", path)
        bill = path[: -len(".tar")] + ".cdx.json"
        if path.endswith(".tar") and os.path.isfile(bill):
            charts[f"{_bundle.FOLDERS['image']}/{os.path.basename(bill)}"] = ("sbom", bill)
    for path in params["charts"]:
        add("chart", path)
    for path in params["collections"]:
        add("collection", _bundle.pack_collection(path, scratch) if os.path.isdir(path) else path)
    for name, path in params["programs"].items():
        add("program", path, name)
    for kind, option in (("wheel", "wheels"), ("deb", "debs")):
        folder = params[option]
        for name in sorted(os.listdir(folder)) if folder else []:
            add(kind, os.path.join(folder, name))
    return charts


def write(params: dict[str, t.Any], check_mode: bool) -> dict[str, t.Any]:
    dest = params["dest"]
    with tempfile.TemporaryDirectory() as scratch:
        files = members(params, scratch)
        parts = [
            _bundle.component(kind, path, name, _bundle.digest(path))
            for name, (kind, path) in sorted(files.items())
            if kind != "sbom"
        ]
        texts = {
            _bundle.SBOM: ("sbom", _bundle.sbom(params["version"], parts)),
            _bundle.README: ("text", _bundle.HOW_TO),
        }
        answer = _bundle.manifest_of(params["version"], params["architectures"], files, texts)
        if check_mode:
            return {"changed": not os.path.exists(dest), "files": answer["files"]}
        content: dict[str, t.Any] = {_bundle.MANIFEST: _bundle.encode(answer)}
        content.update({name: rest for name, (_kind, rest) in (*files.items(), *texts.items())})
        os.makedirs(os.path.dirname(os.path.abspath(dest)), exist_ok=True)
        partial = f"{dest}.part"
        try:
            with open(partial, "wb") as stream:
                _bundle.write_tar(stream, content)
            digest = _bundle.digest(partial)
            changed = not os.path.exists(dest) or _bundle.digest(dest) != digest
            os.replace(partial, dest)
        finally:
            if os.path.exists(partial):
                os.unlink(partial)
    with open(f"{dest}.sha256", "w", encoding="ascii") as file:
        file.write(f"{digest}  {os.path.basename(dest)}\n")
    return {"changed": changed, "sha256": digest, "size": os.path.getsize(dest), "files": answer["files"]}


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "version": {"type": "str", "required": True},
            "architectures": {"type": "list", "elements": "str", "choices": ["amd64", "arm64"], "required": True},
            "images": {"type": "list", "elements": "path", "required": True},
            "charts": {"type": "list", "elements": "path", "default": []},
            "collections": {"type": "list", "elements": "path", "default": []},
            "programs": {"type": "dict", "default": {}},
            "wheels": {"type": "path"},
            "debs": {"type": "path"},
        },
        supports_check_mode=True,
    )
    try:
        result = write(module.params, module.check_mode)
    except (_bundle.BundleError, OSError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
