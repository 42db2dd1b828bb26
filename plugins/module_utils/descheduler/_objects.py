# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""The objects that run a descheduler in a cluster: a ConfigMap with the policy, rights, and a Deployment, CronJob or Job."""

from __future__ import annotations

import hashlib
import json
import re
import typing as t

from ansible_collections.openfuyao.colocation.plugins.module_utils.descheduler import _policy

NAME = "colocation-descheduler"
KINDS = {"CronJob": "batch/v1", "Deployment": "apps/v1", "Job": "batch/v1"}
LABELS = {"app.kubernetes.io/name": NAME, "app.kubernetes.io/managed-by": "openfuyao.colocation"}
READS = ["get", "list", "watch"]
RULES: t.List[t.Dict[str, t.Any]] = [
    {"apiGroups": [""], "resources": ["namespaces", "nodes", "persistentvolumeclaims", "pods"], "verbs": READS},
    {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]},
    {"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": ["create", "update"]},
    {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": READS},
    {"apiGroups": ["scheduling.k8s.io"], "resources": ["priorityclasses"], "verbs": READS},
]
"""What descheduler 0.36 needs without leader election and metrics-server: it evicts, and deletes nothing."""
Object = t.Dict[str, t.Any]


def problems(asked: Object) -> t.List[str]:
    """A sentence for each variable that cannot be."""
    wrong = []
    if asked.get("kind") not in KINDS:
        wrong.append(f"colocation_descheduler_kind is {asked.get('kind')}; there are: {', '.join(sorted(KINDS))}.")
    if not asked.get("image"):
        wrong.append("colocation_descheduler_image is empty: name the image of descheduler 0.36 in your registry.")
    if asked.get("kind") == "CronJob" and not re.fullmatch(r"@\w+|\S+( +\S+){4}", str(asked.get("schedule") or "").strip()):
        wrong.append(f"colocation_descheduler_schedule is {asked.get('schedule')!r}; it has five fields, as cron has.")
    if asked.get("kind") == "Deployment" and not re.fullmatch(r"([1-9]\d*[smh])+", str(asked.get("interval") or "")):
        wrong.append(f"colocation_descheduler_interval is {asked.get('interval')!r}; it is a duration such as 5m.")
    return wrong + _policy.problems(asked)


def objects(asked: Object, dump: t.Callable[[Object], str]) -> t.List[Object]:
    """In the order in which they are applied; for variables without problems. C(dump) writes YAML."""
    namespace, kind = str(asked["namespace"]), str(asked["kind"])
    text = dump(_policy.policy(asked))
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    return [
        _object("v1", "ServiceAccount", namespace),
        _object("rbac.authorization.k8s.io/v1", "ClusterRole", "", rules=RULES),
        _object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "", roleRef=role, subjects=[subject]),
        _object("v1", "ConfigMap", namespace, data={"policy.yaml": text}),
        _workload(kind, namespace, text, asked),
    ]


def _object(version: str, kind: str, namespace: str, **body: t.Any) -> Object:
    metadata: Object = {"name": NAME, "labels": dict(LABELS)}
    if namespace:
        metadata["namespace"] = namespace
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **body}


def _workload(kind: str, namespace: str, text: str, asked: Object) -> Object:
    template = _template(kind, text, asked)
    if kind == "Deployment":
        spec: Object = {"replicas": 1, "strategy": {"type": "Recreate"}, "selector": {"matchLabels": LABELS}, "template": template}
        return _object(KINDS[kind], kind, namespace, spec=spec)
    job = {"backoffLimit": 0, "template": template}
    if kind == "CronJob":
        spec = {"schedule": asked["schedule"], "concurrencyPolicy": "Forbid", "jobTemplate": {"spec": job}}
        return _object(KINDS[kind], kind, namespace, spec=spec)
    made = _object(KINDS[kind], kind, namespace, spec=job)
    # A Job cannot be changed: one of other contents has another name, and runs once.
    made["metadata"]["name"] = f"{NAME}-{_digest(json.dumps(job, sort_keys=True))}"
    return made


def _template(kind: str, text: str, asked: Object) -> Object:
    arguments = ["--policy-config-file=/policy/policy.yaml", "--v=3"]
    arguments.append(f"--descheduling-interval={asked['interval'] if kind == 'Deployment' else '0'}")
    locked = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "runAsUser": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    container = {
        "name": "descheduler",
        "image": asked["image"],
        "command": ["/bin/descheduler"],
        "args": arguments,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "securityContext": locked,
        "volumeMounts": [{"name": "policy", "mountPath": "/policy", "readOnly": True}],
    }
    spec: Object = {
        "serviceAccountName": NAME,
        "restartPolicy": "Always" if kind == "Deployment" else "Never",
        "containers": [container],
        "volumes": [{"name": "policy", "configMap": {"name": NAME}}],
    }
    # A Deployment reads its policy once: another policy restarts it.
    annotations = {"colocation.openfuyao.com/policy": _digest(text)}
    return {"metadata": {"labels": dict(LABELS), "annotations": annotations}, "spec": spec}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:10]
