"""Ways in, and what is said when there is none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from colocation.kube import login
from colocation.kube.resources import LEASES, NODES, POLICIES


@pytest.fixture
def account(tmp_path: Path) -> Path:
    """A ServiceAccount's folder."""
    (tmp_path / "token").write_text("first\n")
    (tmp_path / "namespace").write_text("ns")
    (tmp_path / "ca.crt").write_text("")
    return tmp_path


def test_a_token_that_is_replaced_on_disk_is_read_again(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "trust", lambda _: None)
    now = [0.0]
    made = login.in_cluster({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, account, lambda: now[0])
    assert made.url == "https://10.0.0.1:443"
    assert made.namespace == "ns"
    assert made.headers() == {"Authorization": "Bearer first"}
    (account / "token").write_text("second")
    assert made.headers() == {"Authorization": "Bearer first"}
    now[0] = 60.0
    assert made.headers() == {"Authorization": "Bearer second"}
    (account / "token").write_text("third")
    made.refresh()  # a 401: do not wait for the minute
    assert made.headers() == {"Authorization": "Bearer third"}


def test_ipv6_services_get_brackets(account: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login, "trust", lambda _: None)
    made = login.in_cluster({"KUBERNETES_SERVICE_HOST": "fd00::1", "KUBERNETES_SERVICE_PORT": "6443"}, account)
    assert made.url == "https://[fd00::1]:6443"


def test_outside_a_pod_the_error_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(login.LoginError, match="--kubeconfig"):
        login.in_cluster({}, tmp_path)


def test_without_the_client_library_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(login.LoginError, match=r"pip install 'colocation\[kubeconfig\]'"):
        login.kubeconfig("/nowhere")


def test_a_kubeconfig_that_is_not_there_is_named() -> None:
    with pytest.raises(login.LoginError, match="/no/such/file"):
        login.kubeconfig("/no/such/file")


def test_paths() -> None:
    assert NODES.path("n", sub="status") == "/api/v1/nodes/n/status"
    assert LEASES.path("l", namespace="ns") == "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l"
    assert POLICIES.path() == "/apis/colocation.openfuyao.com/v1alpha1/colocationpolicies"
    assert NODES.path("../x") == "/api/v1/nodes/..%2Fx"
