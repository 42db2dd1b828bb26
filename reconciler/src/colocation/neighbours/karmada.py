"""What a Karmada control plane would do with best-effort work, from what its API server holds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from colocation.model.names import BE_CPU, BE_MEMORY, GATE
from colocation.neighbours.selectors import listing, mapping

CLUSTERS: Final = "/apis/cluster.karmada.io/v1alpha1/clusters"
INTERPRETERS: Final = "/apis/config.karmada.io/v1alpha1/resourceinterpretercustomizations"
INTERPRETED: Final = (("apps/v1", "Deployment"), ("batch/v1", "Job"))
"""What best-effort work mostly is; a StatefulSet is rare enough not to be missed."""
ESTIMATOR: Final = "karmada-scheduler-estimator-"


def problem(served: bool) -> str:  # noqa: FBT001 (one answer, from one question)
    """Why this is no Karmada, if it is none."""
    return (
        ""
        if served
        else (
            "The API server of colocation_karmada_kubeconfig serves no Clusters of Karmada: it is a member's, or that "
            "of another cluster. Give the kubeconfig of Karmada's own API server (karmada-apiserver.config)."
        )
    )


def rows(clusters: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The members: what they publish and what is allocated, as Karmada has summed it up."""
    return [
        {
            "name": str(mapping(cluster.get("metadata")).get("name")),
            "ready": _ready(cluster),
            "published": {key: str(_of(cluster, "allocatable")[key]) for key in _there(cluster)},
            "allocated": {key: str(_of(cluster, "allocated").get(key, "0")) for key in _there(cluster)},
            "closed": bool(_there(cluster)) and GATE not in _there(cluster),
        }
        for cluster in clusters
    ]


def lines(members: Iterable[dict[str, Any]]) -> list[str]:
    """A line for each of these ``rows``."""
    said = []
    for member in members:
        amounts = ", ".join(
            f"{key} {amount} (allocated {member['allocated'][key]})" for key, amount in member["published"].items()
        )
        state = "" if member["ready"] else "not ready; "
        state += "closed to new best-effort pods; " if member["closed"] else ""
        said.append(f"Member {member['name']}: {state}{amounts or 'no colocation'}.")
    return said


def warnings(
    clusters: Iterable[dict[str, Any]],
    interpreters: Iterable[dict[str, Any]],
    estimators: Iterable[str] | None,
) -> list[str]:
    """A sentence for each thing that places best-effort work wrongly, with its remedy.

    ``estimators``: names of the Deployments beside Karmada's scheduler; None: they could not be looked at.
    """
    found: list[str] = []
    running = None if estimators is None else set(estimators)
    for cluster in clusters:
        name = str(mapping(cluster.get("metadata")).get("name"))
        models = listing(mapping(cluster.get("spec")).get("resourceModels"))
        if models and not all(_modelled(model) for model in models):
            found.append(
                f"Cluster {name}: spec.resourceModels are set, and know no {BE_CPU}: best-effort work gets 0 replicas "
                "there. kubectl patch "
                f"""cluster {name} --type=merge -p '{{"spec": {{"resourceModels": []}}}}'"""
            )
        if not _there(cluster):
            found.append(
                f"Cluster {name}: it publishes no {BE_CPU}: no colocation runs there, or all nodes are withdrawn. Run "
                "the playbook site for it, or leave it out of the placement of best-effort work."
            )
        if running is not None and f"{ESTIMATOR}{name}" not in running:
            found.append(
                f"Cluster {name}: no accurate estimator runs for it, so its closed nodes are counted as free. "
                f"karmadactl addons enable karmada-scheduler-estimator -C {name} (with the member's kubeconfig)."
            )
    if running is None:
        found.append(
            "Whether accurate estimators run was not looked at: they are Deployments of the cluster that hosts "
            "Karmada; give colocation_karmada_host_kubeconfig. Without them closed nodes are counted as free."
        )
    known = {_target(interpreter) for interpreter in interpreters if _replicas(interpreter)}
    missing = [kind for api, kind in INTERPRETED if (api, kind) not in known]
    if missing:
        found.append(
            f"No ResourceInterpreterCustomization counts {BE_CPU} for {', '.join(missing)}: Karmada plans best-effort "
            "work by plain cpu, which it does not use. kubectl apply -f files/karmada/interpreters.yaml (merge it "
            "into your own, if you have some)."
        )
    return found


def _of(cluster: dict[str, Any], part: str) -> dict[str, Any]:
    return mapping(mapping(mapping(cluster.get("status")).get("resourceSummary")).get(part))


def _there(cluster: dict[str, Any]) -> list[str]:
    return [key for key in (BE_CPU, BE_MEMORY, GATE) if str(_of(cluster, "allocatable").get(key, "0")) != "0"]


def _ready(cluster: dict[str, Any]) -> bool:
    conditions = map(mapping, listing(mapping(cluster.get("status")).get("conditions")))
    return any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)


def _modelled(model: object) -> bool:
    """This grade knows best-effort resources: a model node has 0 of what it does not name."""
    ranges = {mapping(row).get("name") for row in listing(mapping(model).get("ranges"))}
    return {BE_CPU, BE_MEMORY, GATE} <= ranges


def _target(interpreter: dict[str, Any]) -> tuple[str, str]:
    target = mapping(mapping(interpreter.get("spec")).get("target"))
    return str(target.get("apiVersion")), str(target.get("kind"))


def _replicas(interpreter: dict[str, Any]) -> bool:
    """It counts replicas, and by our names."""
    customizations = mapping(mapping(interpreter.get("spec")).get("customizations"))
    return BE_CPU in str(mapping(customizations.get("replicaResource")).get("luaScript", ""))
