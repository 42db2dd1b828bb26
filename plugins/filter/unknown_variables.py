# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: unknown_variables
short_description: Say which variables look like this collection's, and are not
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Argument specs say nothing of variables that they do not know, so a misspelt one would have no effect and no message.
  - The known ones are those of all roles' argument specs, and those that the playbooks use or set.
  - Of one that an earlier version had it says what has taken its place.
options:
  _input:
    description:
      - Names of variables.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Stop if a variable is misspelt
  ansible.builtin.assert:
    that: unknown | length == 0
    fail_msg: "{{ unknown }}"
  vars:
    unknown: "{{ query('ansible.builtin.varnames', '^colocation_') | openfuyao.colocation.unknown_variables }}"
"""

RETURN = r"""
_value:
  description: A sentence for each unknown variable, with the nearest known name.
  type: list
  elements: str
"""

import difflib
import functools
import typing as t
from pathlib import Path

import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
PLAYBOOKS = frozenset(
    {
        # of the inventory and of -e
        "colocation_command",
        "colocation_node_name",
        "colocation_prometheus",
        "colocation_risk",
        "colocation_trace",
        "colocation_uninstall",
        "colocation_waves",
        # set by the plays
        "colocation_assessed",
        "colocation_bundle_made",
        "colocation_cluster",
        "colocation_gain",
        "colocation_health_failed",
        "colocation_joined",
        "colocation_left",
        "colocation_policies_by_hand",
        "colocation_restored",
        "colocation_rollout",
        "colocation_verified",
    }
)
REMOVED: dict[str, str] = {}
"""Variables of earlier versions: name to since when there is none, and what to use instead. An entry stays for good."""


@functools.cache
def known() -> frozenset[str]:
    names = set(PLAYBOOKS)
    for path in ROLES.glob("*/meta/argument_specs.yml"):
        for spec in yaml.safe_load(path.read_text(encoding="utf-8"))["argument_specs"].values():
            names.update(spec.get("options") or {})
    return frozenset(names)


def unknown_variables(names: t.Iterable[str]) -> list[str]:
    answer = []
    for name in sorted(set(names) - known()):
        if name in REMOVED:
            answer.append(f"The variable {name} was removed {REMOVED[name]}.")
            continue
        near = difflib.get_close_matches(name, sorted(known()), 1, 0.6)
        hint = f"Did you mean {near[0]}?" if near else "`ansible-doc -t role -l openfuyao.colocation` leads to those there are."
        answer.append(
            f"There is no variable {name}. {hint} If it is your own, name it in colocation_own_variables or call it "
            "something that does not begin with colocation_."
        )
    return answer


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"unknown_variables": unknown_variables}
