"""A program of this machine behind a Service of a real API server, which has no kubelet and no controller to do it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest

from tests.lab.apiserver import ApiServer
from tests.lab.process import run

from .conftest import apply


def own_address() -> str:
    """An address of this machine that is not loopback: the API server proxies to no other."""
    found = run(["hostname", "-I"]).stdout.split()
    if not [address for address in found if ":" not in address]:
        pytest.skip("this machine has no address but loopback")
    return str(next(address for address in found if ":" not in address))


@contextlib.contextmanager
def behind(api: ApiServer, namespace: str, service: str, port: int) -> Iterator[None]:
    """Make ``port`` of this machine what a Service's port `http` leads to: by a pod, since it proxies to pods only."""
    there, name = own_address(), f"{service}-pod"
    spec = {"containers": [{"name": "a", "image": "x"}]}
    apply(api, apiVersion="v1", kind="Pod", metadata={"name": name, "namespace": namespace}, spec=spec)
    status = {"status": {"podIP": there, "podIPs": [{"ip": there}], "phase": "Running"}}
    where = [name, f"--namespace={namespace}"]
    api.kubectl("patch", "pod", *where, "--subresource=status", "--type=merge", "-p", json.dumps(status))
    pod = {"kind": "Pod", "name": name, "namespace": namespace}
    subset = {"addresses": [{"ip": there, "targetRef": pod}], "ports": [{"name": "http", "port": port}]}
    meta = {"name": service, "namespace": namespace}
    apply(api, apiVersion="v1", kind="Endpoints", metadata=meta, subsets=[subset])
    try:
        yield
    finally:
        api.kubectl("delete", "pod", *where, "--force", "--grace-period=0")
        api.kubectl("delete", "endpoints", service, f"--namespace={namespace}")
