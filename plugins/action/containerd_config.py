# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides here what containerd's files have to become: a node's Python need not have a TOML library."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.openfuyao.colocation.plugins.plugin_utils import _toml_edit
from ansible_collections.openfuyao.colocation.plugins.plugin_utils._settings import JSON, Plan, SettingsAction, as_before

HEADER = "# Written by the Ansible collection openfuyao.colocation; its uninstall puts back what was here before.\n"
NRI = ("plugins", "io.containerd.nri.v1.nri", "disable")
CRI = {2: ("plugins", "io.containerd.grpc.v1.cri"), 3: ("plugins", "io.containerd.cri.v1.images")}
"""Where the registries' settings are, by the version of the configuration, not of containerd: 2.x reads both."""


def hosts_toml(mirror: JSON) -> str:
    """The file for one registry."""
    lines = [HEADER.rstrip("\n")]
    if mirror.get("server"):
        lines.append(f"server = {_toml_edit.render(mirror['server'])}")
    for host in mirror["hosts"]:
        lines += ["", f"[host.{_toml_edit.render(host['url'])}]", '  capabilities = ["pull", "resolve"]']
        if host.get("ca"):
            lines.append(f"  ca = {_toml_edit.render(host['ca'])}")
        lines += [f"  {name} = true" for name in ("skip_verify", "override_path") if host.get(name)]
    return "\n".join(lines) + "\n"


def decide(found: JSON, nri: bool | None, mirrors: list[JSON], present: bool) -> Plan:
    """The plan for one node; what speaks against it is in its problems."""
    if not present:
        nri, mirrors = None, []
    wants = nri is not None or bool(mirrors)
    texts, section, main = found["texts"], found["section"], found["main"]
    try:
        files = {path: as_before(section, texts, path, _undo) for path in {main, *(section.get("files") or {})}}
        problems = _problems(found, _toml_edit.load(files[main], main), nri, mirrors) if wants else []
        if wants and not problems:
            files[main] = _main(files[main], found, nri, mirrors)
    except _toml_edit.CannotEdit as e:
        return Plan(problems=[f"{e}; change it by hand"])
    for mirror in mirrors:
        files[os.path.join(found["certs_dir"], mirror["registry"], "hosts.toml")] = hosts_toml(mirror)
    return Plan(
        files={path: text for path, text in files.items() if path in texts or text is not None},
        # hosts.toml is read at each pull
        restart=files[main] != texts[main] or bool(section.get("pending")),
        forget=not wants,
        problems=problems,
    )


def _main(text: str | None, found: JSON, nri: bool | None, mirrors: list[JSON]) -> str | None:
    content = _toml_edit.load(text, found["main"])
    version = content.get("version", _file_version(found["version"]))
    wanted: dict[tuple[str, ...], t.Any] = {}
    if nri is not None and _nri_now(content, found["version"]) != nri:
        wanted[NRI] = not nri
    registry = (*CRI[version], "registry", "config_path")
    if mirrors and not _toml_edit.get(content, registry):
        wanted[registry] = found["certs_dir"]
    if not wanted:
        return text
    edited = text if text is not None else f"{HEADER}version = {version}\n"
    for path, value in wanted.items():
        edited = _toml_edit.set_value(edited, path, value)
    return edited


def _problems(found: JSON, content: JSON, nri: bool | None, mirrors: list[JSON]) -> list[str]:
    answer = tuple(int(part) for part in (found["version"] or "0.0.0").split("."))
    if not found["version"]:
        return ["containerd is not installed, or does not say its version. Install it first"]
    version = content.get("version", 1 if content else _file_version(found["version"]))
    if version not in CRI:
        return [
            f"{found['main']} is of version {version}; this collection knows 2 and 3. `containerd config migrate` makes a newer one"
        ]
    result = []
    if version == 3 and answer < (2, 0):
        result.append(f"{found['main']} is of version 3, which containerd {found['version']} does not read")
    if nri and answer < (1, 7):
        result.append(f"NRI needs containerd 1.7 or newer, and this is {found['version']}. Upgrade it, or leave colocation_containerd_nri unset")
    old = _toml_edit.get(content, (*CRI[version], "registry", "mirrors")) or {}
    if mirrors and old:
        result.append(
            f"{found['main']} has registry.mirrors for {', '.join(sorted(old))}, and containerd refuses them beside config_path. Name "
            "them in colocation_containerd_mirrors, and take them out of the file"
        )
    return result


def _nri_now(content: JSON, version: str) -> bool:
    disabled = _toml_edit.get(content, NRI)
    return version >= "2" if disabled is None else not disabled


def _file_version(containerd: str) -> int:
    return 3 if containerd and int(containerd.split(".")[0]) >= 2 else 2


def _undo(current: str, ours: str, before: str) -> str:
    """Others changed the file since: only the values that are still ours are put back."""
    ours_now, then = _toml_edit.load(ours, "what was written"), _toml_edit.load(before, "what was there before")
    for path in (NRI, *((*place, "registry", "config_path") for place in CRI.values())):
        put, had = _toml_edit.get(ours_now, path), _toml_edit.get(then, path)
        if put != had and _toml_edit.get(_toml_edit.load(current, "the configuration"), path) == put:
            current = _toml_edit.set_value(current, path, had)
    return current


class ActionModule(SettingsAction):
    SERVICE = "containerd"

    def plan(self, found: JSON, args: JSON) -> Plan:
        return decide(found, args["nri"], args["mirrors"], args["state"] == "present")
