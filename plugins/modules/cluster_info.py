#!/usr/bin/python
# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cluster_info
short_description: Say whether a cluster can take colocation, and which inventory host is which Node
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Looks at the version and the admission API, at the Nodes, and at what an earlier rollout left in the cluster.
  - Every reason against a rollout is a sentence in RV(problems).
extends_documentation_fragment:
  - kubernetes.core.k8s_auth_options
  - openfuyao.colocation._attributes
  - openfuyao.colocation._attributes.info
  - openfuyao.colocation._attributes.k8s
options:
  hosts:
    description:
      - Inventory hosts to find the Nodes of. Each key is the inventory name, the value what
        M(openfuyao.colocation.node_capabilities_info) returned for it, of which C(hostname), C(addresses) and
        C(problems) are read, or that it was unreachable or failed.
      - A host is the Node with its inventory name or C(hostname); else the one with an InternalIP among its
        C(addresses).
    type: dict
    default: {}
  node_names:
    description:
      - Inventory name to Node name, for hosts that set it; only that name counts then. Empty names are
        ignored.
    type: dict
    default: {}
  migrate:
    description:
      - Whether other managers that oversell are to be taken over from; else each that runs is one of the RV(problems).
    type: bool
    default: false
  may_fail:
    description:
      - Percent of the O(hosts) that may be unreachable, or may not have been able to answer. Up to that they are warnings, and not
        among the RV(problems).
    type: int
    default: 0
  may_be_sick:
    description:
      - How many of the Nodes of O(hosts) may be not ready, as a number or as a part of them with a percent sign, rounded up. Up to that
        they are warnings, and not among the RV(problems).
    type: str
    default: "0"
requirements:
  - python >= 3.9
  - kubernetes >= 24.2.0
  - PyYAML >= 3.11
seealso:
  - module: openfuyao.colocation.node_capabilities_info
  - module: openfuyao.colocation.node_state
"""

EXAMPLES = r"""
- name: Look at the cluster, and find the Node of a machine
  openfuyao.colocation.cluster_info:
    kubeconfig: /etc/kubernetes/admin.conf
    hosts:
      rack1-machine7:
        addresses:
          - 192.0.2.17
  register: cluster

- name: Stop with the reasons
  ansible.builtin.assert:
    that: cluster.problems | length == 0
    fail_msg: "{{ cluster.problems | join(' ') }}"
"""

RETURN = r"""
version:
  description: The API server's version.
  returned: always
  type: str
  sample: v1.36.3
problems:
  description: Why colocation cannot be rolled out here, a sentence each; empty when it can.
  returned: always
  type: list
  elements: str
host_problems:
  description: Those of the RV(problems) that say that a host cannot be reached, or which Node it is.
  returned: always
  type: list
  elements: str
warnings_found:
  description:
    - What does not speak against a rollout, and is better known before. Namespaces that would refuse best-effort pods, and
      other managers that write oversold resources.
    - Neighbours that would harm best-effort pods. Descheduler policies and Volcano's scheduler configuration in ConfigMaps, a
      cluster-autoscaler's priority cutoff, VerticalPodAutoscalers and Kyverno policies, each with the remedy.
  returned: always
  type: list
  elements: str
gains:
  description: Inventory name to what is missing on that host, and what it would bring, a sentence each.
  returned: always
  type: dict
admission:
  description:
    - By what the chart makes best-effort pods out of ordinary ones here. V(cel), where the API server serves
      MutatingAdmissionPolicy as v1 (Kubernetes 1.36 or newer); else V(webhook), which the manager serves.
  returned: always
  type: str
  sample: cel
default_priority_class:
  description: The PriorityClass that pods get which name none; empty where no PriorityClass has C(globalDefault).
  returned: always
  type: str
  sample: ""
hosts:
  description: Inventory name to Node name, for the hosts that were found.
  returned: always
  type: dict
  sample:
    rack1-machine7: node-a
may_be_sick:
  description: The number that O(may_be_sick) comes to.
  returned: always
  type: int
left_out:
  description:
    - Inventory name to Node name, for the hosts that did not answer and that O(may_fail) allows to go without. The Node's name is
      the one in O(node_names), or the inventory name.
  returned: always
  type: dict
server:
  description: Host and port of the API server, by which an operator identifies the cluster.
  returned: always
  type: str
  sample: 192.0.2.10:6443
nodes:
  description: Node name to what a rollout needs of it.
  returned: always
  type: dict
  sample:
    node-a:
      name: node-a
      ready: true
      internal_ips:
        - 192.0.2.17
      kubelet: v1.36.3
      label: null
taking_part:
  description: Nodes that carry our label, oversold resources, or a note that they were withdrawn.
  returned: always
  type: list
  elements: str
namespace_exists:
  description: Whether the namespace of the colocation is there.
  returned: always
  type: bool
monitoring_operator:
  description: Whether the cluster serves the Prometheus Operator's CRDs (C(monitoring.coreos.com/v1)).
  returned: always
  type: bool
crds:
  description: Which of our custom resource definitions are there.
  returned: always
  type: list
  elements: str
record:
  description:
    - What was there before the first rollout, as remembered in the cluster, completed by the found hosts' Nodes that it
      does not know yet.
  returned: always
  type: dict
  contains:
    namespaceMade:
      description: Whether the namespace was made by the rollout.
      type: bool
    labelsBefore:
      description: Node name to the value of the label before; V(null) for none.
      type: dict
record_known:
  description: Whether the RV(record) is remembered in the cluster as it is.
  returned: always
  type: bool
record_exists:
  description: Whether a rollout was remembered in the cluster.
  returned: always
  type: bool
"""

import json
import traceback
import typing as t

try:
    import yaml

    YAML_IMPORT_ERROR = None
except ImportError:
    YAML_IMPORT_ERROR = traceback.format_exc()

from ansible.module_utils.basic import missing_required_lib
from ansible_collections.openfuyao.colocation.plugins.module_utils import _values
from ansible_collections.openfuyao.colocation.plugins.module_utils._names import API_GROUP, NAMESPACE
from ansible_collections.openfuyao.colocation.plugins.module_utils._own_names import ROLLOUT_CONFIGMAP
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _cluster, _identity
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster._api import Api, ApiError, make_module
from ansible_collections.openfuyao.colocation.plugins.module_utils.neighbours import _look
from ansible_collections.openfuyao.colocation.plugins.module_utils.release import _versions
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _takeover

OPERATOR = "/apis/monitoring.coreos.com/v1"
PRIORITY_CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"
CRDS = (f"colocationpolicies.{API_GROUP}", f"nodecolocations.{API_GROUP}")


def gather(
    api: Api,
    hosts: dict[str, dict[str, t.Any]],
    node_names: dict[str, str],
    migrate: bool,
    may_fail: int,
    may_be_sick: str = "0",
) -> dict[str, t.Any]:
    version = api.request("GET", "/version")
    admission = api.get("/apis/admissionregistration.k8s.io/v1") or {}
    served = any(r.get("name") == "mutatingadmissionpolicies" for r in admission.get("resources") or [])
    nodes = api.nodes()
    reached, silent = _cluster.reached(hosts)
    tolerated = silent if 100 * len(silent) <= may_fail * len(hosts) else {}
    unreached = [] if tolerated else list(silent.values())
    matched, unmatched = _identity.match_hosts(
        {h: {**answer, "node_name": node_names.get(h)} for h, answer in reached.items()}, nodes
    )
    rows = {node["metadata"]["name"]: _cluster.node_row(node) for node in nodes}
    sick = _cluster.not_ready(nodes, matched.values())
    limit = _values.part(may_be_sick, len(matched))
    namespace = api.get(f"/api/v1/namespaces/{NAMESPACE}")
    kept = api.get(f"/api/v1/namespaces/{NAMESPACE}/configmaps/{ROLLOUT_CONFIGMAP}") if namespace else None
    others = _takeover.others(
        {**item, "kind": kind}
        for kind, plural in _takeover.PATHS.items()
        for item in api.list(f"/apis/apps/v1/{plural}")
    )
    classes = api.list(PRIORITY_CLASSES)
    default = _cluster.global_default(classes)
    known = json.loads((kept.get("data") or {}).get("before") or "{}") if kept else None
    record = _cluster.rollout_record(
        known, _cluster.namespace_is_ours(namespace), {n: rows[n]["label"] for n in matched.values()}
    )
    return {
        "version": version.get("gitVersion", ""),
        "admission": "cel" if served else "webhook",
        "default_priority_class": default,
        "problems": unreached
        + _cluster.version_problems(version)
        + unmatched
        + _cluster.node_problems(reached)
        + ([f"{len(sick)} nodes are sick, and colocation_max_sick_nodes allows {limit}. {' '.join(sick)}"] if len(sick) > limit else [])
        + _cluster.priority_problems(classes)
        + _takeover.problems(others, migrate),
        "host_problems": unreached + unmatched,
        "warnings_found": list(tolerated.values())
        + (sick if len(sick) <= limit else [])
        + _versions.newer_than_tested(version.get("gitVersion"))
        + _cluster.quota_warnings(api.list("/api/v1/resourcequotas"))
        + _cluster.limit_warnings(api.list("/api/v1/limitranges"))
        + _cluster.default_warnings(default, _known_default(api))
        + _cluster.other_managers(nodes, kept is not None)
        + _identity.clone_warnings(nodes)
        + neighbours(api),
        "gains": {host: _cluster.gains(answer.get("features") or {}) for host, answer in reached.items()},
        "hosts": matched,
        "may_be_sick": limit,
        "left_out": {host: node_names.get(host) or host for host in tolerated},
        "server": api.server,
        "nodes": rows,
        "taking_part": sorted(n["metadata"]["name"] for n in nodes if _cluster.takes_part(n)),
        "namespace_exists": namespace is not None,
        "monitoring_operator": api.get(OPERATOR) is not None,
        "crds": [name for name in CRDS if api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{name}")],
        "record_exists": kept is not None,
        "record_known": known == record,
        "record": record,
    }


def neighbours(api: Api) -> list[str]:
    """What else runs here and would harm best-effort pods."""

    def read(path: str, fields: str) -> list[dict[str, t.Any]] | None:
        try:
            return api.list(path, field_selector=fields or None)
        except ApiError as e:
            if e.status == 403:
                return None
            raise

    return _look.warnings(read, _load)


def _load(text: str) -> object:
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as e:
        raise ValueError(" ".join(str(e).split())) from e


def _known_default(api: Api) -> str | None:
    """The PriorityClass that the installed admission takes for the default; None where none is installed."""
    policy = api.get("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/colocation-pods")
    manager = api.get(f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/colocation-manager")
    return _cluster.known_default(policy, manager)


def main() -> None:
    module, api = make_module(
        {
            "hosts": {"type": "dict", "default": {}},
            "node_names": {"type": "dict", "default": {}},
            "migrate": {"type": "bool", "default": False},
            "may_fail": {"type": "int", "default": 0},
            "may_be_sick": {"type": "str", "default": "0"},
        },
        supports_check_mode=True,
    )
    if YAML_IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("PyYAML"), exception=YAML_IMPORT_ERROR)
    try:
        given = module.params
        result = gather(api, given["hosts"], given["node_names"], given["migrate"], given["may_fail"], given["may_be_sick"])
    except (ApiError, ValueError) as e:
        module.fail_json(msg=str(e))
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
