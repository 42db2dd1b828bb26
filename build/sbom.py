"""Software bills of materials (CycloneDX 1.6, JSON), one an architecture: from the locks, which name all of it."""

from __future__ import annotations

import json
import re
import uuid
from pathlib import Path
from typing import Any

from build import base, oci, wheels
from build.paths import OUT, version


def write(image: oci.Image) -> list[Path]:
    """build/out/colocation-VERSION-MACHINE.cdx.json for each architecture."""
    written = []
    for architecture, machine in oci.MACHINES.items():
        path = OUT / f"colocation-{version()}-{machine}.cdx.json"
        path.write_text(json.dumps(bill(image, architecture), indent=1, sort_keys=True) + "\n")
        written.append(path)
    return written


def bill(image: oci.Image, architecture: str) -> dict[str, Any]:
    """What one architecture's image is made of; the same bytes for the same image."""
    digest = image.manifests[architecture]["digest"]
    created = image.read(image.digest)["annotations"]["org.opencontainers.image.created"]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "metadata": {
            "timestamp": created,
            "component": {
                "type": "container",
                "bom-ref": "image",
                "name": "openfuyao/colocation-manager",
                "version": version(),
                "hashes": [_sha256(digest.removeprefix("sha256:"))],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
                "purl": f"pkg:oci/colocation-manager@{digest.replace(':', '%3A')}?arch={architecture}",
            },
        },
        "components": [*_debian(architecture), *_python(architecture)],
    }


def _debian(architecture: str) -> list[dict[str, Any]]:
    return [
        _component("deb", f"debian/{p.name}", p.version, p.sha256, f"?arch={architecture}&distro=debian-12")
        for p in base.packages(architecture)
    ]


def _python(architecture: str) -> list[dict[str, Any]]:
    found = []
    for notes in sorted(wheels.ensure(architecture).glob("*.dist-info/METADATA")):
        fields = dict(re.findall(r"^(Name|Version|License-Expression): (.+)$", notes.read_text(), re.MULTILINE))
        component = _component("pypi", fields["Name"].lower().replace("_", "-"), fields["Version"], None, "")
        if expression := fields.get("License-Expression"):
            component["licenses"] = [{"expression": expression}]
        found.append(component)
    return found


def _component(kind: str, name: str, number: str, sha256: str | None, qualifiers: str) -> dict[str, Any]:
    purl = f"pkg:{kind}/{name}@{number.replace('+', '%2B').replace(':', '%3A').replace('~', '~')}{qualifiers}"
    component = {"type": "library", "bom-ref": purl, "name": name.rpartition("/")[2], "version": number, "purl": purl}
    return {**component, "hashes": [_sha256(sha256)]} if sha256 else component


def _sha256(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}
