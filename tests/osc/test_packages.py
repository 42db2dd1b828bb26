"""Packages of all three forms: built, taken apart, and held against the rules, by the real Helm."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from build import image, oci
from build.paths import version
from tests.lab import binaries

from .conftest import CHART, CLONE, FILES, VALUES, image_archive, run, write

Check = Callable[..., Any]
Build = Callable[..., Path]
OURS = CLONE / "charts/colocation-package"


def rules(result: Any) -> list[tuple[str, str, int | None]]:
    return [(f.rule, f.file, f.line) for f in result.errors]


def names(archive: Path) -> list[str]:
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive) as opened:
            return opened.namelist()
    with tarfile.open(archive) as opened:
        return opened.getnames()


@pytest.fixture(scope="session")
def sound(helm: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service folder that keeps all rules."""
    from ansible_collections.openfuyao.colocation.plugins.module_utils.osc import _build, _package  # noqa: PLC0415

    place = tmp_path_factory.mktemp("sound")
    recipe = _build.Recipe(str(write(place / "src/shop", FILES)), images=images(place))
    made = _build.build(recipe, _package.Options(helm=helm, run=run), str(place))
    with zipfile.ZipFile(made) as opened:
        opened.extractall(place / "unpacked")
    return place / "unpacked/shop"


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    """The same, to be spoilt."""
    return Path(shutil.copytree(sound, tmp_path / "shop"))


def images(folder: Path, *, name: str = "shop", version: str = "1.0") -> list[dict[str, Any]]:
    archives = {
        "x86_64": str(image_archive(folder / f"{name}-amd.tar", "amd64")),
        "aarch64": str(image_archive(folder / f"{name}-arm.tar", "arm64")),
    }
    return [{"name": name, "version": version, "archives": archives}]


# Our own chart


def test_our_own_chart_with_images_for_both_architectures_is_a_sound_bundle(
    check: Check, build: Build, tmp_path: Path
) -> None:
    both = images(tmp_path, name="colocation-manager", version="0.1.0")
    both += images(tmp_path, name="colocation-overquota-agent", version="0.1.0")
    made = build(OURS, images=both)
    result = check(made)
    assert [str(f) for f in result.findings] == []
    assert (result.form, result.name) == ("helm", "colocation-package")
    with zipfile.ZipFile(made) as opened:
        mapping = yaml.safe_load(opened.read("colocation-package/images/mapping.yaml"))
        with tarfile.open(fileobj=io.BytesIO(opened.read(f"colocation-package/package/{made.stem}.tgz"))) as chart:
            stream = chart.extractfile("colocation-package/Chart.yaml")
            assert stream is not None
            text = stream.read().decode()
    assert [entry["address"] for entry in mapping["instance"]] == [
        {"endpoint": "image.registry", "repo": f"{who}.repository", "tag": "image.tag"} for who in ("manager", "agent")
    ]
    original = (OURS / "Chart.yaml").read_text()
    assert yaml.safe_load(text)["annotations"]["source"] == "ISV"
    assert [line for line in text.splitlines() if line not in original.splitlines()] == ["  source: ISV"]


def test_our_own_images_as_they_are_built_are_taken_for_both_architectures(
    check: Check, build: Build, tmp_path: Path
) -> None:
    if not image.LAYOUT.exists():
        pytest.skip("needs `make image`, which `make test` runs before")
    made = oci.load(image.LAYOUT)
    archives = {}
    for architecture, machine in oci.MACHINES.items():
        archives[machine] = str(tmp_path / f"{machine}.tar")
        oci.pack_one(made, architecture, image.tags(), Path(archives[machine]))
    both = [{"name": name.rsplit("/", 1)[1], "version": version(), "archives": archives} for name in image.NAMES]
    bundle = build(OURS, images=both)
    assert [str(f) for f in check(bundle).findings] == []
    with zipfile.ZipFile(bundle) as opened:
        assert len([name for name in opened.namelist() if name.endswith(".tar")]) == len(archives)
    archives["x86_64"] = archives["aarch64"]
    assert "image-archive" in [rule for rule, _f, _l in rules(check(build(OURS, images=both)))]


def test_the_same_inputs_make_the_same_archive_bit_for_bit(build: Build, tmp_path: Path) -> None:
    made = []
    for where in ("a", "b"):
        folder = tmp_path / where / "shop"
        write(folder, dict(reversed(FILES.items()) if where == "b" else FILES.items()))
        for number, path in enumerate(sorted(folder.rglob("*"))):
            os.utime(path, (10**9 + number, 10**9 + number + len(where)))
        made.append(build(folder, images=images(tmp_path / where)).read_bytes())
    assert made[0] == made[1]


def test_a_package_of_a_package_is_the_same_package(build: Build, tmp_path: Path) -> None:
    first = build(write(tmp_path / "shop", FILES), how={"profile": "console"})
    assert first.name == "shop-1.0.0.tgz"
    assert build(first, how={"profile": "console"}).read_bytes() == first.read_bytes()
    bundle = build(tmp_path / "shop", images=images(tmp_path))
    assert build(bundle).read_bytes() == bundle.read_bytes()


def test_what_helmignore_names_and_what_helm_leaves_out_is_not_in_the_package(build: Build, tmp_path: Path) -> None:
    files = {**FILES, ".helmignore": "*.secret\n", "a.secret": "x", "templates/.hidden": "x", "README.md": "# shop\n"}
    made = build(write(tmp_path / "shop", files), how={"profile": "console"})
    assert "shop/README.md" in names(made)
    assert not [name for name in names(made) if "secret" in name or "hidden" in name]


@pytest.mark.parametrize("which", ["helm", "helm3"])
def test_helm_installs_what_was_built_as_it_would_the_chart(build: Build, tmp_path: Path, which: str) -> None:
    binaries.ensure(which)
    helm = str(binaries.path(which))
    made = build(write(tmp_path / "shop", FILES), how={"profile": "console"})
    outputs = [run([helm, "template", "x", str(chart)], {})[1] for chart in (made, tmp_path / "shop")]
    assert outputs[0] == outputs[1]
    assert "docker.io/acme/shop:1.0" in outputs[0]


# mapping.yaml


MAPPING = """instance:
- image: shop
  tag: "1.0"
  address:
    endpoint: image.registry
    repo: image.repository
    tag: image.tag
  package:
    aarch64: shop-1.0-aarch64.tar
    x86_64: shop-1.0-x86_64.tar
"""


@pytest.mark.parametrize(
    ("old", "new", "rule", "line"),
    [
        ("repo: image.repository", "repo: image.repo", "mapping-path", 6),
        ("    repo: image.repository\n", "", "mapping-complete", 1),
        ("endpoint: image.registry", "prefixAddress: image.registry", "mapping-complete", 1),
        ("endpoint:", "host:", "mapping-syntax", 5),
        ('tag: "1.0"', "tag: 1.0", "mapping-syntax", 3),
        ('tag: "1.0"', 'tag: "a/b"', "mapping-syntax", 3),
        ("image: shop", "image: Shop", "mapping-syntax", 2),
        ("x86_64: shop-1.0-x86_64.tar", "x86_64: other-1.0-x86_64.tar", "mapping-archive", 10),
        ("    aarch64: shop-1.0-aarch64.tar\n", "", "mapping-archive", 1),
        ("    aarch64: shop-1.0-aarch64.tar", "    arm64: shop-1.0-aarch64.tar", "mapping-syntax", 9),
        (MAPPING, "instance: []\n", "mapping-syntax", 1),
        (MAPPING, "a: [\n", "yaml-syntax", 2),
    ],
)
def test_a_mapping_that_would_not_do_is_told_with_its_line(
    check: Check, folder: Path, old: str, new: str, rule: str, line: int
) -> None:
    assert (folder / "images/mapping.yaml").read_text() == MAPPING
    found = check(write(folder, {"images/mapping.yaml": MAPPING.replace(old, new)}))
    assert (rule, "images/mapping.yaml", line) in rules(found), [str(f) for f in found.findings]


def test_a_second_image_that_the_mapping_forgets_is_told(check: Check, build: Build, tmp_path: Path) -> None:
    values = VALUES.replace("enabled: false", "enabled: true")
    made = build(write(tmp_path / "shop", {**FILES, "values.yaml": values}), images=images(tmp_path))
    (finding,) = check(made).errors
    assert finding.rule == "mapping-complete"
    assert "quay.io/acme/metrics:2" in finding.message


def test_images_without_a_mapping_are_told(check: Check, folder: Path) -> None:
    (folder / "images/mapping.yaml").unlink()
    assert rules(check(folder)) == [("mapping-complete", "images", None)]


def test_an_image_that_the_chart_does_not_run_needs_an_address(build: Build, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="which values make the address of other"):
        build(write(tmp_path / "shop", FILES), images=images(tmp_path, name="other"))


# Names, sizes, folders


def spoil_two_packages(folder: Path) -> None:
    shutil.copy(folder / "package/shop-1.0.0.tgz", folder / "package/shop-1.0.1.tgz")


def spoil_no_package(folder: Path) -> None:
    (folder / "package/shop-1.0.0.tgz").unlink()


def spoil_other_version(folder: Path) -> None:
    (folder / "package/shop-1.0.0.tgz").rename(folder / "package/shop-1.0.1.tgz")


def spoil_name(folder: Path) -> None:
    (folder / "package/shop-1.0.0.tgz").rename(folder / "package/shop-1.0.0+x.tgz")


def spoil_name_end(folder: Path) -> None:
    (folder / "package/shop-1.0.0.tgz").rename(folder / "package/shop-1.0.0_.tgz")


def spoil_image_name(folder: Path) -> None:
    (folder / "images/shop-1.0-x86_64.tar").rename(folder / "images/shop-1.0-amd64.tar")


def spoil_architecture(folder: Path) -> None:
    shutil.copy(folder / "images/shop-1.0-x86_64.tar", folder / "images/shop-1.0-aarch64.tar")


def spoil_image(folder: Path) -> None:
    with tarfile.open(folder / "images/shop-1.0-x86_64.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("no-image"))


def spoil_images(folder: Path) -> None:
    (folder / "images/README").write_text("x")


def spoil_link(folder: Path) -> None:
    (folder / "images/shop-1.0-x86_64.tar").unlink()
    (folder / "images/shop-1.0-x86_64.tar").symlink_to("/etc/passwd")


@pytest.mark.parametrize(
    ("spoil", "rule", "file"),
    [
        (spoil_two_packages, "layout-package", "package"),
        (spoil_no_package, "layout-package", "package"),
        (spoil_other_version, "layout-chart", "package/shop-1.0.1.tgz"),
        (spoil_name, "name-package", "package/shop-1.0.0+x.tgz"),
        (spoil_name_end, "name-package", "package/shop-1.0.0_.tgz"),
        (spoil_image_name, "name-image", "images/shop-1.0-amd64.tar"),
        (spoil_architecture, "image-archive", "images/shop-1.0-aarch64.tar"),
        (spoil_image, "image-archive", "images/shop-1.0-x86_64.tar"),
        (spoil_images, "layout-images", "images/README"),
        (spoil_link, "archive-link", "images/shop-1.0-x86_64.tar"),
    ],
)
def test_a_service_folder_that_was_spoilt_is_told(check: Check, folder: Path, spoil: Any, rule: str, file: str) -> None:
    spoil(folder)
    assert (rule, file) in [(r, f) for r, f, _line in rules(check(folder))]


def test_the_service_folder_is_sound_before_it_is_spoilt(check: Check, folder: Path) -> None:
    assert check(folder).findings == []


def test_another_thing_in_a_service_folder_is_a_warning(check: Check, folder: Path) -> None:
    (folder / "notes").mkdir()
    result = check(folder)
    assert (rules(result), [f.rule for f in result.findings]) == ([], ["layout-unknown"])


def test_the_console_takes_no_images_and_no_more_than_4_mb(check: Check, build: Build, tmp_path: Path) -> None:
    assert [
        rule
        for rule, _f, _l in rules(
            check(build(write(tmp_path / "shop", FILES), images=images(tmp_path)), profile="console")
        )
    ] == ["limit-images"]
    write(tmp_path / "shop", {"files/big.bin": os.urandom(4 << 20)})
    made = build(tmp_path / "shop", how={"profile": "console"})
    assert rules(check(made, profile="console")) == [("limit-size", "shop-1.0.0.tgz", None)]
    assert rules(check(made, profile="bundle")) == []


def test_five_packages_are_one_upload_and_six_are_not() -> None:
    from ansible_collections.openfuyao.colocation.plugins.modules import osc_package_info  # noqa: PLC0415

    paths = [f"a-{n}.tgz" for n in range(6)]
    assert [f.rule for f in osc_package_info.upload_findings(paths, "console")] == ["limit-count"]
    assert osc_package_info.upload_findings(paths[:5], "console") == []
    assert osc_package_info.upload_findings(paths, "bundle") == []


def test_each_form_has_its_archive_formats(check: Check, build: Build, tmp_path: Path) -> None:
    chart = write(tmp_path / "shop", FILES)
    for suffix in (".tgz", ".tar.gz"):
        assert rules(check(build(chart, how={"profile": "console"}, suffix=suffix))) == []
    with pytest.raises(Exception, match=r"is a \.tgz or \.tar\.gz, not a \.zip"):
        build(chart, how={"profile": "console"}, suffix=".zip")
    with zipfile.ZipFile(tmp_path / "shop-1.0.0.zip", "w") as opened:
        for name, data in FILES.items():
            opened.writestr(f"shop/{name}", data)
    assert rules(check(tmp_path / "shop-1.0.0.zip")) == [("archive-format", "shop-1.0.0.zip", None)]
    for suffix in (".zip", ".tgz", ".tar.gz"):
        assert rules(check(build(chart, suffix=suffix))) == []


@pytest.mark.parametrize(
    ("before", "source", "said"),
    [
        (CHART.replace("annotations:\n  source: ISV\n", ""), "ISV", "missing"),
        (CHART.replace("ISV", "OpenSource"), "ISV", "'OpenSource', not ISV"),
        (CHART, "OpenSource", "'ISV', not OpenSource"),
    ],
)
def test_a_missing_or_other_mark_is_told_and_building_sets_it(
    check: Check, build: Build, tmp_path: Path, before: str, source: str, said: str
) -> None:
    chart = write(tmp_path / "shop", {**FILES, "Chart.yaml": before})
    (finding,) = check(chart, source=source).errors
    assert finding.rule == "source-mark"
    assert said in finding.message
    assert rules(check(build(chart, how={"profile": "console", "source": source}), source=source)) == []


# Operators


CRD = """apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: kafkas.acme.example}
spec:
  group: acme.example
  names: {kind: Kafka, plural: kafkas}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec:
              type: object
              properties:
                image: {type: string, description: "as quay.io/acme/kafka:1"}
"""
CSV = """apiVersion: operators.coreos.com/v1alpha1
kind: ClusterServiceVersion
metadata:
  name: kafka-operator.v1.2.0
  annotations:
    # shown on the page
    capabilities: Full Lifecycle
    containerImage: quay.io/acme/operator:1.2.0
    alm-examples: |-
      [{"apiVersion": "acme.example/v1", "kind": "Kafka", "spec": {"image": "quay.io/acme/kafka:0.0.1"}}]
spec:
  version: 1.2.0
  install:
    strategy: deployment
    spec:
      deployments:
        - name: operator
          spec:
            template:
              spec:
                containers:
                  - name: operator
                    image: quay.io/acme/operator:1.2.0
"""
CSD = """apiVersion: osc.io/v1beta1
kind: CustomServiceDefinition
metadata: {name: kafka-csd}
spec:
  CRDRef: {apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: kafkas.acme.example}}
  versionDefinition:
    mode: url
    path: spec.image
    tags: ["0.0.1", "0.0.2", "0.0.3"]
"""
OPERATOR = {
    "manifests/kafka-operator.clusterserviceversion.yaml": CSV,
    "manifests/kafka_crd.yaml": CRD,
    "metadata/annotations.yaml": "annotations: {operators.operatorframework.io.bundle.package.v1: kafka-operator}\n",
}


def test_an_operator_with_images_and_a_csd_is_a_sound_bundle_whose_instances_can_be_upgraded(
    check: Check, build: Build, tmp_path: Path
) -> None:
    write(tmp_path / "extends", {"kafka_csd.yaml": CSD})
    both = images(tmp_path, name="operator", version="1.2.0") + images(tmp_path, name="kafka", version="0.0.1")
    made = build(write(tmp_path / "bundle", OPERATOR), images=both, extends=str(tmp_path / "extends"))
    assert made.name == "kafka-operator-1.2.0.zip"
    result = check(made)
    assert [str(f) for f in result.findings] == []
    assert {image["address"] for image in result.images} == {"quay.io/acme/operator:1.2.0", "quay.io/acme/kafka:0.0.1"}
    (versions,) = result.versions
    assert [(u["tag"], u["value"]) for u in versions["upgrades"]] == [
        ("0.0.2", "quay.io/acme/kafka:0.0.2"),
        ("0.0.3", "quay.io/acme/kafka:0.0.3"),
    ]
    assert versions["rollback"] == {"tag": "0.0.1", "value": "quay.io/acme/kafka:0.0.1"}
    with zipfile.ZipFile(made) as opened:
        inner = zipfile.ZipFile(io.BytesIO(opened.read("kafka-operator/package/kafka-operator-1.2.0.zip")))
        text = inner.read("kafka-operator/manifests/kafka-operator.clusterserviceversion.yaml").decode()
    assert text == CSV.replace("    # shown on the page\n    cap", "    # shown on the page\n    source: ISV\n    cap")


@pytest.mark.parametrize(
    ("files", "rule", "file", "line"),
    [
        (
            {"manifests/deployment.yaml": "kind: Deployment\nspec:\n  containers:\n    - image: acme/side:1\n"},
            "image-from-csv",
            "manifests/deployment.yaml",
            4,
        ),
        (
            {"manifests/config.yaml": "kind: ConfigMap\ndata:\n  operand: quay.io/acme/kafka:1\n"},
            "image-from-csv",
            "manifests/config.yaml",
            3,
        ),
        (
            {"manifests/kafka_crd.yaml": CRD.replace('description: "as ', 'default: "')},
            "image-from-csv",
            "manifests/kafka_crd.yaml",
            19,
        ),
        ({"manifests/second.clusterserviceversion.yaml": CSV}, "layout-operator", "", None),
        ({"manifests/kafka_crd.yaml": "kind: ConfigMap\n"}, "layout-operator", "", None),
        ({"manifests/broken.yaml": "a: [\n"}, "yaml-syntax", "manifests/broken.yaml", 2),
        ({"manifests/csd.yaml": CSD.replace("spec.image", "spec.img")}, "csd-path", "manifests/csd.yaml", 8),
        ({"manifests/csd.yaml": CSD.replace("0.0.3", "0.0.1")}, "csd-tags", "manifests/csd.yaml", 9),
        ({"manifests/latin.yaml": "a: caf\u00e9\n".encode("latin-1")}, "encoding", "manifests/latin.yaml", 1),
    ],
)
def test_what_is_wrong_with_an_operator_is_told_with_file_and_line(
    check: Check, tmp_path: Path, files: dict[str, Any], rule: str, file: str, line: int | None
) -> None:
    marked = {
        name: text.replace("annotations:\n", "annotations:\n    source: ISV\n") for name, text in OPERATOR.items()
    }
    bundle = write(tmp_path / "kafka", marked)
    sound = check(bundle)
    assert sound.findings == [], [str(f) for f in sound.findings]
    write(bundle, files)
    result = check(bundle)
    assert (rule, f"kafka/{file}".rstrip("/"), line) in rules(result), [str(f) for f in result.findings]


# OSC's own form


LIFECYCLE = """install:
  strategy: deployment
  deployments:
    - name: operator
      spec:
        template:
          spec:
            containers:
              - name: operator
                image: quay.io/acme/operator:1.2.0
upgrade: {replaces: 1.1.0}
"""
CONFIGURATION = json.dumps(
    {"apiVersion": "acme.example/v1", "kind": "Kafka", "spec": {"image": "quay.io/acme/kafka:0.0.1"}}
)
OSC = {
    "metadata.yaml": """name: kafka
version: "1.2.0"
# whose
source: ISV
type: operator
containerImage: quay.io/acme/operator:1.2.0
""",
    "lifecycle.yaml": LIFECYCLE,
    "manifests/kafka_crd.yaml": CRD,
    "manifests/kafka_csd.yaml": CSD + f"  defaultConfiguration: '{CONFIGURATION}'\n",
    "manifests/vendor/monitor_config.yaml": "apiVersion: osc.io/v1\nkind: MonitorConfig\n",
}


def test_a_package_in_oscs_own_form_is_built_and_sound(check: Check, build: Build, tmp_path: Path) -> None:
    made = build(write(tmp_path / "kafka", OSC), images=images(tmp_path, name="kafka", version="0.0.1"))
    result = check(made)
    assert [str(f) for f in result.findings] == []
    assert result.form == "osc"
    assert {image["address"] for image in result.images} == {"quay.io/acme/operator:1.2.0", "quay.io/acme/kafka:0.0.1"}
    assert [u["tag"] for u in result.versions[0]["upgrades"]] == ["0.0.2", "0.0.3"]
    for suffix in (".zip", ".tgz"):
        assert rules(check(build(tmp_path / "kafka", how={"profile": "console"}, suffix=suffix))) == []


@pytest.mark.parametrize(
    ("name", "data", "rule", "file", "line"),
    [
        ("lifecycle.yaml", None, "layout-osc", "", None),
        ("metadata.yaml", None, "layout-osc", "", None),
        ("manifests/kafka_crd.yaml", None, "layout-osc", "", None),
        ("metadata.yaml", OSC["metadata.yaml"].replace("ISV", "Isv"), "source-mark", "metadata.yaml", 4),
        (
            "manifests/vendor/log_config.yaml",
            "sidecarImage: quay.io/acme/log:1\n",
            "image-from-osc",
            "manifests/vendor/log_config.yaml",
            1,
        ),
        (
            "manifests/kafka_csd.yaml",
            CSD.replace("kafkas.acme", "other.acme"),
            "csd-syntax",
            "manifests/kafka_csd.yaml",
            5,
        ),
    ],
)
def test_what_is_wrong_with_oscs_own_form_is_told(
    check: Check, tmp_path: Path, name: str, data: str | None, rule: str, file: str, line: int | None
) -> None:
    folder = write(tmp_path / "kafka", OSC)
    if data is None:
        (folder / name).unlink()
    else:
        write(folder, {name: data})
    result = check(folder)
    assert (rule, f"kafka/{file}".rstrip("/"), line) in rules(result), [str(f) for f in result.findings]


def test_a_chart_in_raw_takes_its_addresses_from_the_csd(check: Check, tmp_path: Path) -> None:
    image = {"registry": "docker.io", "repository": "acme/shop", "tag": "1.0"}
    configuration = {"spec": {"image": image, "metrics": {"image": "quay.io/acme/metrics:2"}}}
    csd = CSD.split("  versionDefinition", maxsplit=1)[0] + f"  defaultConfiguration: '{json.dumps(configuration)}'\n"
    files = {**OSC, "lifecycle.yaml": "", "manifests/kafka_csd.yaml": csd}
    folder = write(tmp_path / "kafka", {**files, **{f"raw/{name}": data for name, data in FILES.items()}})
    result = check(folder)
    assert [str(f) for f in result.findings] == []
    less = {"spec": {"image": image}}
    write(folder, {"manifests/kafka_csd.yaml": csd.replace(json.dumps(configuration), json.dumps(less))})
    assert rules(check(folder)) == [("image-from-values", "kafka/raw/values.yaml", 7)]


# Packages of strangers


def test_a_bundle_with_a_hostile_package_inside_is_refused(check: Check, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        link = tarfile.TarInfo("shop/templates")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        archive.addfile(link)
    outer = tmp_path / "shop-1.0.0.zip"
    with zipfile.ZipFile(outer, "w") as opened:
        opened.writestr("shop/package/shop-1.0.0.tgz", inner.getvalue())
    assert rules(check(outer)) == [("archive-link", "shop-1.0.0.tgz/shop/templates", None)]


def test_a_chart_with_a_hostile_sub_chart_archive_is_refused(check: Check, tmp_path: Path) -> None:
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../../evil"))
    write(tmp_path / "shop", {**FILES, "charts/db-1.tgz": inner.getvalue()})
    assert [rule for rule, _f, _l in rules(check(tmp_path / "shop"))] == ["archive-path"]


# The documentation


def test_the_table_of_rules_is_that_of_the_code() -> None:
    from ansible_collections.openfuyao.colocation.plugins.module_utils.osc._rules import RULES  # noqa: PLC0415

    text = (CLONE / "docs/osc-packages.md").read_text()
    rows = [line.strip("|").split("|", 1) for line in text.splitlines() if line.startswith("| `")]
    assert {row[0].strip().strip("`"): row[1].strip() for row in rows} == RULES
