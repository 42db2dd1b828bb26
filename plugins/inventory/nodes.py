# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: nodes
short_description: The Nodes of a Kubernetes cluster as inventory hosts
version_added: 0.1.0
author:
  - The openfuyao.colocation contributors (@openfuyao)
description:
  - Each Node becomes a host, at its address, with C(colocation_node_name) set, so that the playbooks of this collection need no
    other inventory. Set what ansible needs to log in (user, key) in C(group_vars) or O(compose).
  - Each host carries its cluster as well, so that a play reaches the one that its inventory was read from. The options of the
    connection become C(colocation_kubeconfig), C(colocation_context) and C(colocation_api_*); secrets do so only if they are in
    the inventory file. Where the control host is another machine, O(compose) can set them to what is right there.
  - Nodes that O(workers) selects are in the group C(colocation_nodes), those that take part already in C(colocation_taking_part),
    and each in a group for its pool and for each of its labels in O(group_by_labels).
  - Wants C(get) and C(list) on Nodes, nothing else.
  - The file's name must end in C(nodes.colocation.yml) or C(nodes.colocation.yaml).
extends_documentation_fragment:
  - constructed
  - inventory_cache
options:
  plugin:
    description: Marks a file as one for this plugin.
    required: true
    choices:
      - openfuyao.colocation.nodes
  kubeconfig:
    description:
      - Path of a kubeconfig, relative ones to the inventory file. By default kubernetes.core's ways of finding one are used.
    type: str  # as type path, ansible would resolve it from the working folder
    env:
      - name: K8S_AUTH_KUBECONFIG
  context:
    description:
      - Name of a context of the kubeconfig. By default its current one.
    type: str
    env:
      - name: K8S_AUTH_CONTEXT
  host:
    description:
      - URL of the API server, where there is no kubeconfig.
    type: str
    env:
      - name: K8S_AUTH_HOST
  api_key:
    description:
      - Token to log in with.
    type: str
    env:
      - name: K8S_AUTH_API_KEY
  username:
    description:
      - User to log in as, with O(password); an API server needs a proxy in front that takes them.
    type: str
    env:
      - name: K8S_AUTH_USERNAME
  password:
    description:
      - Password of O(username).
    type: str
    env:
      - name: K8S_AUTH_PASSWORD
  client_cert:
    description:
      - Path of a client certificate to log in with, relative ones to the inventory file.
    type: str  # as type path, ansible would resolve it from the working folder
    env:
      - name: K8S_AUTH_CLIENT_CERT
      - name: K8S_AUTH_CERT_FILE
  client_key:
    description:
      - Path of the key of O(client_cert), relative ones to the inventory file.
    type: str  # as type path, ansible would resolve it from the working folder
    env:
      - name: K8S_AUTH_CLIENT_KEY
      - name: K8S_AUTH_KEY_FILE
  ca_cert:
    description:
      - Path of the certificate authority's certificates, relative ones to the inventory file.
    type: str  # as type path, ansible would resolve it from the working folder
    env:
      - name: K8S_AUTH_CA_CERT
      - name: K8S_AUTH_SSL_CA_CERT
  validate_certs:
    description:
      - Whether the API server has to prove who it is. By default it has to, unless the kubeconfig says otherwise.
    type: bool
    env:
      - name: K8S_AUTH_VALIDATE_CERTS
      - name: K8S_AUTH_VERIFY_SSL
  proxy:
    description:
      - URL of an HTTP proxy on the way to the API server.
    type: str
    env:
      - name: K8S_AUTH_PROXY
  no_proxy:
    description:
      - Hosts that are reached without O(proxy), with commas between them.
    type: str
    env:
      - name: K8S_AUTH_NO_PROXY
  proxy_headers:
    description:
      - What is sent to the proxy, C(proxy_basic_auth) as C(user:password), and C(user_agent).
    type: dict
  persist_config:
    description:
      - Whether a renewed OIDC token is written back into the kubeconfig.
    type: bool
    env:
      - name: K8S_AUTH_PERSIST_CONFIG
  impersonate_user:
    description:
      - User to act as.
    type: str
    env:
      - name: K8S_AUTH_IMPERSONATE_USER
  impersonate_groups:
    description:
      - Groups to act as.
    type: list
    elements: str
    env:
      - name: K8S_AUTH_IMPERSONATE_GROUPS
  label_selector:
    description:
      - Only Nodes that this label selector fits become hosts.
    type: str
    default: ""
  workers:
    description:
      - Label selector of Nodes that are put into the group C(colocation_nodes).
      - By default those that are not of the control plane.
    type: str
    default: "!node-role.kubernetes.io/control-plane,!node-role.kubernetes.io/master"
  only_ready:
    description:
      - Leave out Nodes that are not ready.
    type: bool
    default: false
  address:
    description:
      - Which address of a Node C(ansible_host) is, the first of these that it has; V(Name) is the Node's name.
    type: list
    elements: str
    choices:
      - InternalIP
      - ExternalIP
      - InternalDNS
      - ExternalDNS
      - Hostname
      - Name
    default:
      - InternalIP
      - Hostname
      - Name
  pool_labels:
    description:
      - Labels that say which pool a Node is of. The first that a Node has makes its group, C(pool_NAME).
    type: list
    elements: str
    default:
      - node.openfuyao.com/pool
      - karpenter.sh/nodepool
      - eks.amazonaws.com/nodegroup
      - cloud.google.com/gke-nodepool
      - kubernetes.azure.com/agentpool
      - node.cluster.x-k8s.io/pool
      - volcengine.com/nodepool
      - pool
  group_by_labels:
    description:
      - Labels each of whose values makes a group, C(label_KEY_VALUE) with C(_) for each character that a group's name cannot contain.
    type: list
    elements: str
    default:
      - kubernetes.io/arch
      - topology.kubernetes.io/zone
requirements:
  - kubernetes >= 24.2.0
notes:
  - Variables of each host are C(colocation_node_name), C(kubernetes_labels), C(kubernetes_annotations), C(kubernetes_taints),
    C(kubernetes_addresses), C(kubernetes_node_info), C(kubernetes_capacity), C(kubernetes_allocatable),
    C(kubernetes_unschedulable) and C(kubernetes_ready), for O(compose), O(groups) and O(keyed_groups) too.
"""

EXAMPLES = r"""
# prod.nodes.colocation.yml
plugin: openfuyao.colocation.nodes
kubeconfig: prod.kubeconfig
workers: "pool in (batch, web)"

---
# The first rollout goes to the nodes of one zone; the answer is kept for five minutes.
plugin: openfuyao.colocation.nodes
kubeconfig: prod.kubeconfig
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: /tmp/prod-nodes
cache_timeout: 300
groups:
  colocation_canary: kubernetes_labels['topology.kubernetes.io/zone'] | default('') == 'a'
compose:
  ansible_user: "'root'"
"""

import os
import re
import typing as t

from ansible.errors import AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible_collections.openfuyao.colocation.plugins.module_utils._names import NODE_LABEL
from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _api, _cluster, _connection
from ansible_collections.openfuyao.colocation.plugins.plugin_utils._selector import BadSelector, fits, parse

NODES = "colocation_nodes"
TAKING_PART = "colocation_taking_part"
PATHS = ("kubeconfig", "client_cert", "client_key", "ca_cert")
JSON = t.Dict[str, t.Any]


def variables(node: JSON) -> JSON:
    """What a host knows of its Node."""
    metadata, spec, status = node["metadata"], node.get("spec") or {}, node.get("status") or {}
    addresses: dict[str, str] = {}
    for address in status.get("addresses") or []:
        addresses.setdefault(address["type"], address["address"])
    return {
        "colocation_node_name": metadata["name"],
        "kubernetes_labels": metadata.get("labels") or {},
        "kubernetes_annotations": metadata.get("annotations") or {},
        "kubernetes_taints": spec.get("taints") or [],
        "kubernetes_unschedulable": bool(spec.get("unschedulable")),
        "kubernetes_addresses": addresses,
        "kubernetes_node_info": status.get("nodeInfo") or {},
        "kubernetes_capacity": status.get("capacity") or {},
        "kubernetes_allocatable": status.get("allocatable") or {},
        "kubernetes_ready": _cluster.ready(node),
    }


def address(known: JSON, wanted: t.Iterable[str]) -> str | None:
    every = {**known["kubernetes_addresses"], "Name": known["colocation_node_name"]}
    return next((every[kind] for kind in wanted if every.get(kind)), None)


def group_name(*parts: str) -> str:
    """A valid group name; it does not depend on TRANSFORM_INVALID_GROUP_CHARS."""
    return re.sub(r"[^A-Za-z0-9_]", "_", "_".join(parts))


def groups(labels: t.Mapping[str, str], workers: t.Any, pools: t.Iterable[str], by: t.Iterable[str]) -> list[str]:
    """The groups of a Node with these labels."""
    groups = [NODES] if fits(workers, labels) else []
    groups += [TAKING_PART] if labels.get(NODE_LABEL) == "true" else []
    groups += [group_name("pool", labels[label]) for label in pools if labels.get(label)][:1]
    return groups + [group_name("label", label, labels[label]) for label in by if labels.get(label)]


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "openfuyao.colocation.nodes"

    def verify_file(self, path: str) -> bool:
        return super().verify_file(path) and path.endswith(("nodes.colocation.yml", "nodes.colocation.yaml"))

    def parse(self, inventory: t.Any, loader: t.Any, path: str, cache: bool = True) -> None:
        super().parse(inventory, loader, path)
        self._read_config_data(path)
        use_cache = self.get_option("cache")
        key = self.get_cache_key(path)
        nodes: list[JSON] | None = None
        if use_cache and cache:
            nodes = self._cache.get(key)
        options, carried = self._connection_options(os.path.dirname(os.path.abspath(path)))
        if nodes is None:
            nodes = self._nodes(options)
            if use_cache:
                self._cache[key] = nodes
        try:
            self._populate(nodes, parse(self.get_option("workers")), carried)
        except BadSelector as e:
            raise AnsibleParserError(f"{path}: workers: {e}") from e

    def _connection_options(self, folder: str) -> tuple[JSON, JSON]:
        """The options of the connection, and those of them that hosts carry."""
        given = {}
        for name in _connection.VARIABLES:
            value, origin = self.get_option_and_origin(name)
            if not str(origin).startswith("env"):
                given[name] = value
        given = _connection.typed(given)
        for name in PATHS:
            if name in given:
                given[name] = os.path.join(folder, os.path.expanduser(given[name]))
        try:
            options = _connection.resolve(given, os.environ, {name: name for name in _connection.VARIABLES})
        except _connection.BadConnection as e:
            raise AnsibleParserError(str(e)) from None
        for name in PATHS:
            if name in options:
                options[name] = os.path.abspath(os.path.expanduser(options[name]))
                if not os.path.exists(options[name]):
                    where = "the inventory file" if name in given else "the environment"
                    raise AnsibleParserError(f"{name}: there is no file {options[name]}. Correct it in {where}.")
        carried = {
            _connection.VARIABLES[name]: value
            for name, value in options.items()
            if name in given or name not in _connection.SECRETS
        }
        return options, carried

    def _nodes(self, options: JSON) -> list[JSON]:
        """The parts of each Node that variables() reads; raises AnsibleParserError with what to do."""
        if _api.COLLECTION_IMPORT_ERROR or _api.KUBERNETES_IMPORT_ERROR:
            raise AnsibleParserError(
                "The inventory plugin openfuyao.colocation.nodes needs the collection kubernetes.core >= 6.6.0 and the Python "
                "library kubernetes, for the Python that runs ansible."
            )
        try:
            api = _api.Api(_api.get_api_client(**options).client)
            groups = api.list("/api/v1/nodes", label_selector=self.get_option("label_selector") or None)
        except Exception as e:  # a bad kubeconfig, no answer, not allowed: each library has its own exception
            raise AnsibleParserError(f"The Nodes could not be listed: {e}. Check kubeconfig, context and rights.") from e
        # Images and managedFields are nine tenths of a Node: they are not kept in the cache.
        return [
            {
                "metadata": {key: node["metadata"].get(key) for key in ("name", "labels", "annotations")},
                "spec": {key: (node.get("spec") or {}).get(key) for key in ("taints", "unschedulable")},
                "status": {
                    key: (node.get("status") or {}).get(key)
                    for key in ("addresses", "nodeInfo", "capacity", "allocatable", "conditions")
                },
            }
            for node in groups
        ]

    def _populate(self, nodes: list[JSON], workers: t.Any, carried: JSON) -> None:
        strict = self.get_option("strict")
        for group in (NODES, TAKING_PART):
            self.inventory.add_group(group)
        for node in sorted(nodes, key=lambda n: n["metadata"]["name"]):
            known = variables(node)
            if self.get_option("only_ready") and not known["kubernetes_ready"]:
                continue
            name = known["colocation_node_name"]
            self.inventory.add_host(name)
            where = address(known, self.get_option("address"))
            for variable, value in {**known, **carried, **({"ansible_host": where} if where else {})}.items():
                self.inventory.set_variable(name, variable, value)
            for group in groups(
                known["kubernetes_labels"], workers, self.get_option("pool_labels"), self.get_option("group_by_labels")
            ):
                self.inventory.add_group(group)
                self.inventory.add_child(group, name)
            self._set_composite_vars(self.get_option("compose"), known, name, strict=strict)
            self._add_host_to_composed_groups(self.get_option("groups"), known, name, strict=strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), known, name, strict=strict)
