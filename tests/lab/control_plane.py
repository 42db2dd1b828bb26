# SPDX-License-Identifier: Apache-2.0
"""etcd, API server, controller manager and scheduler, in the hub's namespace.

Each can be stopped and started alone (``python3 -m tests.lab stop apiserver``):
what a component does while the API server is away is worth a test.
"""

from __future__ import annotations

from . import binaries
from .apiserver import apiserver_command, etcd_command
from .config import API_PORT, SERVICE_ADDRESS, Lab
from .errors import LabError
from .network import in_netns
from .pki import Pki
from .process import Daemon, run, wait_until

COMPONENTS = ("etcd", "apiserver", "controller-manager", "scheduler")
_ETCD = "http://127.0.0.1:2379"
_ETCD_PEER = "http://127.0.0.1:2380"
# The API server takes up to a minute on SIGTERM, the others are gone at once.
_PATIENCE = 3.0


def daemon(lab: Lab, component: str) -> Daemon:
    """The record of a component."""
    if component not in COMPONENTS:
        raise LabError(f"no component {component!r}; there are {', '.join(COMPONENTS)}")
    return Daemon(lab.run / f"{component}.pid")


def start(lab: Lab, *components: str) -> None:
    """Start the named components (all, when none is named) that do not run."""
    pki = Pki(lab.pki)
    for component in components or COMPONENTS:
        if daemon(lab, component).pid is None:
            argv = in_netns(lab.hub, _command(lab, pki, component))
            daemon(lab, component).start(argv, lab.logs / f"{component}.log")


def stop(lab: Lab, *components: str) -> None:
    """Stop the named components (all, when none is named), the API server before etcd."""
    for component in reversed(components or COMPONENTS):
        daemon(lab, component).stop(_PATIENCE)


def kubectl(lab: Lab, *args: str, check: bool = True, stdin: str | None = None, timeout: float | None = None) -> str:
    """kubectl as the cluster's administrator; its output."""
    command = [str(binaries.path("kubectl")), f"--kubeconfig={lab.kubeconfig}", *args]
    return run(command, check=check, stdin=stdin, timeout=timeout).stdout


def ready(lab: Lab) -> bool:
    """Whether the API server says so itself."""
    return kubectl(lab, "get", "--raw=/readyz", "--request-timeout=3s", check=False) == "ok"


def wait_ready(lab: Lab, seconds: float = 60.0) -> None:
    """Wait for the API server, or say where its log is."""

    def happened() -> bool:
        for component in COMPONENTS[:2]:
            if daemon(lab, component).pid is None:
                raise LabError(f"{component} ended; see {lab.logs / component}.log")
        return ready(lab)

    if not wait_until(happened, seconds, 0.2):
        raise LabError(f"the API server is not ready after {seconds:.0f} s; see {lab.logs}/apiserver.log")


def _command(lab: Lab, pki: Pki, component: str) -> list[str]:
    if component == "etcd":
        return etcd_command(lab.state / "etcd", _ETCD, _ETCD_PEER)
    if component == "apiserver":
        return _apiserver(lab, pki)
    config = lab.pki / f"{component}.kubeconfig"
    if not config.exists():
        config.write_text(pki.kubeconfig(lab.api_url, pki.issue(component, f"system:kube-{component}")))
    common = [f"--kubeconfig={config}", "--leader-elect=false", "--bind-address=127.0.0.1"]
    if component == "scheduler":
        return [str(binaries.path("kube-scheduler")), *common]
    return [
        str(binaries.path("kube-controller-manager")),
        *common,
        "--use-service-account-credentials",
        f"--service-account-private-key-file={pki.service_accounts.key}",
        f"--root-ca-file={pki.ca}",
    ]


def _apiserver(lab: Lab, pki: Pki) -> list[str]:
    names = ["DNS:kubernetes", "DNS:kubernetes.default", "DNS:kubernetes.default.svc"]
    server = pki.issue(
        "apiserver", "kube-apiserver", hosts=[f"IP:{lab.api_address}", f"IP:{SERVICE_ADDRESS}", "IP:127.0.0.1", *names]
    )
    client = pki.issue("apiserver-kubelet", "kube-apiserver-kubelet-client", ["system:masters"])
    return [
        *apiserver_command(pki, _ETCD, lab.api_address, API_PORT),
        f"--tls-cert-file={server.cert}",
        f"--tls-private-key-file={server.key}",
        f"--kubelet-client-certificate={client.cert}",
        f"--kubelet-client-key={client.key}",
        f"--kubelet-certificate-authority={pki.ca}",
        "--kubelet-preferred-address-types=InternalIP",
        # No kube-proxy: webhooks named by Service are dialled at their pods.
        "--enable-aggregator-routing=true",
    ]
