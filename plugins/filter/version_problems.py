# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: version_problems
short_description: Say which versions cannot work together
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - The table that it goes by is in C(docs/versions.md) of the repository.
  - The version of the collection is that of the copy that this filter belongs to.
options:
  _input:
    description:
      - C(chart) and C(app), versions of the chart that would be installed and of its images. C(chart_before), the chart that the
        cluster runs, empty for none. C(archive), path of an image archive on this machine, empty for none.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Stop before a chart that is two steps newer
  ansible.builtin.assert:
    that: problems | length == 0
    fail_msg: "{{ problems }}"
  vars:
    problems: "{{ {'chart': '0.4.0', 'chart_before': '0.2.1'} | openfuyao.colocation.version_problems }}"
"""

RETURN = r"""
_value:
  description: A sentence for each pair of versions that cannot work together.
  type: list
  elements: str
"""

import functools
import json
import tarfile
import typing as t
from pathlib import Path

import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _node
from ansible_collections.openfuyao.colocation.plugins.module_utils.release import _versions

HOME = Path(__file__).resolve().parents[2]


@functools.cache
def collection() -> str:
    """An installed collection has a manifest, a checkout galaxy.yml."""
    manifest = HOME / "MANIFEST.json"
    if manifest.exists():
        return str(json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"])
    return str(yaml.safe_load((HOME / "galaxy.yml").read_text(encoding="utf-8"))["version"])


def version_problems(versions: t.Mapping[str, t.Any]) -> list[str]:
    archive = str(versions.get("archive") or "")
    try:
        images = _node.archive_names(str(Path(archive).expanduser())) if archive else []
    except (OSError, tarfile.TarError) as e:
        raise AnsibleFilterError(f"The image archive {archive} cannot be read: {e}. Set colocation_image_archive.") from e
    return _versions.problems({"collection": collection(), **versions, "images": images})


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"version_problems": version_problems}
