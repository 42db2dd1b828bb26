# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Where the live objects of a Helm release differ from its manifest. Without I/O.

The API server itself says what an object would be with the manifest's fields put back (a forced server-side apply as a dry
run). So defaults, spellings of quantities and fields that the manifest does not name are no difference.
"""

from __future__ import annotations

import json
import re
import typing as t

JSON = t.Dict[str, t.Any]
Path = t.Tuple[str, ...]
KEYS = ("name", "key", "containerPort", "port", "mountPath", "type")
"""By which an item of a list is found again, the first that all items have."""
VOLATILE = {"managedFields", "resourceVersion", "generation", "creationTimestamp", "uid", "selfLink"}
WEBHOOKS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
SELECTORS = {"namespaceSelector", "objectSelector"}


class Difference(t.NamedTuple):
    """One field that is not as the release says."""

    path: Path
    wanted: t.Any
    found: t.Any
    manager: str
    """Who wrote the field last, as the API server has noted it; empty where it has not."""
    enforced: bool
    """True if something in the cluster keeps this field at its own value: writing it starts a fight."""

    def field(self) -> str:
        return ".".join(self.path)


def plain(body: JSON) -> JSON:
    """An object without what the API server and controllers keep in it."""
    kept = {key: value for key, value in body.items() if key != "status"}
    kept["metadata"] = {k: v for k, v in (body.get("metadata") or {}).items() if k not in VOLATILE}
    return kept


def adopted(body: JSON, release: str, namespace: str) -> JSON:
    """An object of the manifest with the marks that Helm adds when it writes it."""
    metadata = body["metadata"]
    marks = {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace}
    labels = {**(metadata.get("labels") or {}), "app.kubernetes.io/managed-by": "Helm"}
    return {
        **body,
        "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), **marks}, "labels": labels},
    }


def wanted_of(body: JSON, live: JSON, scaled: t.Collection[tuple[str, str]]) -> JSON:
    """What the release wants of an object, less the number of replicas where an autoscaler sets it.

    C(scaled): kind and name of what autoscalers target.
    """
    if (body["kind"], body["metadata"]["name"]) not in scaled or "replicas" not in (live.get("spec") or {}):
        return body
    return {**body, "spec": {**body["spec"], "replicas": live["spec"]["replicas"]}}


def differences(live: JSON, healed: JSON) -> list[Difference]:
    """The fields in which C(live) is not what C(healed), the answer to the dry run, would be."""
    kind = live["kind"]
    differences = []
    for path, wanted, is_now in _walk(plain(healed), plain(live), ()):
        enforced = kind in WEBHOOKS and len(path) > 2 and path[0] == "webhooks" and path[2] in SELECTORS
        differences.append(Difference(path, wanted, is_now, writer(live, path), enforced))
    return differences


def _walk(wanted: t.Any, live: t.Any, path: Path) -> t.Iterator[tuple[Path, t.Any, t.Any]]:
    if wanted == live:
        return
    if isinstance(wanted, dict) and isinstance(live, dict):
        for key in sorted({*wanted, *live}):
            yield from _walk(wanted.get(key), live.get(key), (*path, key))
        return
    if isinstance(wanted, list) and isinstance(live, list):
        key = next((k for k in KEYS if all(isinstance(i, dict) and k in i for i in wanted + live)), None)
        if key:
            before, after = ({str(item[key]): item for item in items} for items in (live, wanted))
            if len(before) == len(live) and len(after) == len(wanted) and before != after:
                for name in sorted({*before, *after}):
                    yield from _walk(after.get(name), before.get(name), (*path, name))
                return
    yield path, wanted, live


def writer(live: JSON, path: Path) -> str:
    """Who wrote this field last."""
    best = ("", "")
    for entry in (live.get("metadata") or {}).get("managedFields") or []:
        if not entry.get("subresource") or entry["subresource"] == "scale":
            depth = _owned(entry.get("fieldsV1") or {}, path)
            if depth and entry.get("manager"):
                best = max(best, (str(entry.get("time") or ""), str(entry["manager"])))
    return best[1]


def _owned(fields: JSON, path: Path) -> bool:
    """True if these fieldsV1 hold the path, or an atomic value that it is in."""
    at = fields
    for step in path:
        below = at.get(f"f:{step}")
        if below is None:
            below = next((v for k, v in at.items() if k.startswith("k:") and step in map(str, _key(k).values())), None)
        if below is None:
            return False
        if not below:
            return True
        at = below
    return True


def _key(text: str) -> JSON:
    return t.cast(JSON, json.loads(text[2:]))


def autoscaled(scalers: t.Iterable[JSON]) -> set[tuple[str, str]]:
    """Kind and name of what HorizontalPodAutoscalers target."""
    targets = [(scaler.get("spec") or {}).get("scaleTargetRef") or {} for scaler in scalers]
    return {(str(target.get("kind")), str(target.get("name"))) for target in targets}


def sentence(kind: str, name: str, difference: Difference) -> str:
    """What differs, in one sentence."""
    by = f", written by {difference.manager}" if difference.manager else ""
    return f"{kind} {name}: {difference.field()} is {short(difference.found)} and the release says {short(difference.wanted)}{by}"


def way_out(kind: str, name: str) -> str:
    """What to do about a field that something in the cluster keeps changing."""
    return (
        f"Find out what keeps changing it. On AKS, the admissions enforcer leaves the object alone after "
        f"`kubectl label {kind.lower()} {name} admissions.enforcer/disabled=true`; then run this again"
    )


def short(value: t.Any) -> str:
    if value is None:
        return "not there"
    text = json.dumps(value, sort_keys=True)
    return text if len(text) <= 80 else f"{text[:77]}..."


def server_side(version: str) -> bool:
    """True if this Helm writes by server-side apply, which refuses fields that somebody else has changed."""
    differences = re.match(r"v?(\d+)\.", version)
    return differences is not None and int(differences.group(1)) >= 4
