"""Software bills of materials (CycloneDX 1.6, JSON), one an architecture: from the locks, which name all of it."""

from __future__ import annotations

import base64
import json
import re
import uuid
from typing import Any

from build import base, npm, oci, wheels
from build.paths import OUT, version


def write(image: oci.Image, given_base: str) -> None:
    """build/out/colocation-VERSION-MACHINE.cdx.json for each architecture."""
    for architecture, machine in oci.MACHINES.items():
        path = OUT / f"colocation-{version()}-{machine}.cdx.json"
        path.write_text(json.dumps(bill(image, architecture, given_base), indent=1, sort_keys=True) + "\n")


def bill(image: oci.Image, architecture: str, given_base: str) -> dict[str, Any]:
    """What one architecture's image is made of; the same bytes for the same image. Another base is only named."""
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
        "components": [*(_given(given_base) if given_base else _debian(architecture)), *_python(architecture), *_npm()],
    }


def _given(base_image: str) -> list[dict[str, Any]]:
    name, _, number = base_image.partition("@")
    return [{"type": "container", "bom-ref": "base", "name": name, **({"version": number} if number else {})}]


def _debian(architecture: str) -> list[dict[str, Any]]:
    return [
        _component("deb", f"debian/{p.name}", p.version, p.sha256, f"?arch={architecture}&distro=debian-12")
        for p in base.packages(architecture)
    ]


def _python(architecture: str) -> list[dict[str, Any]]:
    components = []
    digests = wheels.digests(architecture)
    for notes in sorted(wheels.ensure(architecture).glob("*.dist-info/METADATA")):
        fields = dict(re.findall(r"^(Name|Version|License-Expression): (.+)$", notes.read_text(), re.MULTILINE))
        name, sha256 = fields["Name"].lower(), digests[fields["Name"].lower()]
        component = _component("pypi", name.replace("_", "-"), fields["Version"], sha256, "")
        if expression := fields.get("License-Expression"):
            component["licenses"] = [{"expression": expression}]
        components.append(component)
    return components


def _npm() -> list[dict[str, Any]]:
    """Files that the console serves to browsers."""
    found = []
    for package in npm.read():
        component = _component("npm", package.name, package.version, "", "")
        sha512 = base64.b64decode(package.integrity.removeprefix("sha512-")).hex()
        component |= {"hashes": [{"alg": "SHA-512", "content": sha512}]}
        found.append(component | {"licenses": [{"license": {"id": package.licence}}]})
    return found


def _component(kind: str, name: str, number: str, sha256: str, qualifiers: str) -> dict[str, Any]:
    purl = f"pkg:{kind}/{name}@{number.replace('+', '%2B').replace(':', '%3A')}{qualifiers}"
    result = {"name": name.rpartition("/")[2], "version": number, "purl": purl, "hashes": [_sha256(sha256)]}
    return {"type": "library", "bom-ref": purl, **result}


def _sha256(value: str) -> dict[str, str]:
    return {"alg": "SHA-256", "content": value}
