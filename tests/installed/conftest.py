# SPDX-License-Identifier: Apache-2.0
"""The wheel, installed by pipx as a user installs it, and a real API server with our CRDs and two nodes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from build import wheel
from reconciler.tests.component.cluster import crds
from tests.installed.issuer import Issuer
from tests.lab import binaries
from tests.lab.apiserver import ApiServer
from tools.environment import environment

Run = Callable[..., "subprocess.CompletedProcess[str]"]
NODE_COLOCATION = (
    '{"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": "NodeColocation", "metadata": {"name": "worker-1"}}'
)


@pytest.fixture(scope="session")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with what pipx has installed, with kubectl, and with nothing of this checkout."""
    wheel.main()
    home = tmp_path_factory.mktemp("pipx")
    env = {**bare(), "PIPX_HOME": str(home / "home"), "PIPX_BIN_DIR": str(home / "bin")}
    pipx = environment(wheel.REQUIREMENTS) / "pipx"
    subprocess.run([pipx, "install", "--quiet", f"{wheel.path()}[kubeconfig]"], env=env, cwd=home, check=True)
    (home / "bin/kubectl").symlink_to(binaries.path("kubectl"))
    return f"{home / 'bin'}:/usr/bin:/bin"


@pytest.fixture
def run(path: str, tmp_path: Path) -> Run:
    """Runs a command outside the checkout."""

    def it(*command: str, **env: str) -> subprocess.CompletedProcess[str]:
        full = {**bare(), "PATH": path, "HOME": str(tmp_path), **env}
        return subprocess.run(command, cwd=tmp_path, env=full, capture_output=True, text=True, check=False, timeout=60)

    return it


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    with Issuer(tmp_path_factory.mktemp("issuer")) as server:
        yield server


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer) -> Iterator[ApiServer]:
    flags = [f"--oidc-issuer-url={issuer.url}", "--oidc-client-id=colocation", "--oidc-username-claim=email"]
    flags += ["--oidc-username-prefix=oidc:", f"--oidc-ca-file={issuer.ca}"]
    with ApiServer(tmp_path_factory.mktemp("api"), extra_args=flags) as server:
        server.kubectl("apply", "-f", "-", stdin=crds())
        server.kubectl("wait", "crd", "--all", "--for=condition=Established", "--timeout=30s")
        server.kubectl("create", "-f", "-", stdin=NODE_COLOCATION)
        server.kubectl("create", "clusterrole", "read-events", "--verb=list", "--resource=events")
        yield server


def bare() -> dict[str, str]:
    """This environment without what leads back to the checkout."""
    ours = ("PYTHONPATH", "KUBECONFIG", "VIRTUAL_ENV", "PIP_CONSTRAINT")
    return {key: value for key, value in os.environ.items() if key not in ours}
