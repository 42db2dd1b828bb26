# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Names that only the collection uses; those it shares with the manager and the agent are in _names.py."""

from __future__ import annotations

from ansible_collections.openfuyao.colocation.plugins.module_utils._names import BE_CPU, BE_MEMORY, GATE

ROLLOUT_CONFIGMAP = "colocation-rollout"
RELEASE = "colocation"
LEASE_NAMESPACE, LEASE = "kube-system", "colocation-rollout"
"""Not in our own namespace: two first rollouts exclude each other too, and that namespace is made by one of them."""

KEYS = (BE_CPU, BE_MEMORY, GATE)
MADE_ANNOTATION = "colocation.openfuyao.com/made-by-rollout"
"""On a namespace that the rollout made, and may therefore delete."""

STATE_DIR = "/var/lib/openfuyao-colocation"
