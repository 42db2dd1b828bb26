# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides here what containerd's files have to become: a node's Python need not have a TOML library."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _containerd, _layout
from ansible_collections.openfuyao.colocation.plugins.plugin_utils import _toml_edit
from ansible_collections.openfuyao.colocation.plugins.plugin_utils._settings import JSON, Plan, SettingsAction, as_before

HEADER = "# Written by the Ansible collection openfuyao.colocation; its uninstall puts back what was here before.\n"
NRI = ("plugins", "io.containerd.nri.v1.nri", "disable")
_GRPC, _IMAGES = "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images"
CRI = {2: ("plugins", _GRPC), 3: ("plugins", _IMAGES), 4: ("plugins", _IMAGES)}
"""Where the registries' settings are, by the version of a file, not of containerd: 2.x reads all of them."""


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


def decide(state: JSON, nri: bool | None, mirrors: list[JSON], present: bool) -> Plan:
    """The plan for one node; what speaks against it is in its problems."""
    if not present:
        nri, mirrors = None, []
    wants = nri is not None or bool(mirrors)
    texts, section, main = state["texts"], state["section"], state["main"]
    settings: list[Setting] = []
    try:
        files = {path: as_before(section, texts, path, _undo) for path in {main, *(section.get("files") or {})}}
        problems = _problems(state, _toml_edit.load(files[main], main), nri, mirrors) if wants else []
        if wants and not problems:
            settings, problems = _settings(state, files[main], nri, mirrors)
            files[main] = _written(files[main], state, settings)
    except _toml_edit.CannotEdit as e:
        return Plan(problems=[f"{e}; change it by hand"])
    for mirror in mirrors:
        files[os.path.join(state["certs_dir"], mirror["registry"], "hosts.toml")] = hosts_toml(mirror)
    return Plan(
        files={path: text for path, text in files.items() if path in texts or text is not None},
        # hosts.toml is read at each pull
        restart=files[main] != texts[main] or bool(section.get("pending")),
        forget=not wants,
        in_force=[{"path": list(item.in_force), "value": str(item.value).lower() if isinstance(item.value, bool) else item.value} for item in settings],
        problems=problems,
    )


class Setting(t.NamedTuple):
    """One value to write: where it is in the main file, and where in what containerd says is in force."""

    path: tuple[str, ...]
    in_force: tuple[str, ...]
    value: bool | str


def _settings(state: JSON, base: str | None, nri: bool | None, mirrors: list[JSON]) -> tuple[list[Setting], list[str]]:
    """The values that have to be written, and why they would not win."""
    main = state["main"]
    dumped = _toml_edit.load(state["dump"], "what containerd says is in force")
    version = _version(_toml_edit.load(base, main), state)
    wanted = [] if nri is None or _toml_edit.get(dumped, NRI[:2]) is None else [Setting(NRI, NRI, not nri)]
    if mirrors:
        registry = ("registry", "config_path")
        wanted.append(Setting((*CRI[version], *registry), (*_cri(dumped), *registry), state["certs_dir"]))
    now, then = _toml_edit.load(state["texts"][main], main), _toml_edit.load(base, main)
    due, problems = [], []
    for item in wanted:
        in_force, ours = _toml_edit.get(dumped, item.in_force), _toml_edit.get(now, item.path) == item.value
        if item.path != NRI and in_force and not (ours and _toml_edit.get(then, item.path) != item.value):
            continue  # any directory that is configured will do
        if in_force == item.value:
            if ours:
                due.append(item)
            continue
        winners = _winners(state, item)
        if winners:
            problems.append(
                f"{' and '.join(winners)}, which {main} imports, decides {'.'.join(item.in_force[1:])}: it is {_plain(in_force)}, and was to "
                f"become {_plain(item.value)}. Correct it there"
            )
        elif ours:
            problems.append(f"{main} has {'.'.join(item.path[1:])} = {_plain(item.value)}, but by `containerd config dump` it is {_plain(in_force)}")
        due.append(item)
    return due, problems


def _winners(state: JSON, setting: Setting) -> list[str]:
    """Imported files that would override the value in the main file. containerd 1.x takes the whole section of a plugin from the
    last file that has one; 2.x merges value by value."""
    whole = state["version"].startswith("1.")
    result = []
    for path in state["imported"]:
        content = _toml_edit.load(state["texts"].get(path), path)
        plugins = {setting.path[1], setting.in_force[1]}
        if any(_toml_edit.get(content, ("plugins", name, *(() if whole else setting.path[2:]))) is not None for name in plugins):
            result.append(path)
    return result


def _written(text: str | None, state: JSON, settings: list[Setting]) -> str | None:
    if not settings:
        return text
    edited = text if text is not None else f"{HEADER}version = {_version({}, state)}\n"
    for item in settings:
        edited = _toml_edit.set_value(edited, item.path, item.value)
    return edited


def _problems(state: JSON, content: JSON, nri: bool | None, mirrors: list[JSON]) -> list[str]:
    unmanaged = _layout.unmanaged(state["layout"], "containerd")
    if unmanaged:
        return [unmanaged]
    if not state["version"]:
        return ["no containerd was found that says its version. With another runtime, leave colocation_containerd_* unset for this host"]
    if state["dump_error"]:
        return [f"containerd cannot read its configuration, and would not come back from a restart: {state['dump_error']}"]
    dumped = _toml_edit.load(state["dump"], "what containerd says is in force")
    result = _disabled(state, dumped, nri)
    version = _version(content, state)
    if version not in CRI:
        end = ". `containerd config migrate` shows it as a newer one" if version == 1 else ""
        return [*result, f"{state['main']} is of version {version}; this collection knows 2, 3 and 4{end}"]
    if nri and _toml_edit.get(dumped, NRI[:2]) is None and not result:
        result.append(
            f"this containerd {state['version']} has no NRI (1.7 and newer have). Leave colocation_containerd_nri unset, or upgrade containerd"
        )
    registry = _toml_edit.get(dumped, (*_cri(dumped), "registry")) or {}
    old = sorted(registry.get("mirrors") or {})
    if mirrors and old:
        result.append(
            f"{state['main']} or a file that it imports has registry.mirrors for {', '.join(old)}, and containerd refuses them beside "
            "config_path. Name them in colocation_containerd_mirrors, and take them out of the file"
        )
    tls = sorted(name for name, item in (registry.get("configs") or {}).items() if item.get("tls"))
    if mirrors and tls:
        result.append(
            f"{state['main']} or a file that it imports has registry.configs with tls for {', '.join(tls)}, and containerd refuses that "
            "beside config_path. Say it as ca or skip_verify of colocation_containerd_mirrors, and take it out of the file"
        )
    return result


def _disabled(state: JSON, dumped: JSON, nri: bool | None) -> list[str]:
    """What disabled_plugins keeps from loading: the lists of all files count together."""
    off = _containerd.disabled(dumped.get("disabled_plugins") or [], {*_containerd.CRI, *([NRI[1]] if nri else [])})
    if not off:
        return []
    paths = [state["main"], *state["imported"]]
    lists = {path: _toml_edit.load(state["texts"].get(path), path).get("disabled_plugins") or [] for path in paths}
    where = [path for path, names in lists.items() if _containerd.disabled(names, off)]
    return [f"disabled_plugins in {' and '.join(where) or state['main']} has {', '.join(off)}. Take it out there"]


def _cri(dumped: JSON) -> tuple[str, ...]:
    return CRI.get(dumped.get("version", 2), CRI[4])


def _version(content: JSON, state: JSON) -> int:
    """Configuration version of a file; a new file has 2 for containerd 1.x, else 3, which all of 2.x read."""
    version: int = content.get("version", 1 if content else 2 if state["version"].startswith("1.") else 3)
    return version


def _plain(value: t.Any) -> str:
    return "not set" if value is None else _toml_edit.render(value)


def _undo(current: str, ours: str, before: str) -> str:
    """Others changed the file since: only the values that are still ours are put back."""
    ours_now, then = _toml_edit.load(ours, "what was written"), _toml_edit.load(before, "what was there before")
    for path in (NRI, *((*place, "registry", "config_path") for place in (CRI[2], CRI[3]))):
        put, had = _toml_edit.get(ours_now, path), _toml_edit.get(then, path)
        if put != had and _toml_edit.get(_toml_edit.load(current, "the configuration"), path) == put:
            current = _toml_edit.set_value(current, path, had)
    return current


class ActionModule(SettingsAction):
    SERVICE = "containerd"

    def plan(self, found: JSON, args: JSON) -> Plan:
        return decide(found, args["nri"], args["mirrors"], args["state"] == "present")
