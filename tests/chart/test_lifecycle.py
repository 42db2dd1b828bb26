"""From the chart before this one to this one, back and away: Helm 3 and 4, stored objects, a real API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError
from tests.lab.waiting import eventually

from .conftest import CHART, DATA, EVERYTHING, NAMESPACE, helm
from .test_crds import create

PREVIOUS = DATA / "colocation-package-0.0.1.tgz"
"""The first chart this repository had (commit 6526ced), packaged under a lower version."""
CRDS = ["colocationpolicies.colocation.openfuyao.com", "nodecolocations.colocation.openfuyao.com"]
KINDS = (
    "deployments,daemonsets,services,serviceaccounts,configmaps,roles,rolebindings,networkpolicies,poddisruptionbudgets,"
    "clusterroles,clusterrolebindings,priorityclasses,"
    "mutatingadmissionpolicies,mutatingadmissionpolicybindings,"
    "validatingadmissionpolicies,validatingadmissionpolicybindings"
)


class Release:
    """The release on a server of its own, with one Helm."""

    def __init__(self, api: ApiServer, which: str) -> None:
        self.api, self.which = api, which

    def helm(self, *args: str | Path) -> str:
        return helm(*args, f"--namespace={NAMESPACE}", which=self.which, kubeconfig=self.api.kubeconfig)

    def crds(self) -> list[str]:
        return sorted(self.api.kubectl("get", "crd", "-o", "jsonpath={.items[*].metadata.name}").split())

    def policy(self) -> dict[str, Any]:
        spec: dict[str, Any] = json.loads(self.api.kubectl("get", "cpol", "mine", "-o", "json"))["spec"]
        return spec

    def report(self) -> dict[str, Any]:
        status: dict[str, Any] = json.loads(self.api.kubectl("get", "ncol", "n1", "-o", "json"))["status"]
        return status

    def left(self) -> set[str]:
        """Objects that say they are the release's, the kept CRDs aside."""
        selector = "app.kubernetes.io/part-of=colocation"
        return set(self.api.kubectl("get", KINDS, "-A", f"--selector={selector}", "-o", "name").split())


@pytest.fixture(scope="module", params=["helm", "helm3"])
def release(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    with ApiServer(tmp_path_factory.mktemp("lifecycle")) as api:
        yield Release(api, request.param)


def keeps(now: Any, before: Any) -> bool:
    """Everything that was there is there, at every depth."""
    if isinstance(before, dict):
        return isinstance(now, dict) and all(key in now and keeps(now[key], value) for key, value in before.items())
    return bool(now == before)


def test_install_upgrade_rollback_uninstall_with_stored_objects(release: Release) -> None:
    api = release.api
    release.helm("install", "colocation", PREVIOUS, "--create-namespace")
    api.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
    create(api, "ColocationPolicy", keep=True, name="mine", spec={"oversell": {"cpu": {"reclaimPercent": 42}}})
    create(api, "NodeColocation", keep=True, name="n1", spec={"enabled": True})
    result = {"observedAt": "2026-11-21T00:00:00Z", "pods": [{"uid": "u", "cpu": 5}]}
    api.kubectl("patch", "ncol", "n1", "--subresource=status", "--type=merge", "-p", json.dumps({"status": result}))
    before = release.policy()

    release.helm("upgrade", "colocation", CHART, *(f"--set={one}" for one in EVERYTHING))
    assert keeps(release.policy(), before), (
        "a stored policy survives an upgrade of its CRD; what is new gets its default"
    )
    assert release.report()["pods"] == result["pods"]
    newer = {"status": {"pods": [{"uid": "u", "cpu": 5, "predicted": [9, 9, 60]}]}}

    def learns() -> bool:
        api.kubectl("patch", "ncol", "n1", "--subresource=status", "--type=merge", "-p", json.dumps(newer))
        return bool(release.report()["pods"][0].get("predicted") == [9, 9, 60])

    eventually(learns, 30, "the CRD has the field that this chart brought")
    assert "networkpolicy.networking.k8s.io/colocation-agent" in release.left()

    release.helm("rollback", "colocation", "1")
    assert release.policy() == before
    eventually(lambda: not learns(), 30, "the CRD went back too, and drops what it does not know")
    assert "networkpolicy.networking.k8s.io/colocation-agent" not in release.left()

    release.helm("upgrade", "colocation", CHART)
    release.helm("uninstall", "colocation")
    assert release.left() == set()
    assert release.crds() == CRDS
    assert keeps(release.policy(), before), "uninstall keeps the policies"


def test_a_later_install_takes_the_kept_crds_over_and_they_go_when_asked(release: Release) -> None:
    release.helm("install", "colocation", CHART)
    assert release.policy()["oversell"]["cpu"]["reclaimPercent"] == 42
    release.helm("upgrade", "colocation", CHART, "--set", "crds.keep=false")
    release.helm("uninstall", "colocation")
    release.api.kubectl("wait", "crd", *CRDS, "--for=delete", "--timeout=20s")
    assert release.crds() == []
    assert release.left() == set()


def test_another_release_cannot_take_what_is_this_ones(release: Release) -> None:
    release.helm("install", "colocation", CHART)
    with pytest.raises(LabError, match="exists and cannot be imported"):
        release.helm("install", "second", CHART)
    release.helm("uninstall", "colocation")
