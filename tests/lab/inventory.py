# SPDX-License-Identifier: Apache-2.0
"""What a running lab leaves for people: kubeconfig, inventory, links to programs."""

from __future__ import annotations

import sys
import tomllib

from . import binaries, machines
from .config import Lab
from .pki import Pki

_COMMANDS = ("kubectl", "helm", "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler")
_SCRIPT = """\
#!{python}
import sys
sys.path.insert(0, "{source}")
from {module} import {name}
sys.exit({name}())
"""


def write_access(lab: Lab, pki: Pki) -> None:
    """The administrator's kubeconfig and the links in ``.lab/bin``, beside our own commands."""
    lab.kubeconfig.touch(mode=0o600)
    lab.kubeconfig.write_text(pki.kubeconfig(lab.api_url, pki.issue("admin", "admin", ["system:masters"])))
    lab.bin.mkdir(exist_ok=True)
    for command in _COMMANDS:
        (lab.bin / command).symlink_to(binaries.path(command))
    write_our_commands(lab)


def write_our_commands(lab: Lab) -> None:
    """`colocation` and its like, as an installed wheel would have them; from the sources: a change is there at once."""
    project = tomllib.loads((lab.clone / "reconciler/pyproject.toml").read_text())["project"]
    for command, function in project["scripts"].items():
        module, _, name = function.partition(":")
        script = lab.bin / command
        source = lab.clone / "reconciler/src"
        script.write_text(_SCRIPT.format(python=sys.executable, source=source, module=module, name=name))
        script.chmod(0o755)


def write_inventory(lab: Lab) -> None:
    """Ansible's inventory, and the host keys that make its first contact a safe one."""
    lab.known_hosts.write_text("".join(machines.host_key(node) for node in lab.nodes))
    lab.inventory.write_text(inventory(lab))


def inventory(lab: Lab) -> str:
    """The inventory's text: groups `colocation_nodes` and `colocation_control`."""
    trust = f"-o UserKnownHostsFile={lab.known_hosts} -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    lines = [
        "# Written by `python3 -m tests.lab up`; gone with the lab.",
        "all:",
        "  vars:",
        f"    colocation_kubeconfig: {lab.kubeconfig}",
        f"    colocation_helm_binary: {lab.bin / 'helm'}",
        # `make build` puts it there; the roll-out says so where it is missing.
        f"    colocation_image_archive: {lab.clone / 'build/out/colocation-image.tar'}",
        "  children:",
        "    colocation_nodes:",
        "      vars:",
        "        ansible_user: root",
        "        ansible_python_interpreter: /usr/bin/python3",
        f"        ansible_ssh_private_key_file: {lab.ssh_key}",
        f'        ansible_ssh_common_args: "{trust}"',
        "      hosts:",
    ]
    for node in lab.nodes:
        lines += [f"        {node.name}:", f"          ansible_host: {node.address}"]
    lines += [
        "    colocation_control:",
        "      hosts:",
        "        localhost:",
        "          ansible_connection: local",
        '          ansible_python_interpreter: "{{ ansible_playbook_python }}"',
    ]
    return "\n".join(lines) + "\n"
