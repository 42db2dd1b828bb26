# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is **PRIVATE** to the collection; it can change at any time.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options: {}
attributes:
  check_mode:
    description: Can run in C(check_mode) and return what would change without changing the target.
  diff_mode:
    description: Returns what has changed, or would change in C(check_mode), when in diff mode.
  idempotent:
    description: When run twice in a row outside check mode with the same arguments, the second run changes nothing.
"""

    INFO = r"""
options: {}
attributes:
  check_mode:
    support: full
    details: This module changes nothing.
  diff_mode:
    support: N/A
    details: This module changes nothing.
  idempotent:
    support: full
    details: This module changes nothing.
"""

    K8S = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/openfuyao.colocation.k8s) in C(module_defaults) to set the connection for this module.
    support: full
    membership:
      - openfuyao.colocation.k8s
      - kubernetes.core.k8s
"""

    HELM = r"""
options: {}
attributes:
  action_group:
    description: Use C(group/openfuyao.colocation.helm) in C(module_defaults) to set the connection for this module.
    support: full
    membership:
      - openfuyao.colocation.helm
      - kubernetes.core.helm
"""
