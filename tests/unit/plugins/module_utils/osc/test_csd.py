from __future__ import annotations

import json

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _csd

CRD = {
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "kafkas.example"},
    "spec": {
        "versions": [
            {"schema": {"openAPIV3Schema": {"properties": {"spec": {"properties": {"proxy": {"type": "string"}}}}}}}
        ]
    },
}
REQUIRED = """apiVersion: osc.io/v1beta1
kind: CustomServiceDefinition
metadata: {name: kafka-csd}
spec:
  CRDRef: {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: kafkas.example}}
"""


def csd(definition="", configuration=None, values=None, head=REQUIRED, crds=(CRD,), examples=()):
    text = head + (f"  defaultConfiguration: '{json.dumps(configuration)}'\n" if configuration else "") + definition
    return _csd.Csd(text, "manifests/kafka_csd.yaml", list(crds), values, examples)


def definition(mode, path, tags):
    return f"  versionDefinition:\n    mode: {mode}\n    path: {path}\n    tags:\n" + "".join(f"    - {t}\n" for t in tags)


URL = {"spec": {"image": "quay.io/kafka:0.0.1", "replicas": 3}}
VALUES = {"clickhouse": {"imageVersion": "21.3"}}


@pytest.mark.parametrize(
    "made",
    [
        csd(),
        csd(definition("url", "spec.image", ["0.0.1", "0.0.2"]), URL),
        csd(definition("tag", "clickhouse.imageVersion", ['"21.3"', '"21.8"']), values=VALUES),
        csd(definition("url", "spec.image", ["0.0.1"]), examples=[URL]),
        csd(definition("url", "spec.proxy", ["0.0.1"])),  # only the CRD's schema knows it
        csd(definition("tag", "a.0.version", ["1.0.1"]), values={"a": [{"version": ""}]}),
    ],
)
def test_sound_definitions_pass(made):
    assert list(made.check()) == []


@pytest.mark.parametrize(
    ("made", "rule", "line", "answer"),
    [
        (csd(head=REQUIRED.replace("v1beta1", "v1")), "csd-syntax", 2, "osc.io/v1beta1"),
        (csd(head=REQUIRED.replace("kafkas.example", "other.example")), "csd-syntax", 5, "kafkas.example"),
        (csd(definition("digest", "spec.image", ["0.0.1"]), URL), "csd-version", 8, "url or tag"),
        (csd("  versionDefinition: {mode: url, tags: [a]}\n", URL), "csd-version", 7, "path is missing"),
        (csd("  versionDefinition: {mode: url, path: spec.image, tags: []}\n", URL), "csd-version", 7, "tags are missing"),
        (csd("  versionDefinition: nonsense\n"), "csd-version", 6, "not a mapping"),
        (csd(definition("url", "spec.img", ["0.0.1"]), URL), "csd-path", 9, "spec.img is not in the custom resource"),
        (csd(definition("tag", "clickhouse.version", ["a"]), values=VALUES), "csd-path", 8, "not in values.yaml"),
        (csd(definition("tag", "spec.image", ["0.0.1"]), URL), "csd-path", 9, "mode url is for addresses"),
        (csd(definition("url", "spec.replicas", ["0.0.1"]), URL), "csd-path", 9, "no address with a tag"),
        (csd(definition("url", "spec", ["0.0.1"]), URL), "csd-path", 9, "holds dict"),
        (csd(definition("url", "spec.image", ["0.0.1", "0.0.1"]), URL), "csd-tags", 12, "twice"),
        (csd(definition("url", "spec.image", ["2.0"]), URL), "csd-tags", 11, "put it into quotes"),
        (csd(definition("url", "spec.image", ["-a"]), URL), "csd-tags", 11, "no valid image tag"),
        (csd(definition("url", "spec.image", ["a/b"]), URL), "csd-tags", 11, "no valid image tag"),
        (_csd.Csd(REQUIRED + "  defaultConfiguration: '{'\n" + definition("url", "a", ["b"]), "f", [CRD]), "csd-syntax", 6, "not JSON"),
    ],
)
def test_what_is_wrong_with_a_definition_is_told_with_its_line(made, rule, line, answer):
    findings = list(made.check())
    assert [(f.rule, f.line) for f in findings] == [(rule, line)]
    assert answer in findings[0].message
    assert made.versions() is None


def test_upgrades_and_rollback_follow_from_the_definition_by_url():
    found = csd(definition("url", "spec.image", ["0.0.10", "0.0.1", "0.0.2"]), URL).versions()
    assert found["current"] == "0.0.1"
    assert found["upgrades"] == [
        {"tag": "0.0.2", "value": "quay.io/kafka:0.0.2"},
        {"tag": "0.0.10", "value": "quay.io/kafka:0.0.10"},
    ]
    assert found["rollback"] == {"tag": "0.0.1", "value": "quay.io/kafka:0.0.1"}


def test_upgrades_and_rollback_follow_from_the_definition_by_tag():
    found = csd(definition("tag", "clickhouse.imageVersion", ['"21.3"', '"21.8"']), values=VALUES).versions()
    assert (found["upgrades"], found["rollback"]) == (
        [{"tag": "21.8", "value": "21.8"}],
        {"tag": "21.3", "value": "21.3"},
    )


def test_tags_are_ordered_as_versions():
    tags = ["1.0.0", "v1.10.0", "1.2.0", "1.2.0-rc1", "1.2.0-20260101", "latest"]
    assert _csd.newer(tags, None) == ["1.0.0", "1.2.0-rc1", "1.2.0", "1.2.0-20260101", "v1.10.0", "latest"]
    assert _csd.newer(tags, "1.2.0") == ["1.2.0-20260101", "v1.10.0", "latest"]
    assert _csd.newer(tags, "latest") == []
