# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Kubernetes distributions that run kubelet and containerd in ways of their own, known by their directories.

What this collection cannot change there is reported, with the distribution's own way to do it.
"""

from __future__ import annotations

import os
import typing as t

KUBEADM = "kubeadm"


class Layout(t.NamedTuple):
    """``marks``: directories or files that only this distribution makes; the ways: where its own settings are."""

    name: str
    marks: t.Tuple[str, ...]
    containerd: str
    kubelet: str
    images: str


def _rancher(name: str) -> Layout:
    etc, agent = f"/etc/rancher/{name}", f"/var/lib/rancher/{name}/agent"
    return Layout(
        name,
        (f"/var/lib/rancher/{name}", etc),
        f"mirrors are in {etc}/registries.yaml, everything else in a template beside {agent}/etc/containerd/config.toml",
        f"kubelet's settings are kubelet-arg in {etc}/config.yaml",
        f"put the archive into {agent}/images, from where {name} imports it when it starts",
    )


LAYOUTS = (
    # First: `kubeadm reset` takes its mark away, while directories of the others are often left behind.
    Layout(KUBEADM, ("/var/lib/kubelet/kubeadm-flags.env",), "", "", ""),
    _rancher("rke2"),
    _rancher("k3s"),
    Layout(
        "microk8s",
        ("/var/snap/microk8s",),
        "mirrors are in /var/snap/microk8s/current/args/certs.d, everything else in containerd-template.toml beside it",
        "kubelet's settings are in /var/snap/microk8s/current/args/kubelet",
        "import the archive with `microk8s ctr image import`",
    ),
)


def find(root: str = "/") -> str:
    """The name of the layout of this machine, or ""."""
    for layout in LAYOUTS:
        if any(os.path.exists(os.path.join(root, mark.lstrip("/"))) for mark in layout.marks):
            return layout.name
    return ""


def unmanaged(name: str, what: str) -> str:
    """Why C(containerd), C(kubelet) or C(images) is not managed in this layout, and the way there; "" where it is."""
    way = next((getattr(layout, what) for layout in LAYOUTS if layout.name == name), "")
    if not way:
        return ""
    if what == "images":
        return f"this node runs {name}, whose containerd this collection does not manage: {way}, and leave colocation_image_archive unset for it"
    return (
        f"this node runs {name}, which starts {what} itself and writes its configuration; this collection does not manage it. There "
        f"{way}. Leave colocation_{what}_* unset for this host"
    )
