"""`make push REGISTRY=registry.example/team`: image and chart into a registry, as they are: the digests stay.

    REGISTRY      where: a host, or a host and a path
    PLAIN_HTTP    set: the registry has no TLS (on loopback, in a lab)
    COSIGN_KEY    a private key of cosign's: image and chart are signed with it, without a transparency log
                  (COSIGN_PASSWORD; cosign has to be on the path, or COSIGN names it)

Passwords are those that `skopeo login`, `helm registry login` and `cosign login` have kept.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

from build import chart, image, tools
from build.paths import OUT, run, say, version

CHARTS = "openfuyao/charts"


def main(registry: str) -> None:
    """Push, sign if there is a key, and say how to install from there."""
    if not re.fullmatch(r"[\w.-]+(:\d+)?(/[\w.-]+)*", registry):
        raise SystemExit(f"build: REGISTRY={registry!r}: a host is needed, or a host and a path, without https://")
    key = os.environ.get("COSIGN_KEY")
    # It may also be the address of a key service, which cosign understands.
    if key and "://" not in key and not Path(key).is_file():
        raise SystemExit(f"build: COSIGN_KEY={key}: no such file")
    cosign = os.environ.get("COSIGN") or shutil.which("cosign")
    if key and not cosign:
        raise SystemExit("build: COSIGN_KEY is set, and cosign is not on the path; put it there, or name it by COSIGN")
    plain = bool(os.environ.get("PLAIN_HTTP"))
    built = image.ensure()
    tools.ensure("skopeo")
    signed = []
    for name in image.NAMES:
        target = f"{registry}/{name.removeprefix('localhost/')}"
        options = ["--all", "--preserve-digests", f"--dest-tls-verify={str(not plain).lower()}"]
        source = f"oci:{built.layout}:{name}:{version()}"
        run("skopeo", "--insecure-policy", "copy", "-q", *options, source, f"docker://{target}:{version()}")
        signed.append(f"{target}@{built.digest}")
        say(f"pushed {target}:{version()}, {built.digest}")
    chart_digest = push_chart(registry, plain=plain)
    signed.append(f"{registry}/{CHARTS}/colocation-package@{chart_digest}")
    if key and cosign:
        options = ["--key", key, "--yes", "--tlog-upload=false", "--use-signing-config=false"]
        options += ["--allow-http-registry"] if plain else []
        for reference in signed:
            run(cosign, "sign", *options, reference)
            say(f"signed {reference}")
    say(
        f"to install: helm install colocation oci://{registry}/{CHARTS}/colocation-package --version {version()}"
        f" --set image.registry={registry},image.digest={built.digest}{' --plain-http' if plain else ''}"
    )


def push_chart(registry: str, *, plain: bool) -> str:
    """Package the chart and push it; its manifest's digest."""
    chart.main()
    archive = OUT / f"colocation-package-{version()}.tgz"
    options = ["--plain-http"] if plain else []
    # Helm writes the archive's time as this machine's clock shows it.
    env = {**os.environ, "TZ": "UTC"}
    output = run(chart.helm(), "push", archive, f"oci://{registry}/{CHARTS}", *options, env=env, merged=True)
    match = re.search(r"Digest: (sha256:[0-9a-f]{64})", output)
    if not match:
        raise SystemExit(f"build: helm push printed no digest: {output}")
    say(f"pushed {registry}/{CHARTS}/colocation-package:{version()}, {match[1]}")
    return match[1]


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1]:
        raise SystemExit(__doc__)
    main(sys.argv[1])
