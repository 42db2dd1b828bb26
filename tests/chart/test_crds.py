"""Our two CRDs on a real API server: defaults at every depth, ranges and rules that say no in a sentence."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from colocation.model.policy import PolicySpec
from colocation.model.report import MAX_PODS, NodeColocationSpec
from colocation.model.rubik import Psi, Rubik
from tests.lab.apiserver import ApiServer
from tests.lab.errors import LabError

PLURALS = {"ColocationPolicy": "colocationpolicies", "NodeColocation": "nodecolocations"}


def create(api: ApiServer, kind: str, *, keep: bool = False, name: str = "x", **fields: Any) -> dict[str, Any]:
    body = {"apiVersion": "colocation.openfuyao.com/v1alpha1", "kind": kind, "metadata": {"name": name}, **fields}
    path = f"/apis/colocation.openfuyao.com/v1alpha1/{PLURALS[kind]}" + ("" if keep else "?dryRun=All")
    made: dict[str, Any] = json.loads(api.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body)))
    return made


def test_short_names_and_columns(api: ApiServer) -> None:
    create(api, "ColocationPolicy", keep=True, name="columns", spec={})
    try:
        header, row = api.kubectl("get", "cpol").splitlines()
        assert header.split() == [
            "NAME",
            "ENABLED",
            "PRIORITY",
            "ENGINE",
            "CPU",
            "NODES",
            "REPORTING",
            "ROLLOUT",
            "AGE",
        ]
        assert row.split()[:5] == ["columns", "true", "0", "native", "predicted"]
    finally:
        api.kubectl("delete", "cpol", "columns")
    assert "No resources found" in api.kubectl("get", "ncol") or api.kubectl("get", "ncol") == ""


@pytest.mark.parametrize("fields", [{"spec": {}}, {}])
def test_an_empty_policy_is_filled_with_the_defaults_of_the_structs(api: ApiServer, fields: dict[str, Any]) -> None:
    made, stated = create(api, "ColocationPolicy", **fields)["spec"], msgspec.to_builtins(PolicySpec())
    assert {key: value for key, value in made.items() if value is not None} == {
        key: value for key, value in stated.items() if value is not None
    }


@pytest.mark.parametrize(
    ("given", "where", "filled"),
    [
        ({"oversell": {"cpu": {"reclaimPercent": 70}}}, ("oversell", "cpu", "quantum"), "100m"),
        ({"oversell": {"cpu": {"reclaimPercent": 70}}}, ("oversell", "memory", "reclaimPercent"), 65),
        ({"report": {"intervalSeconds": 10}}, ("report", "minIntervalSeconds"), 5),
        ({"suppress": {"cpu": {"mode": "off"}}}, ("suppress", "cpu", "targetPercent"), 65),
        ({"protect": {"disk": {"weight": 10}}}, ("protect", "memoryHighPercent"), 0),
        ({"rubik": {"quotaTurbo": {}}}, ("rubik", "quotaTurbo", "alarmWaterMark"), 80),
        ({"rubik": {"quotaBurst": True, "quotaTurbo": None}}, ("rubik", "preemptMemory"), True),
        ({"rubik": {"dynCache": {"l3Percent": {"high": 60}}}}, ("rubik", "dynCache", "memBandPercent", "low"), 10),
    ],
)
def test_a_partial_policy_is_filled_at_every_depth(
    api: ApiServer, given: dict[str, Any], where: tuple[str, ...], filled: object
) -> None:
    value: Any = create(api, "ColocationPolicy", spec=given)["spec"]
    for key in where:
        value = value[key]
    assert value == filled


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"oversell": {"cpu": {"reclaimPercent": 101}}}, "spec.oversell.cpu.reclaimPercent"),
        ({"oversell": {"cpu": {"reclaimPercent": -1}}}, "greater than or equal to 0"),
        ({"oversell": {"cpu": {"strategy": "hope"}}}, '"maxUsageRequest"'),
        ({"oversell": {"cpu": {"quantum": "lots"}}}, "spec.oversell.cpu.quantum"),
        ({"oversell": {"cpu": {"quantum": "0"}}}, "oversell.cpu.quantum must be above 0"),
        ({"oversell": {"memory": {"quantum": "0Mi"}}}, "oversell.memory.quantum must be above 0"),
        ({"oversell": {"staleAfterSeconds": 30}}, "must be at least twice report.intervalSeconds"),
        ({"oversell": {"maxPods": 1001}}, "spec.oversell.maxPods"),
        ({"report": {"intervalSeconds": 5, "minIntervalSeconds": 6}}, "must not be larger than report.intervalSeconds"),
        ({"suppress": {"cpu": {"minPercent": 80}}}, "must not be larger than suppress.cpu.targetPercent"),
        ({"engine": "magic"}, "spec.engine"),
        ({"protect": {"memoryHighPercent": 20}}, "must be 0 (off) or at least 50"),
        ({"protect": {"disk": {"readBytesPerSecond": 1000}}}, "at least 1048576 (1 MiB a second)"),
        ({"protect": {"disk": {"writeOpsPerSecond": 9}}}, "must be 0 (off) or at least 10"),
        ({"rubik": {"quotaTurbo": {"highWaterMark": 80}}}, "must be smaller than rubik.quotaTurbo.alarmWaterMark"),
        ({"rubik": {"quotaTurbo": {"syncInterval": 99}}}, "spec.rubik.quotaTurbo.syncInterval"),
        ({"rubik": {"quotaTurbo": {}, "quotaBurst": True}}, "give one of them"),
        ({"rubik": {"dynCache": {"l3Percent": {"low": 9}}}}, "spec.rubik.dynCache.l3Percent.low"),
        ({"rubik": {"dynCache": {"l3Percent": {"low": 60}}}}, "low, mid and high must not fall"),
        ({"rubik": {"psi": {"interval": 9}}}, "spec.rubik.psi.interval"),
        ({"rubik": {"psi": {"resource": []}}}, "spec.rubik.psi.resource"),
        ({"rubik": {"psi": {"avg10Threshold": 4}}}, "spec.rubik.psi.avg10Threshold"),
        ({"rubik": {"cpuEvict": {"interval": 2, "windows": 3}}}, "must be a multiple of rubik.cpuEvict.interval"),
        ({"rubik": {"memoryEvict": {}}}, "spec.rubik.memoryEvict.threshold"),
        ({"rubik": {"ioCost": [{"dev": "sda"}]}}, "spec.rubik.ioCost[0]"),
        ({"rubik": {"preemptNet": {"waterline": 20, "bandwidthLow": 5, "bandwidthHigh": 5}}}, "bandwidthLow must be"),
        ({"enabled": "yes"}, "spec.enabled"),
        ({"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}}, "Unsupported value"),
    ],
)
def test_nonsense_is_refused_with_a_message(api: ApiServer, given: dict[str, Any], says: str) -> None:
    with pytest.raises(LabError) as error:
        create(api, "ColocationPolicy", spec=given)
    assert says in str(error.value)


def test_what_the_manager_writes_is_accepted_as_it_is_encoded(api: ApiServer) -> None:
    for spec in (NodeColocationSpec(), NodeColocationSpec(engine="rubik", rubik=Rubik(psi=Psi()))):
        written = json.loads(msgspec.json.encode(spec))
        assert create(api, "NodeColocation", spec=written)["spec"] == written


@pytest.mark.parametrize(
    ("status", "says"),
    [
        ({"node": {"cpu": -1}}, "status.node.cpu"),
        ({"node": {"cpu": 10**19}}, "status.node.cpu"),
        ({"pods": [{"cpu": 1}]}, "status.pods[0].uid"),
        ({"pods": [{"uid": str(n)} for n in range(MAX_PODS + 1)]}, "at most 500"),
        ({"conditions": [{"type": "Ready"}]}, "status.conditions[0]"),
    ],
)
def test_a_report_with_nonsense_is_refused(api: ApiServer, status: dict[str, Any], says: str) -> None:
    create(api, "NodeColocation", keep=True, name="garbage")
    try:
        patch = json.dumps({"status": status})
        with pytest.raises(LabError) as error:
            api.kubectl("patch", "ncol", "garbage", "--subresource=status", "--type=merge", "-p", patch)
        assert says in str(error.value)
    finally:
        api.kubectl("delete", "ncol", "garbage")
