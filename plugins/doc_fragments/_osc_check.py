# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This doc fragment is **PRIVATE** to the collection; it can change at any time.

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  profile:
    description:
      - V(console) is what a person uploads, the deployment package alone, of at most 4 MB, at most 5 at a time.
      - V(bundle) is a service folder with images in one archive, without these limits.
    type: str
    choices:
      - bundle
      - console
    default: bundle
  source:
    description:
      - Whose service it is. V(ISV) is a partner's, as the platform calls it.
    type: str
    choices:
      - ISV
      - OpenSource
      - HuaweiProvided
    default: ISV
  helm:
    description:
      - Path of the C(helm) program, 3.8 or newer. By default the one that is found.
      - It renders charts without a cluster, and without plugins, repositories or kubeconfig of the user.
    type: path
  values_files:
    description:
      - Values files to render a chart with, beside its own values. Each is tried by itself, laid over the chart's own.
      - For charts that need values, and for branches of templates that no switch in the values opens.
    type: list
    elements: path
    default: []
  kube_version:
    description:
      - The version of Kubernetes that charts are rendered for. By default that of C(helm).
    type: str
  ignore:
    description:
      - Names of rules whose findings are left out.
    type: list
    elements: str
    default: []
  max_unpacked_mib:
    description:
      - What a bundle may come to when it is unpacked, in MiB. A deployment package may come to 256 MiB.
    type: int
    default: 32768
requirements:
  - python >= 3.9
  - PyYAML
  - helm >= 3.8
"""
