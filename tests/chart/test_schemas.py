"""What the chart renders, against the schemas of every Kubernetes it may meet and of all its kinds (kubeconform)."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from colocation.model.policy import PolicySpec
from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tests.lab.config import CLONE
from tools import crds
from tools.environment import environment

from .conftest import DATA, KUBERNETES, render_everything

SCHEMAS = CLONE / "requirements/schemas.txt"
OPERATOR_CRDS = DATA / "prometheus-operator-crds.yaml"


@pytest.fixture(scope="session")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """JSON schemas of our two CRDs and of the Prometheus Operator's three, from their CRDs."""
    folder = tmp_path_factory.mktemp("schemas")
    kinds = [crds.POLICY.manifest(), crds.NODE.manifest(), *yaml.safe_load_all(OPERATOR_CRDS.read_text())]
    for crd in kinds:
        for version in crd["spec"]["versions"]:
            name = f"{crd['spec']['names']['kind']}-{crd['spec']['group']}-{version['name']}.json".lower()
            (folder / name).write_text(json.dumps(_closed(version["schema"]["openAPIV3Schema"])))
    return folder


def _closed(schema: Any) -> Any:
    """The schema, saying no to fields it does not name."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and schema.get("properties"):
        closed.setdefault("additionalProperties", False)
    if schema.get("nullable") is True:  # OpenAPI's word, which JSON Schema does not know
        closed["type"] = [schema["type"], "null"]
    return closed


def _bundled(kube: str, kinds: set[str], folder: Path) -> Path:
    """The API's own schemas of one version, from PyPI's kubernetes-validate: a file a kind, with what it refers to.

    As they are bundled, kubeconform can neither follow their references nor read them in less than seconds.
    """
    target = folder / kube
    if not target.is_dir():
        target.mkdir()
        (schemas,) = environment(SCHEMAS).parent.glob("lib/python3.*/site-packages/kubernetes_validate")
        source = schemas / "kubernetes-json-schema" / f"v{kube}-local-strict"
        definitions = json.loads((source / "_definitions.json").read_text())["$defs"]
        for kind in kinds:
            (path,) = source.glob(f"{kind.lower()}-*v1.json")
            text = path.read_text()
            wanted, needed = _references(text), {}
            while wanted:
                name = wanted.pop()
                needed[name] = definitions[name]
                wanted |= _references(json.dumps(definitions[name])) - set(needed)
            schema = json.loads(text) | {"$defs": needed}
            schema.pop("$id")
            (target / path.name).write_text(json.dumps(schema).replace("/api/_definitions.json#", "#"))
    return target


def _references(text: str) -> set[str]:
    return set(re.findall(r"#/\$defs/([^\"]+)", text))


def kubeconform(manifests: str, kube: str, own: Path) -> subprocess.CompletedProcess[str]:
    binaries.ensure("kubeconform")
    kinds = {d["kind"] for d in yaml.safe_load_all(manifests) if d and ".openfuyao.com" not in d["apiVersion"]}
    kinds -= {"ServiceMonitor", "PodMonitor", "PrometheusRule"}
    command = [
        str(binaries.path("kubeconform")),
        "-strict",
        "-summary",
        f"-kubernetes-version={kube}",
        f"-schema-location={_bundled(kube, kinds, own)}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        f"-schema-location={own}/{{{{.ResourceKind}}}}-{{{{.Group}}}}-{{{{.ResourceAPIVersion}}}}.json",
    ]
    return subprocess.run(command, input=manifests, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kube", KUBERNETES)
def test_everything_rendered_is_valid_and_nothing_is_skipped(kube: str, own: Path) -> None:
    text = render_everything(kube)
    done = kubeconform(text, kube, own)
    assert done.returncode == 0, done.stdout
    count = sum(1 for document in yaml.safe_load_all(text) if document)
    assert f"Summary: {count} resources found" in done.stdout
    assert f"Valid: {count}, Invalid: 0, Errors: 0, Skipped: 0" in done.stdout


def policy(**spec: Any) -> str:
    body = {"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": "ColocationPolicy", "metadata": {"name": "x"}}
    return yaml.safe_dump({**body, "spec": spec})


def test_policies_are_checked_before_any_cluster_sees_them(own: Path) -> None:
    assert kubeconform(policy(**msgspec.to_builtins(PolicySpec())), "1.36.0", own).returncode == 0
    wrongs: list[dict[str, Any]] = [
        {"oversel": {}},
        {"oversell": {"cpu": {"reclaimPercent": 101}}},
        {"engine": "magic"},
    ]
    for wrong in wrongs:
        assert "Invalid: 1" in kubeconform(policy(**wrong), "1.36.0", own).stdout, wrong


def test_a_misspelt_field_of_a_monitor_is_seen(own: Path) -> None:
    text = render_everything("1.36.0").replace("targetLabel: node", "targetLable: node")
    assert "targetLable" in kubeconform(text, "1.36.0", own).stdout


def test_a_real_api_server_with_the_operators_kinds_takes_all_of_it_strictly(api: ApiServer) -> None:
    api.kubectl("apply", "--server-side", "-f", str(OPERATOR_CRDS))
    names = [f"crd/{crd['metadata']['name']}" for crd in yaml.safe_load_all(OPERATOR_CRDS.read_text())]
    api.kubectl("wait", *names, "--for=condition=Established", "--timeout=20s")
    text = render_everything("1.36.0")
    answer = api.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=text)
    assert len(answer.splitlines()) == sum(1 for document in yaml.safe_load_all(text) if document)
    for kind in ("servicemonitor", "podmonitor", "prometheusrule", "networkpolicy", "poddisruptionbudget", "configmap"):
        assert kind in answer
