from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _reference, _values
from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._reference import Reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("busybox", (None, "busybox", None, None)),
        ("busybox:1.36", (None, "busybox", "1.36", None)),
        ("bitnami/etcd:3.5.0-debian-10-r44", (None, "bitnami/etcd", "3.5.0-debian-10-r44", None)),
        ("docker.io/bitnami/etcd", ("docker.io", "bitnami/etcd", None, None)),
        ("localhost/a/b:1", ("localhost", "a/b", "1", None)),
        ("localhost:5000/a:1", ("localhost:5000", "a", "1", None)),
        ("registry:5000/a", ("registry:5000", "a", None, None)),
        ("10.0.0.1:5000/a/b@" + DIGEST, ("10.0.0.1:5000", "a/b", None, DIGEST)),
        ("swr.cn-east-3.myhuaweicloud.com/osc-opensource/redis:0.0.1", ("swr.cn-east-3.myhuaweicloud.com", "osc-opensource/redis", "0.0.1", None)),
    ],
)
def test_addresses_are_read_as_docker_reads_them(text, parts):
    assert _reference.parse(text) == Reference(*parts)
    assert str(Reference(*parts)) == text


@pytest.mark.parametrize("text", ["", "Busybox", "a b", "a:", "a//b", "https://a.example/b:1", "a:" + "x" * 129, "{{ .Values.image }}"])
def test_what_is_no_address_is_none(text):
    assert _reference.parse(text) is None


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("--reloader=quay.io/x/reloader:v1 --log=info", ["quay.io/x/reloader:v1"]),
        ("see https://quay.io/x/y:v1 for more", []),
        ("app.kubernetes.io/name and policy/v1", []),
        ("rbac.authorization.k8s.io/v1", []),
        ("listen on host.example/path:", []),
        ("pulls from docker.io/library/nginx", ["docker.io/library/nginx"]),
        ("kind: Pod\nspec:\n  containers:\n  - image: busybox\n", ["busybox"]),
        ('{"image": "alpine:3"}\n{}', []),
        ('a:\n  "image": "alpine:3",\n', ["alpine:3"]),
        ("image: Always\nb: c", []),
        ("--sidecar-image=busybox:1", ["busybox:1"]),
        ("git@example.com/x:main", []),
    ],
)
def test_addresses_are_found_in_text_and_nothing_else_is(text, found):
    assert _reference.in_text(text) == found


def test_addresses_are_found_wherever_objects_have_them():
    tree = {
        "metadata": {"annotations": {"sidecar.example/image": "proxy:1", "note": "from quay.io/a/note:2"}},
        "spec": {
            "initContainers": [{"name": "init", "image": "init:1"}],
            "containers": [
                {
                    "image": "app:1",
                    "imagePullPolicy": "Always",
                    "args": ["--helper-image=helper:1"],
                    "env": [{"name": "RELATED_IMAGE_X", "value": "related:1"}, {"name": "IMAGE_PULL_POLICY", "value": "Never"}],
                }
            ],
            "operand": {"repository": "operand", "tag": "7"},
        },
        "data": {"pod.yaml": "spec:\n  containers:\n  - image: inner:1\n"},
    }
    assert sorted(address for _path, address in _reference.in_tree(tree)) == sorted(
        ["proxy:1", "quay.io/a/note:2", "init:1", "app:1", "helper:1", "related:1", "operand:7", "inner:1"]
    )


def test_every_value_that_holds_an_address_is_marked_and_nothing_else():
    values = {
        "image": {"registry": "docker.io", "repository": "bitnami/etcd", "tag": "3", "pullPolicy": "Always", "digest": ""},
        "whole": {"image": "busybox:1.36"},
        "named": {"image": {"name": "quay.io/a/b", "tag": "1"}},
        "global": {"imageRegistry": "", "hub": "gcr.io/istio"},
        "args": ["--x=ghcr.io/a/b:1", "--y=2"],
        "chartRepo": {"repository": "https://charts.example/stable"},
        "composed": {"image": "{{ .Values.image.registry }}/x"},
        "basic": {"scheduler_image_name": "volcanosh/vc-scheduler"},
    }
    made, paths = _values.marked(values)
    assert made["image"] == {**values["image"], "registry": "r0.osc.invalid", "repository": "r1.osc.invalid/bitnami/etcd"}
    assert made["whole"]["image"] == "r2.osc.invalid/busybox:1.36"
    assert made["named"]["image"]["name"] == "r3.osc.invalid/a/b"
    assert made["global"] == {"imageRegistry": "", "hub": "r4.osc.invalid/istio"}
    assert made["args"] == ["--x=r5.osc.invalid/a/b:1", "--y=2"]
    assert made["basic"]["scheduler_image_name"] == "r6.osc.invalid/volcanosh/vc-scheduler"
    assert (made["chartRepo"], made["composed"]) == (values["chartRepo"], values["composed"])
    assert len(paths) == 7


def test_values_are_laid_over_each_other_as_helm_does():
    assert _values.merged({"a": {"b": 1, "c": 2}, "l": [1, 2]}, {"a": {"b": None, "d": 3}, "l": [3]}) == {
        "a": {"c": 2, "d": 3},
        "l": [3],
    }
