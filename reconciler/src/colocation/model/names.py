"""Names that workloads and operators rely on; they never change (the openFuyao ones are kept).

Python 3.9 syntax, no import of ours: the same file is copied into the Ansible collection.
"""

from __future__ import annotations

from typing import Final

API_GROUP: Final = "colocation.openfuyao.com"
API_VERSION: Final = "v1alpha1"
NAMESPACE: Final = "openfuyao-colocation"

QOS_ANNOTATION: Final = "openfuyao.com/qos-level"
QOS_LABEL: Final = "openfuyao.com/qos-level"
"""The class once more, for what selects pods: written by admission, and never read by us."""
NODE_LABEL: Final = "node.openfuyao.com/colocation"

BE_CPU: Final = "kubernetes.io/be-cpu"
"""Integer millicores."""
BE_MEMORY: Final = "kubernetes.io/be-memory"
"""Bytes."""
GATE: Final = "colocation.openfuyao.com/be-pods"
"""Extended resource: capacity = BE pods the node may hold; the key is absent while the node is closed to new ones."""

WITHDRAWN_ANNOTATION: Final = "colocation.openfuyao.com/withdrawn"
"""On a withdrawn Node: the reason. Distinguishes "never published" from "withdrawn" after a manager restart."""

RESERVED_ANNOTATION: Final = "colocation.openfuyao.com/reserved"
"""On a Node: JSON with cpu and memory (Kubernetes quantities) that belong to what runs there outside Kubernetes."""

REPORTER: Final = "colocation.openfuyao.com/manager"
"""reportingController of the manager's Events."""

READER: Final = "colocation-reader"
"""ServiceAccount that has no rights: who may mint its tokens may read the manager's ``/v1``."""
CONSOLE: Final = "colocation-console"
"""ServiceAccount of the console, which has no rights either: the manager takes its tokens of that audience too."""
AUDIENCE: Final = "colocation"
"""Audience of those tokens, so that no API server accepts one as its own."""
TOKEN_HEADER: Final = "X-Colocation-Token"  # noqa: S105 (a name)
"""Carries one. The API server's service proxy drops Authorization, and hands on other headers."""

MIRROR_ANNOTATION: Final = "kubernetes.io/config.mirror"
STATIC_HASH_ANNOTATION: Final = "kubernetes.io/config.hash"
"""A static pod's cgroup is named after this hash, not after the uid of its mirror pod."""

SYSTEM_CRITICAL_PRIORITY: Final = 2_000_000_000
