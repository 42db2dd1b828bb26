"""Every image address of a chart comes from its values.yaml, or is told with file and line. By the real Helm.

The charts are made for the test, with the leftovers that public charts have (docs/osc-packages.md names some).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import DEPLOYMENT, FILES, HELPERS, VALUES, write

Check = Callable[..., Any]


def pod(image: str, *, kind: str = "Pod", extra: str = "") -> str:
    head = f"apiVersion: v1\nkind: {kind}\nmetadata: {{name: x{extra}}}\n"
    return head + f"spec:\n  containers:\n    - name: c\n      image: {image}\n"


def found(result: Any, rule: str | None = None) -> list[tuple[str, int | None]]:
    return [(f.file, f.line) for f in result.findings if rule in (None, f.rule)]


def test_a_chart_whose_addresses_are_all_values_is_clean_and_says_of_which(check: Check, tmp_path: Path) -> None:
    result = check(write(tmp_path / "shop", FILES))
    assert result.findings == []
    assert [(image["address"], image["values"]) for image in result.images] == [
        ("docker.io/acme/shop:1.0", ["image.registry", "image.repository"])
    ]


HOOK = pod("busybox:1.36", extra=', annotations: {"helm.sh/hook": pre-install}')
JOB = """apiVersion: batch/v1
kind: Job
metadata: {name: setup}
spec:
  template:
    spec:
      initContainers:
        - name: wait
          image: docker.io/library/busybox:1.36
      containers:
        - name: setup
          image: {{ include "shop.image" . }}
      restartPolicy: Never
"""
LEFT = {
    "a plain container": ({"templates/pod.yaml": pod("nginx")}, ("templates/pod.yaml", 7)),
    "a hook": ({"templates/hook.yaml": HOOK}, ("templates/hook.yaml", 7)),
    "an init container of a job": ({"templates/job.yaml": JOB}, ("templates/job.yaml", 9)),
    "a test": ({"templates/tests/test.yaml": pod("bats/bats:1.1.0")}, ("templates/tests/test.yaml", 7)),
    "a helper": (
        {
            "templates/_wait.tpl": '{{- define "wait.image" -}}\nquay.io/acme/wait:1\n{{- end }}\n',
            "templates/pod.yaml": pod('{{ include "wait.image" . }}'),
        },
        ("templates/_wait.tpl", 2),
    ),
    "a registry in a helper": (
        {
            "templates/_helpers.tpl": HELPERS.replace("{{ .Values.image.registry }}", "gcr.io"),
        },
        ("templates/_helpers.tpl", 2),
    ),
    "a default in a template": (
        {
            "templates/pod.yaml": pod('{{ .Values.sidecar.image | default "ghcr.io/acme/sidecar:3" }}'),
            "values.yaml": VALUES + "sidecar:\n  image: ''\n",
        },
        ("templates/pod.yaml", 7),
    ),
    "a default registry": (
        {
            "templates/pod.yaml": pod('{{ default "docker.io" .Values.side.registry }}/{{ .Values.side.repository }}'),
            "values.yaml": VALUES + "side:\n  registry: ''\n  repository: acme/side\n",
        },
        ("templates/pod.yaml", 7),
    ),
    "an annotation": (
        {
            "templates/pod.yaml": pod(
                "{{ .Values.metrics.image }}", extra=", annotations: {proxy.example/image: 'proxy:1'}"
            )
        },
        ("templates/pod.yaml", 3),
    ),
    "an annotation's text": (
        {
            "templates/pod.yaml": pod(
                "{{ .Values.metrics.image }}", extra=", annotations: {inject: 'use=quay.io/acme/proxy:1'}"
            )
        },
        ("templates/pod.yaml", 3),
    ),
    "an argument": (
        {"templates/pod.yaml": pod("{{ .Values.metrics.image }}") + "      args: ['--reloader-image=reloader:1']\n"},
        ("templates/pod.yaml", 8),
    ),
    "an environment variable": (
        {
            "templates/pod.yaml": pod("{{ .Values.metrics.image }}")
            + "      env:\n        - name: RELATED_IMAGE_DB\n          value: acme/db:1\n"
        },
        ("templates/pod.yaml", 10),
    ),
    "a pod template in a ConfigMap": (
        {
            "templates/cm.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata:\n"
            "  pod.yaml: |\n    spec:\n      containers:\n      - image: alpine:3\n"
        },
        ("templates/cm.yaml", 8),
    ),
    "a branch that is off": (
        {
            "templates/pod.yaml": "{{- if .Values.backup.enabled }}\n" + pod("acme/backup:1") + "{{- end }}\n",
            "values.yaml": VALUES + "backup: {enabled: false}\n",
        },
        ("templates/pod.yaml", 8),
    ),
    "a branch that is open when another is off": (
        {
            "templates/pod.yaml": "{{- if not .Values.own.enabled }}\n" + pod("acme/builtin:1") + "{{- end }}\n",
            "values.yaml": VALUES + "own: {enabled: true}\n",
        },
        ("templates/pod.yaml", 8),
    ),
    "a branch of an API that few clusters serve": (
        {
            "templates/pod.yaml": '{{- if .Capabilities.APIVersions.Has "acme.example/v1" }}\n'
            + pod("acme/rare:1")
            + "{{- end }}\n"
        },
        ("templates/pod.yaml", 8),
    ),
    "a sub-chart's own values": (
        {
            "charts/db/Chart.yaml": "apiVersion: v2\nname: db\nversion: 1.0.0\n",
            "charts/db/values.yaml": "tag: 1\nimage:\n  repository: acme/db\n",
            "charts/db/templates/pod.yaml": pod("{{ .Values.image.repository }}"),
        },
        ("charts/db/values.yaml", 3),
    ),
    "a CRD's default": (
        {
            "crds/x.yaml": "apiVersion: apiextensions.k8s.io/v1\nkind: CustomResourceDefinition\n"
            "metadata: {name: x}\nspec:\n"
            "  versions:\n    - schema:\n        openAPIV3Schema:\n          properties:\n            image:\n"
            "              type: string\n              default: quay.io/acme/x:1\n"
        },
        ("crds/x.yaml", 11),
    ),
}


@pytest.mark.parametrize("where", LEFT)
def test_an_address_left_over_is_told_with_file_and_line(check: Check, tmp_path: Path, where: str) -> None:
    files, (file, line) = LEFT[where]
    result = check(write(tmp_path / "shop", {**FILES, **files}))
    assert found(result) == [(f"shop/{file}", line)], [str(f) for f in result.findings]
    assert result.findings[0].rule == "image-from-values"
    assert not result.findings[0].warning


def test_a_literal_in_a_branch_that_no_values_reach_is_told_all_the_same(check: Check, tmp_path: Path) -> None:
    hidden = '{{- if eq .Values.mode "cluster" }}\n' + pod("acme/cluster:1") + "{{- end }}\n"
    files = {**FILES, "templates/pod.yaml": hidden, "values.yaml": VALUES + "mode: single\n"}
    result = check(write(tmp_path / "shop", files))
    assert [(f.rule, f.file, f.line) for f in result.errors] == [("image-literal", "shop/templates/pod.yaml", 8)]
    reached = check(tmp_path / "shop", values=[("cluster.yaml", {"mode": "cluster"})])
    assert [(f.rule, f.line) for f in reached.errors] == [("image-from-values", 8)]


def test_a_fallback_that_the_values_cover_is_a_warning(check: Check, tmp_path: Path) -> None:
    helpers = HELPERS.replace(".Values.image.registry", '.Values.image.registry | default "docker.io"')
    result = check(write(tmp_path / "shop", {**FILES, "templates/_helpers.tpl": helpers}))
    assert result.errors == []
    assert found(result, "image-literal") == [("shop/templates/_helpers.tpl", 2)]


def test_comments_documentation_and_urls_are_no_addresses(check: Check, tmp_path: Path) -> None:
    more = (
        "# image: busybox:1\n{{/*\nimage: busybox:2\n*/}}\n"
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  labels: {app.kubernetes.io/name: shop}\n"
        "data:\n  url: https://docker.io/acme/shop:1\n  policy: IfNotPresent\n"
    )
    files = {**FILES, "templates/cm.yaml": more, "templates/NOTES.txt": "docker pull docker.io/acme/shop:1\n"}
    assert check(write(tmp_path / "shop", files)).findings == []


def test_values_of_any_name_count_as_values(check: Check, tmp_path: Path) -> None:
    files = {
        **FILES,
        "values.yaml": VALUES + "sidecar: busybox:1.36\nhosts: {pull: mirror.example}\n",
        "templates/a.yaml": pod("{{ .Values.sidecar }}"),
        "templates/b.yaml": pod("{{ .Values.hosts.pull }}/acme/b:1"),
    }
    assert check(write(tmp_path / "shop", files)).findings == []


def test_switches_that_exclude_each_other_are_tried_one_by_one(check: Check, tmp_path: Path) -> None:
    either = '{{- if and .Values.a .Values.b }}{{ fail "one of a and b" }}{{ end }}\n'
    files = {
        **FILES,
        "values.yaml": VALUES + "a: false\nb: false\n",
        "templates/a.yaml": either + "{{- if .Values.b }}\n" + pod("acme/b:1") + "{{- end }}\n",
    }
    result = check(write(tmp_path / "shop", files))
    assert found(result) == [("shop/templates/a.yaml", 9)]
    assert "with b=true" in result.findings[0].message


def test_a_chart_that_does_not_render_is_told_in_helms_words(check: Check, tmp_path: Path) -> None:
    files = {**FILES, "templates/a.yaml": '{{ required "a password is needed" .Values.password }}\n'}
    folder = write(tmp_path / "shop", files)
    result = check(folder)
    assert [f.rule for f in result.errors] == ["chart-renders"]
    assert "a password is needed" in result.errors[0].message
    assert check(folder, values=[("site.yaml", {"password": "# x"})]).errors == []


def test_a_chart_that_guards_its_values_by_a_schema_is_looked_at_all_the_same(check: Check, tmp_path: Path) -> None:
    schema = '{"properties": {"image": {"properties": {"registry": {"enum": ["docker.io"]}}}}}'
    files = {**FILES, "values.schema.json": schema, "templates/pod.yaml": pod("nginx")}
    assert found(check(write(tmp_path / "shop", files))) == [("shop/templates/pod.yaml", 7)]


def test_a_chart_for_another_kubernetes_than_helm_imagines_is_looked_at(check: Check, tmp_path: Path) -> None:
    files = {**FILES, "Chart.yaml": FILES["Chart.yaml"] + 'kubeVersion: ">=1.99.0-0"\n'}
    assert check(write(tmp_path / "shop", files)).findings == []


def test_a_chart_without_its_dependencies_is_told_what_to_do(check: Check, tmp_path: Path) -> None:
    needs = "dependencies:\n  - {name: db, version: 1.0.0, repository: https://charts.example}\n"
    (finding,) = check(write(tmp_path / "shop", {**FILES, "Chart.yaml": FILES["Chart.yaml"] + needs})).errors
    assert finding.rule == "chart-renders"
    assert "Put its dependencies into charts/" in finding.message


def test_our_own_chart_is_clean(check: Check) -> None:
    from .conftest import CLONE  # noqa: PLC0415

    result = check(CLONE / "charts/colocation-package", source="ISV")
    # The mark is added when it is packed; nothing else is wrong.
    assert [f.rule for f in result.findings] == ["source-mark"]
    assert {image["values"][0] for image in result.images} == {"image.registry"}


def test_deployment_is_what_the_tests_think(check: Check, tmp_path: Path) -> None:
    """The clean chart is clean for its templates, not for want of looking: one character less, and it is not."""
    files = {**FILES, "templates/deployment.yaml": DEPLOYMENT.replace("{{ .Values.metrics.image }}", "metrics:2")}
    assert found(check(write(tmp_path / "shop", files))) == [("shop/templates/deployment.yaml", 14)]
