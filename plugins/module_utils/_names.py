# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Names that never change: the same as in the manager and the agent."""

from __future__ import annotations

API_GROUP = "colocation.openfuyao.com"
API_VERSION = "v1alpha1"
NAMESPACE = "openfuyao-colocation"
ROLLOUT_CONFIGMAP = "colocation-rollout"
RELEASE = "colocation"
LEASE_NAMESPACE, LEASE = "kube-system", "colocation-rollout"
"""Not in our own namespace: two first rollouts exclude each other too, and that namespace is made by one of them."""

QOS_ANNOTATION = "openfuyao.com/qos-level"
NODE_LABEL = "node.openfuyao.com/colocation"
WITHDRAWN_ANNOTATION = "colocation.openfuyao.com/withdrawn"

BE_CPU = "kubernetes.io/be-cpu"
BE_MEMORY = "kubernetes.io/be-memory"
GATE = "colocation.openfuyao.com/be-pods"
KEYS = (BE_CPU, BE_MEMORY, GATE)
MADE_ANNOTATION = "colocation.openfuyao.com/made-by-rollout"
"""On a namespace that the rollout made, and may therefore delete."""

MIRROR_ANNOTATION = "kubernetes.io/config.mirror"

STATE_DIR = "/var/lib/openfuyao-colocation"
