"""Pushed to a real registry, pulled from it by a lab's node, by digest; installed from it by Helm; signed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

os.environ.setdefault("LAB_ID", "8")

from build import oci
from build.paths import CLONE, OUT, version
from tests.lab import binaries, lifecycle
from tests.lab.cluster import Cluster
from tests.lab.config import Lab
from tests.lab.registry import Registry
from tests.lab.waiting import eventually

pytestmark = pytest.mark.lab
NAMESPACE = "openfuyao-colocation"
CHART = "openfuyao/charts/colocation-package"
MANAGER = "openfuyao/colocation-manager"


@dataclass(frozen=True)
class Site:
    """A lab, a registry that it trusts, and what `make push` put there."""

    cluster: Cluster
    registry: Registry
    image: oci.Image
    said: str
    keys: Path


def cosign(*arguments: str | Path, keys: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    binaries.ensure("cosign")
    command = [binaries.path("cosign"), *arguments]
    env = {**os.environ, "COSIGN_PASSWORD": "lab"}
    return subprocess.run(command, cwd=keys, env=env, capture_output=True, text=True, check=check)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    if os.geteuid() != 0:
        pytest.skip("machines need root")
    keys = tmp_path_factory.mktemp("keys")
    for name in ("ours", "another"):
        cosign("generate-key-pair", "--output-key-prefix", name, keys=keys)
    lab_command = [sys.executable, "-m", "tests.lab"]
    subprocess.run([*lab_command, "down"], cwd=CLONE, check=True)
    subprocess.run([*lab_command, "up"], cwd=CLONE, check=True, env={**os.environ, "LAB_NODES": "1"})
    try:
        lab = lifecycle.running(Lab.from_env())
        with Registry(tmp_path_factory.mktemp("registry"), lab.root_address) as registry:
            registry.trust(lab)
            more = {"PLAIN_HTTP": "1", "COSIGN_KEY": str(keys / "ours.key"), "COSIGN_PASSWORD": "lab"}
            env = {**os.environ, **more, "COSIGN": str(binaries.path("cosign"))}
            command = [sys.executable, "-m", "build.push", registry.address]
            done = subprocess.run(command, cwd=CLONE, env=env, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            yield Site(Cluster(lab), registry, oci.load(OUT / "image"), done.stderr, keys)
    finally:
        subprocess.run([*lab_command, "down"], cwd=CLONE, check=True)


def test_the_registry_has_the_index_under_the_digest_that_was_built(site: Site) -> None:
    for name in (MANAGER, "openfuyao/colocation-overquota-agent"):
        assert site.registry.digest(name, version()) == site.image.digest
        assert all(site.registry.digest(name, entry["digest"]) for entry in site.image.manifests.values())


def test_a_chart_pushed_again_has_the_digest_it_had(site: Site) -> None:
    before = site.registry.digest(CHART, version())
    assert before
    # Another checkout has other times, and another machine's clock shows them otherwise.
    for path in (CLONE / "charts/colocation-package").rglob("*"):
        path.touch()
    env = {**os.environ, "PLAIN_HTTP": "1", "TZ": "Asia/Shanghai"}
    subprocess.run([sys.executable, "-m", "build.push", site.registry.address], cwd=CLONE, env=env, check=True)
    assert site.registry.digest(CHART, version()) == before


def test_signatures_of_image_and_chart_are_verified_by_our_key_and_by_no_other(site: Site) -> None:
    for name in (MANAGER, "openfuyao/colocation-overquota-agent", CHART):
        reference = f"{site.registry.address}/{name}@{site.registry.digest(name, version())}"
        how = ("--insecure-ignore-tlog=true", "--allow-http-registry", reference)
        assert cosign("verify", "--key", "ours.pub", *how, keys=site.keys, check=False).returncode == 0, name
        assert cosign("verify", "--key", "another.pub", *how, keys=site.keys, check=False).returncode != 0, name


def test_helm_installs_from_the_registry_and_the_node_pulls_and_runs_the_image_by_its_digest(site: Site) -> None:
    cluster, address = site.cluster, site.registry.address
    assert "colocation" not in cluster.ssh("node1", "ctr -n k8s.io images ls -q")
    command = next(line for line in site.said.splitlines() if "helm install" in line).partition("helm ")[2].split()
    env = {**os.environ, "KUBECONFIG": str(cluster.lab.kubeconfig)}
    options = ["--namespace", NAMESPACE, "--create-namespace"]
    subprocess.run([binaries.path("helm"), *command, *options], env=env, check=True)
    cluster.kubectl("label", "node", "node1", "node.openfuyao.com/colocation=true")

    def running() -> list[str]:
        pods = cluster.get("pods", "-n", NAMESPACE)["items"]
        states = [state for pod in pods for state in pod["status"].get("containerStatuses", ()) if state["ready"]]
        return [state["imageID"] for state in states]

    eventually(lambda: len(running()) == 2, 180, "manager and agent run")
    repositories = (MANAGER, "openfuyao/colocation-overquota-agent")
    # containerd knows one content by several names; whichever it says, it is this registry's and this digest.
    assert all(found in {f"{address}/{name}@{site.image.digest}" for name in repositories} for found in running())
    images = json.loads(cluster.kubectl("get", "pods", "-n", NAMESPACE, "-o", "json"))["items"]
    asked = {container["image"] for pod in images for container in pod["spec"]["containers"]}
    assert asked == {f"{address}/{name}@{site.image.digest}" for name in repositories}


def test_a_digest_that_the_registry_does_not_have_is_not_run(site: Site) -> None:
    reference = f"{site.registry.address}/{MANAGER}@sha256:{'0' * 64}"
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "other", "namespace": "default"}}
    site.cluster.apply({**pod, "spec": {"containers": [{"name": "c", "image": reference}]}})
    path = "jsonpath={.status.containerStatuses[0].state.waiting.reason}"
    reasons = {"ErrImagePull", "ImagePullBackOff"}
    eventually(lambda: site.cluster.kubectl("get", "pod", "other", "-o", path) in reasons, 60, "the pull is refused")
