# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""What a kubelet's configuration has to become, without I/O.

Texts are parsed and written where ansible runs (plugin_utils/_yaml_edit.py): a node's Python need not have PyYAML.
"""

from __future__ import annotations

import json
import re
import typing as t

JSON = t.Dict[str, t.Any]
DROP_IN = "90-openfuyao-colocation.conf"
HEADER = {"apiVersion": "kubelet.config.k8s.io/v1beta1", "kind": "KubeletConfiguration"}
DEFAULT_CONFIG = "/var/lib/kubelet/config.yaml"
KUBEADM_PATCHES = "/etc/kubernetes/patches"
KUBEADM_PATCH = f"{KUBEADM_PATCHES}/kubeletconfiguration90-openfuyao-colocation+merge.yaml"
"""The patch by which C(kubeadm upgrade node --patches DIRECTORY), which rewrites the configuration, keeps our settings."""
DEFAULT_ROOT = "/var/lib/kubelet"
STATES = {"cpu_manager_state": "cpuManagerPolicy", "memory_manager_state": "memoryManagerPolicy"}
"""A manager's file below kubelet's root directory, and the setting that says which policy it must be of."""
RESERVED = ("reservedSystemCPUs", "systemReserved", "kubeReserved", "reservedMemory", "cpuManagerPolicyOptions")


def flags(argv: t.Sequence[str]) -> dict[str, str]:
    """--name=value and --name value of a command line; a bare one is "true". The last of a name counts."""
    flags: dict[str, str] = {}
    arguments = list(argv[1:])
    for at, word in enumerate(arguments):
        if not word.startswith("--"):
            continue
        name, equals, value = word[2:].partition("=")
        following = arguments[at + 1] if at + 1 < len(arguments) else "--"
        flags[name] = value if equals else "true" if following.startswith("--") else following
    return flags


def kebab(name: str) -> str:
    """systemReserved -> system-reserved, reservedSystemCPUs -> reserved-cpus (the one flag that is called otherwise)."""
    if name == "reservedSystemCPUs":
        return "reserved-cpus"
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()


def merge(base: t.Any, over: t.Any) -> t.Any:
    """Maps are merged key by key, anything else is replaced; None takes a key out."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return over
    merged = dict(base)
    for key, value in over.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key, {} if isinstance(value, dict) else None), value)
    return merged


def without(current: JSON, ours: JSON, before: JSON) -> JSON:
    """What somebody has by now, without what we had put in: a value that is still ours is as before, any other stays."""
    left = dict(current)
    for key in [*ours, *(key for key in before if key not in ours)]:
        have, put, had = (side.get(key) for side in (current, ours, before))
        if put == had:
            continue
        if have == put:
            left.pop(key, None)
            if key in before:
                left[key] = had
        elif all(isinstance(side, dict) for side in (have, put)):
            left[key] = without(have, put, had if isinstance(had, dict) else {})
    return left


def uses_drop_in(flag: t.Mapping[str, str]) -> str:
    """The drop-in directory of this kubelet, or "" where it has none: it has one if, and only if, it was given one."""
    return flag.get("config-dir", "")


def said_by_flag(name: str, value: t.Any, flag: t.Mapping[str, str]) -> str:
    """A problem if a command line flag says otherwise: flags win over every file."""
    declared = flag.get(kebab(name))
    if declared is None:
        return ""
    if isinstance(value, dict):
        same = dict(part.partition("=")[::2] for part in declared.split(",") if part) == {k: str(v) for k, v in value.items()}
    else:
        same = declared.lower() == str(value).lower()
    if same:
        return ""
    return (
        f"kubelet is started with --{kebab(name)}={declared}, which wins over {name} in any file. Take the flag out of the "
        "unit (or /etc/default/kubelet, /etc/sysconfig/kubelet), or ask for the same value"
    )


def problems(wanted: JSON, effective: JSON, flag: t.Mapping[str, str], later: t.Mapping[str, JSON]) -> list[str]:
    """Why these settings cannot be made here. ``later``: drop-ins that are read after ours, name to content."""
    answer = [p for p in (said_by_flag(name, value, flag) for name, value in wanted.items() if value is not None) if p]
    for name in sorted(set(HEADER) & set(wanted)):
        answer.append(f"{name} is no setting; leave it out")
    for file, content in later.items():
        both = sorted(key for key in content if key in wanted and key not in HEADER and content[key] != wanted[key])
        if both:
            answer.append(f"{file} is read after ours and says otherwise of {', '.join(both)}. Correct or remove it there")
    if effective.get("cpuManagerPolicy") == "static" and not _reserves_cpu(effective, flag):
        answer.append(
            "cpuManagerPolicy static needs cores that are kept for the system, or kubelet does not start. Set "
            "reservedSystemCPUs, or cpu in systemReserved or kubeReserved"
        )
    return answer


def _reserves_cpu(config: JSON, flag: t.Mapping[str, str]) -> bool:
    if config.get("reservedSystemCPUs") or flag.get("reserved-cpus"):
        return True
    by_flag = (flag.get(name, "") for name in ("system-reserved", "kube-reserved"))
    by_file = ((config.get(name) or {}).get("cpu", "0") for name in ("systemReserved", "kubeReserved"))
    amounts = [*by_file, *(m.group(1) for text in by_flag for m in re.finditer(r"\bcpu=([^,]+)", text))]
    return any(str(amount).strip("m") not in ("", "0") for amount in amounts)


def stale_states(files: t.Mapping[str, str | None], before: JSON, after: JSON) -> list[str]:
    """State files that would keep kubelet from starting.

    Kubelet refuses a checkpoint of another policy ("configured policy differs from state checkpoint policy"), and one whose
    cores are not those that it may use any more; it makes a new one where there is none.
    """
    stale = []
    for name, setting in STATES.items():
        text = files.get(name)
        if not text:
            continue
        policy = after.get(setting) or ("none" if setting == "cpuManagerPolicy" else "None")
        try:
            noted = json.loads(text).get("policyName")
        except ValueError:
            noted = None
        reserved_otherwise = any(before.get(key) != after.get(key) for key in RESERVED)
        if noted != policy or (policy.lower() == "static" and reserved_otherwise):
            stale.append(name)
    return stale


def health_url(config: JSON, flag: t.Mapping[str, str]) -> str:
    """Where this kubelet says how it is; "" if it does not."""
    port = str(flag.get("healthz-port") or config.get("healthzPort", 10248))
    address = flag.get("healthz-bind-address") or config.get("healthzBindAddress") or "127.0.0.1"
    if address in ("0.0.0.0", "::"):  # noqa: S104  (what it listens on, not we)
        address = "127.0.0.1"
    return "" if port == "0" else f"http://{f'[{address}]' if ':' in address else address}:{port}/healthz"
