"""What is stored is what was rendered, field by field: a tool that compares the two (GitOps) finds no difference.

The API server fills in what a manifest leaves out; the chart states such fields itself.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.process import run

from .conftest import CHART, DATA, EVERYTHING, NAMESPACE, OLD

WAYS = ["webhook"] if OLD else ["cel", "webhook"]
ADDED: dict[str, set[str]] = {
    "metadata": {"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"},
    "": {"status"},
    "spec": {"clusterIP", "clusterIPs", "ipFamilies"},
    "spec.template.spec": {"serviceAccount"},
}
"""What belongs to the API server alone; `serviceAccount` is its copy of `serviceAccountName`, deprecated."""
HELM_AND_CONTROLLERS = (
    "meta.helm.sh/release-name",
    "meta.helm.sh/release-namespace",
    "deprecated.daemonset.template.generation",
)
RUNNING = {"caBundle"}
"""Written by the manager while it runs."""


@pytest.fixture(scope="module", params=WAYS)
def installed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with ApiServer(tmp_path_factory.mktemp("stored")) as server:
        server.kubectl("apply", "--server-side", "-f", str(DATA / "prometheus-operator-crds.yaml"))
        server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        values = [f"--set={value}" for value in (*EVERYTHING, f"admission.mode={request.param}")]
        run(
            [binaries.path("helm"), "install", "colocation", CHART, "-n", NAMESPACE, "--create-namespace", *values],
            env={**os.environ, "KUBECONFIG": str(server.kubeconfig)},
        )
        yield server


def manifests(server: ApiServer) -> list[dict[str, Any]]:
    text = run(
        [binaries.path("helm"), "get", "manifest", "colocation", "-n", NAMESPACE],
        env={**os.environ, "KUBECONFIG": str(server.kubeconfig)},
    ).stdout
    return [document for document in yaml.safe_load_all(text) if document]


def differences(rendered: Any, stored: Any, path: str = "") -> list[str]:
    if isinstance(rendered, dict) and isinstance(stored, dict):
        found = []
        for key in sorted(rendered.keys() | stored.keys(), key=str):
            at = f"{path}.{key}".lstrip(".")
            if key in ADDED.get(path, ()) or key in RUNNING:
                continue
            if key not in rendered:
                found.append(f"{at}: not rendered, stored {json.dumps(stored[key])}")
            elif key not in stored:
                found.append(f"{at}: rendered {json.dumps(rendered[key])}, not stored")
            else:
                found += differences(rendered[key], stored[key], at)
        return found
    if isinstance(rendered, list) and isinstance(stored, list) and len(rendered) == len(stored):
        return [
            each
            for number, (one, other) in enumerate(zip(rendered, stored, strict=True))
            for each in differences(one, other, f"{path}[{number}]")
        ]
    return [] if rendered == stored else [f"{path}: rendered {json.dumps(rendered)}, stored {json.dumps(stored)}"]


def test_every_object_is_stored_as_it_was_rendered(installed: ApiServer) -> None:
    found = {}
    objects = manifests(installed)
    assert len(objects) > 30
    for rendered in objects:
        name = rendered["metadata"]["name"]
        group, _, version = rendered["apiVersion"].rpartition("/")
        kind = f"{rendered['kind']}.{version}.{group}" if group else rendered["kind"]
        where = [f"--namespace={rendered['metadata'].get('namespace', NAMESPACE)}"]
        stored = json.loads(installed.kubectl("get", kind, name, *where, "-o", "json"))
        annotations = stored["metadata"].get("annotations", {})
        for key in HELM_AND_CONTROLLERS:
            annotations.pop(key, None)
        if not annotations and "annotations" not in rendered["metadata"]:
            stored["metadata"].pop("annotations", None)
        if differs := differences(rendered, stored):
            found[f"{rendered['kind']} {name}"] = differs
    assert not found, "\n".join(f"{name}\n    " + "\n    ".join(each) for name, each in found.items())
