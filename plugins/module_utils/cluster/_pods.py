# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Which pods admission would have labelled with their class, had it been there when they were created. No I/O."""

from __future__ import annotations

import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import MIRROR_ANNOTATION, QOS_ANNOTATION, QOS_LABEL

JSON = t.Dict[str, t.Any]
CLASSES = ("HLS", "LS", "BE")
MUTATE_LABEL = "colocation.openfuyao.com/mutate"
"""V("false") on a namespace or a pod: admission changes nothing there."""
SYSTEM_CLASSES = ("system-node-critical", "system-cluster-critical")


def missing_label(pod: JSON, left_alone: t.Collection[str]) -> str:
    """The class that this pod has to be labelled with; empty if it has a label, or none is due.

    C(left_alone): the namespaces that opted out.
    """
    metadata = pod["metadata"]
    notes, labels = metadata.get("annotations") or {}, metadata.get("labels") or {}
    qos = str(notes.get(QOS_ANNOTATION, ""))
    ours = (
        MIRROR_ANNOTATION not in notes
        and not any(o.get("kind") == "DaemonSet" and o.get("controller") for o in metadata.get("ownerReferences") or [])
        and (pod.get("spec") or {}).get("priorityClassName") not in SYSTEM_CLASSES
        and labels.get(MUTATE_LABEL) != "false"
        and metadata.get("namespace") not in left_alone
    )
    return qos if ours and qos in CLASSES and QOS_LABEL not in labels else ""
