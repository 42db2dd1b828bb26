"""The bills of materials: valid by their format's own schema, and what really is in the root file systems."""

from __future__ import annotations

import json
import tarfile

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from build import npm, oci
from build.paths import version
from tests.image.conftest import Workshop

MACHINES = sorted(oci.MACHINES.items())


def text(workshop: Workshop, machine: str) -> str:
    return (workshop.clone / f"build/out/colocation-{version()}-{machine}.cdx.json").read_text()


@pytest.mark.parametrize(("architecture", "machine"), MACHINES)
def test_it_is_valid_by_the_schema_of_cyclonedx(workshop: Workshop, architecture: str, machine: str) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text(workshop, machine)) is None


@pytest.mark.parametrize(("architecture", "machine"), MACHINES)
def test_it_lists_what_is_in_the_image_and_nothing_else(workshop: Workshop, architecture: str, machine: str) -> None:
    components = json.loads(text(workshop, machine))["components"]
    lengths = {"SHA-256": 64, "SHA-512": 128}
    assert all(len(part["hashes"][0]["content"]) == lengths[part["hashes"][0]["alg"]] for part in components)
    listed = {part["purl"].partition("?")[0] for part in components}
    with tarfile.open(workshop.clone / f"build/out/colocation-rootfs-{version()}-{machine}.tar") as tar:
        names = tar.getnames()
    packages = {name.rpartition("/")[2] for name in names if name.startswith("var/lib/dpkg/status.d/")}
    assert {purl.split("/")[2].partition("@")[0] for purl in listed if purl.startswith("pkg:deb/")} == packages
    wheels = {name.split("/")[3] for name in names if name.endswith(".dist-info/METADATA")}
    found = {f"pkg:pypi/{wheel.removesuffix('.dist-info').replace('-', '@').replace('_', '-')}" for wheel in wheels}
    assert {purl for purl in listed if purl.startswith("pkg:pypi/")} == found
    scripts = {f"pkg:npm/{package.name}@{package.version}" for package in npm.read()}
    assert {purl for purl in listed if purl.startswith("pkg:npm/")} == scripts
    assert len(packages) + len(wheels) + len(scripts) == len(listed)


@pytest.mark.parametrize(("architecture", "machine"), MACHINES)
def test_every_package_that_is_no_debians_is_a_row_of_the_page_about_licences(
    workshop: Workshop, architecture: str, machine: str
) -> None:
    rows = (workshop.clone / "docs/licences.md").read_text().splitlines()
    cells = {tuple(cell.strip() for cell in row.split("|")[1:4]) for row in rows if row.startswith("| ")}
    listed = {(name.replace("_", "-"), version, licence) for name, version, licence in cells if name != "package"}
    found = set()
    for part in json.loads(text(workshop, machine))["components"]:
        if not part["purl"].startswith("pkg:deb/"):
            licences = [one.get("expression") or one["license"].get("id") for one in part.get("licenses", ())]
            found.add((part["name"], part["version"], *licences))
    assert {one[:2] for one in found} == {one[:2] for one in listed}
    assert {one for one in found if len(one) == 3} <= listed, "a licence that the bill states"


@pytest.mark.parametrize(("architecture", "machine"), MACHINES)
def test_it_names_the_image_it_is_of(workshop: Workshop, architecture: str, machine: str) -> None:
    image = oci.load(workshop.clone / "build/out/image")
    digest = image.manifests[architecture]["digest"]
    assert json.loads(text(workshop, machine))["metadata"]["component"]["purl"].startswith(
        f"pkg:oci/colocation-manager@{digest.replace(':', '%3A')}"
    )
