# SPDX-License-Identifier: Apache-2.0
"""The pods of the bench: a service, batch work with and without its class, a rise of load, and many that do little."""

from __future__ import annotations

from typing import Any, Final

NAMESPACE: Final = "bench"
BATCH: Final = 4
"""Pods of the batch Job, each with a thread that never waits."""

Object = dict[str, Any]


def meta(name: str, **more: Any) -> Object:
    """metadata of an object of ours."""
    return {"name": name, "namespace": NAMESPACE, **more}


def service(image: str) -> Object:
    """The demo's service, open to the network."""
    spec = _spec(_python(image, "service.py", {"requests": {"cpu": "500m", "memory": "64Mi"}}))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta("service", labels={"app": "service"}), "spec": spec}


def batch(name: str, image: str, *, be: bool) -> Object:
    """A Job that never ends by itself: as best-effort work, or in pods like any other."""
    resources: Object = {"requests": {"cpu": "200m", "memory": "32Mi"}}
    about: Object = {"labels": {"app": name}}
    if be:
        resources["limits"] = {"cpu": "2", "memory": "96Mi"}
        about["annotations"] = {"openfuyao.com/qos-level": "BE"}
    spec = {**_spec(_python(image, "batch.py", resources)), "restartPolicy": "Never"}
    job = {
        "completions": BATCH,
        "parallelism": BATCH,
        "backoffLimit": 0,
        "template": {"metadata": about, "spec": spec},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta(name), "spec": job}


def surge(image: str) -> Object:
    """Online work that computes whenever it is not frozen."""
    spec = _spec(_python(image, "batch.py", {"requests": {"cpu": "200m", "memory": "32Mi"}}))
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta("surge", labels={"app": "surge"}), "spec": spec}


def many(number: int, *, be: bool) -> Object:
    """One of many that wake up once a second."""
    resources = {"requests": {"cpu": "10m", "memory": "8Mi"}, "limits": {"cpu": "100m", "memory": "32Mi"}}
    command = ["sh", "-c", "while true; do sleep 1; done"]
    about = meta(f"many{number}", labels={"app": "many"})
    if be:
        about["annotations"] = {"openfuyao.com/qos-level": "BE"}
    spec = _spec({"name": "c", "image": "localhost/busybox:1", "command": command, "resources": resources})
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": spec}


def _python(image: str, program: str, resources: Object) -> Object:
    return {
        "name": "c",
        "image": image,
        "command": ["python3", f"/programs/{program}"],
        "env": [{"name": "CPU_SECONDS", "value": "1e9"}, {"name": "LISTEN", "value": "0.0.0.0"}],
        "resources": resources,
        "volumeMounts": [{"name": "programs", "mountPath": "/programs"}],
    }


def _spec(container: Object) -> Object:
    return {
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "containers": [container],
        "volumes": [{"name": "programs", "configMap": {"name": "programs"}}],
    }
