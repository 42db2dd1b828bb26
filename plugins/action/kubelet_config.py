# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Decides here what a kubelet's files have to become: a node's Python need not have PyYAML."""

from __future__ import annotations

import os
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _kubelet, _layout
from ansible_collections.openfuyao.colocation.plugins.plugin_utils import _yaml_edit
from ansible_collections.openfuyao.colocation.plugins.plugin_utils._settings import JSON, Plan, SettingsAction, as_before


def decide(state: JSON, config: JSON, present: bool) -> Plan:
    """The plan for one node; what speaks against it is in its problems."""
    unmanaged = _layout.unmanaged(state["layout"], "kubelet")
    if unmanaged and (present or not state["section"]):
        return Plan(problems=[unmanaged] if present and config else [])
    if not state["running"] and state["booted"] and not state["section"].get("pending") and state["texts"].get(state["main"]) is None:
        return Plan(
            problems=[
                f"no kubelet runs as the unit kubelet here, and there is no {state['main']}, so that it cannot be seen which files it reads. "
                "If one should, `journalctl -u kubelet` says why it does not; in an image that is being built, say config_file"
            ]
            if present
            else []
        )
    try:
        return _decide(state, config if present else {}, present)
    except _yaml_edit.NoMapping as e:
        return Plan(problems=[str(e)])


def _decide(state: JSON, config: JSON, present: bool) -> Plan:
    texts, section, main = state["texts"], state["section"], state["main"]
    drop_in = os.path.join(state["drop_in_folder"], _kubelet.DROP_IN) if state["drop_in_folder"] else ""
    files = {path: as_before(section, texts, path, _undo) for path in {main, *(section.get("files") or {})}}
    base = _yaml_edit.load(files[main], main)
    others = {
        name: _yaml_edit.load(texts[os.path.join(state["drop_in_folder"], name)], name)
        for name in state["drop_ins"]
        if name != _kubelet.DROP_IN
    }
    if drop_in:
        files[drop_in] = _yaml_edit.dump({**_kubelet.HEADER, **config}) if config else files.get(drop_in)
    elif config:
        wanted = _kubelet.merge(base, config)
        now = texts[main]
        empty = "{}\n" if main.endswith(".json") else ""
        files[main] = now if now is not None and _yaml_edit.load(now, main) == wanted else _yaml_edit.edit(files[main] or empty, wanted)
    by_kubeadm = state["layout"] == _layout.KUBEADM and main == _kubelet.DEFAULT_CONFIG and not drop_in and bool(config)
    if by_kubeadm:
        files[_kubelet.KUBEADM_PATCH] = _yaml_edit.dump(config)
    before, after = _effective(texts, state, others, main, drop_in), _effective(files, state, others, main, drop_in)
    later = {name: content for name, content in others.items() if drop_in and name > _kubelet.DROP_IN}
    if not drop_in:
        later = others
    problems = _kubelet.problems(config, after, state["flags"], later) if present and config else []
    if drop_in and any(value is None for value in config.values()):
        problems.append("a drop-in cannot take a field out; leave those that are null out of the settings")
    stale = [os.path.join(state["root"], name) for name in _kubelet.stale_states(state["states"], before, after)]
    changed = any(texts.get(path) != text for path, text in files.items() if path != _kubelet.KUBEADM_PATCH)
    return Plan(
        files={path: text for path, text in files.items() if path in texts or text is not None},
        stale=stale if changed or section.get("pending") else [],
        restart=changed or bool(section.get("pending")),
        forget=not config,
        health_url=_kubelet.health_url(after, state["flags"]),
        problems=problems,
        told={"method": "drop-in" if drop_in else "merge", "kubeadm_patches": _kubelet.KUBEADM_PATCHES if by_kubeadm else ""},
    )


def _effective(texts: t.Mapping[str, str | None], state: JSON, others: dict[str, JSON], main: str, drop_in: str) -> JSON:
    """What kubelet makes of these texts: its file, then the drop-ins by name."""
    effective = _yaml_edit.load(texts.get(main), main)
    ours = {_kubelet.DROP_IN: _yaml_edit.load(texts.get(drop_in), drop_in)} if drop_in else {}
    for _name, content in sorted({**others, **ours}.items()):
        effective = _kubelet.merge(effective, content)
    merged: JSON = effective
    return merged


def _undo(current: str, ours: str, before: str) -> str:
    """Others changed the file since: only our settings are taken out."""
    sides = (_yaml_edit.load(text, "the configuration") for text in (current, ours, before))
    return _yaml_edit.edit(current, _kubelet.without(*sides))


class ActionModule(SettingsAction):
    SERVICE = "kubelet"

    def plan(self, found: JSON, args: JSON) -> Plan:
        return decide(found, args["config"], args["state"] == "present")
