"""What kubelet_config and containerd_config decide, node by node, from what was found there."""

from __future__ import annotations

import json
import tomllib

import pytest
import yaml
from ansible_collections.openfuyao.colocation.plugins.action import containerd_config, kubelet_config
from ansible_collections.openfuyao.colocation.plugins.plugin_utils import _settings

MAIN = "/etc/kubernetes/kubelet.yaml"
TEXT = "kind: KubeletConfiguration\nmaxPods: 110  # theirs\n"


def kubelet(texts=None, section=None, flags=None, drop_ins=(), folder="", states=None, **kw):
    return {
        "booted": True,
        "running": True,
        "layout": "",
        "flags": flags or {},
        "main": MAIN,
        "drop_in_folder": folder,
        "drop_ins": list(drop_ins),
        "root": "/var/lib/kubelet",
        "texts": texts or {MAIN: TEXT},
        "states": states or {},
        "section": section or {},
        **kw,
    }


def test_without_a_drop_in_folder_settings_are_merged_and_comments_stay():
    plan = kubelet_config.decide(kubelet(), {"maxPods": 200, "systemReserved": {"cpu": "1"}}, True)
    assert yaml.safe_load(plan.files[MAIN])["systemReserved"] == {"cpu": "1"}
    assert plan.told == {"method": "merge", "kubeadm_patches": ""}
    kept = kubelet_config.decide(kubelet(), {"systemReserved": {"cpu": "1"}}, True)
    assert "maxPods: 110  # theirs\n" in kept.files[MAIN]


def test_with_a_drop_in_folder_the_main_file_is_not_touched():
    plan = kubelet_config.decide(kubelet(folder="/d", flags={"config-dir": "/d"}), {"maxPods": 200}, True)
    assert plan.files[MAIN] == TEXT
    assert yaml.safe_load(plan.files["/d/90-openfuyao-colocation.conf"]) == {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "maxPods": 200,
    }
    assert plan.told == {"method": "drop-in", "kubeadm_patches": ""}


def test_a_kubelet_that_is_given_a_drop_in_folder_later_gets_its_own_file_back():
    ours = kubelet_config.decide(kubelet(), {"maxPods": 200}, True).files[MAIN]
    section = {"files": {MAIN: {"before": TEXT, "ours": ours}}}
    plan = kubelet_config.decide(
        kubelet({MAIN: ours}, section, {"config-dir": "/d"}, folder="/d"), {"maxPods": 200}, True
    )
    assert plan.files[MAIN] == TEXT
    assert "/d/90-openfuyao-colocation.conf" in plan.files


def test_absent_gives_the_text_of_before_back_to_the_byte():
    section = {"files": {MAIN: {"before": TEXT, "ours": "maxPods: 200\n"}}}
    plan = kubelet_config.decide(kubelet({MAIN: "maxPods: 200\n"}, section), {}, False)
    assert plan.files == {MAIN: TEXT}
    assert plan.forget


def test_absent_leaves_what_others_changed_since():
    section = {"files": {MAIN: {"before": TEXT, "ours": TEXT + "cpuManagerPolicy: static\n"}}}
    now = TEXT.replace("110", "150") + "cpuManagerPolicy: static\nnew: 1\n"
    plan = kubelet_config.decide(kubelet({MAIN: now}, section), {}, False)
    assert yaml.safe_load(plan.files[MAIN]) == {"kind": "KubeletConfiguration", "maxPods": 150, "new": 1}


def test_a_setting_that_is_no_longer_asked_for_is_as_before():
    ours = "kind: KubeletConfiguration\nmaxPods: 200\nserializeImagePulls: false\n"
    section = {"files": {MAIN: {"before": TEXT, "ours": ours}}}
    plan = kubelet_config.decide(kubelet({MAIN: ours}, section), {"serializeImagePulls": False}, True)
    assert yaml.safe_load(plan.files[MAIN]) == {
        "kind": "KubeletConfiguration",
        "maxPods": 110,
        "serializeImagePulls": False,
    }


def test_the_checkpoint_of_another_cpu_manager_goes_with_the_change():
    states = {"cpu_manager_state": '{"policyName":"none"}'}
    wanted = {"cpuManagerPolicy": "static", "reservedSystemCPUs": "0"}
    plan = kubelet_config.decide(kubelet(states=states), wanted, True)
    assert plan.stale == ["/var/lib/kubelet/cpu_manager_state"]
    assert kubelet_config.decide(kubelet(states=states), {"maxPods": 9}, True).stale == []


@pytest.mark.parametrize(
    "found, wanted, answer",
    [
        (kubelet({MAIN: "- a\n"}), {"maxPods": 1}, "is no YAML mapping"),
        (kubelet({MAIN: None}, running=False), {"maxPods": 1}, "no kubelet runs as the unit kubelet"),
        (
            kubelet({MAIN: None}, running=False, layout="k3s"),
            {"maxPods": 1},
            "kubelet-arg in /etc/rancher/k3s/config.yaml",
        ),
        (kubelet(layout="microk8s"), {"maxPods": 1}, "/var/snap/microk8s/current/args/kubelet"),
        (kubelet(folder="/d"), {"maxPods": None}, "cannot take a field out"),
        (kubelet(), {"cpuManagerPolicy": "static"}, "reservedSystemCPUs"),
        (
            kubelet({MAIN: TEXT, "/d/99.conf": "maxPods: 5\n"}, folder="/d", drop_ins=["99.conf"]),
            {"maxPods": 1},
            "99.conf is read after ours",
        ),
    ],
)
def test_what_speaks_against_it_is_said_and_nothing_planned(found, wanted, answer):
    assert any(answer in problem for problem in kubelet_config.decide(found, wanted, True).problems)


DEFAULT = "/var/lib/kubelet/config.yaml"
PATCH = "/etc/kubernetes/patches/kubeletconfiguration90-openfuyao-colocation+merge.yaml"


def test_where_kubeadm_wrote_the_file_the_settings_are_a_patch_of_kubeadm_too():
    found = kubelet({DEFAULT: TEXT, PATCH: None}, layout="kubeadm", main=DEFAULT)
    plan = kubelet_config.decide(found, {"maxPods": 200}, True)
    assert yaml.safe_load(plan.files[PATCH]) == {"maxPods": 200}
    assert plan.told["kubeadm_patches"] == "/etc/kubernetes/patches"
    assert plan.restart
    written = {**found, "texts": {DEFAULT: plan.files[DEFAULT], PATCH: None}}
    assert not kubelet_config.decide(written, {"maxPods": 200}, True).restart, "kubelet does not read the patch"
    section = {"files": {path: {"before": found["texts"][path], "ours": plan.files[path]} for path in plan.files}}
    back = kubelet_config.decide({**found, "texts": dict(plan.files), "section": section}, {}, False)
    assert back.files == {DEFAULT: TEXT, PATCH: None}


@pytest.mark.parametrize("layout, main, folder", [("", DEFAULT, ""), ("kubeadm", MAIN, ""), ("kubeadm", DEFAULT, "/d")])
def test_elsewhere_kubeadm_gets_no_patch(layout, main, folder):
    plan = kubelet_config.decide(kubelet({main: TEXT}, layout=layout, main=main, folder=folder), {"maxPods": 200}, True)
    assert PATCH not in plan.files


@pytest.mark.parametrize(
    "text, indent",
    [('{"kind": "KubeletConfiguration", "maxPods": 110}', None), ('{\n    "maxPods": 110\n}\n', 4), (None, None)],
)
def test_a_configuration_in_json_stays_json_there_and_back(text, indent):
    main = "/etc/kubernetes/kubelet.json"
    ours = kubelet_config.decide(
        kubelet({main: text}, main=main), {"maxPods": 200, "featureGates": {"A": True}}, True
    ).files[main]
    assert json.loads(ours) == {**json.loads(text or "{}"), "maxPods": 200, "featureGates": {"A": True}}
    assert ("\n    " in ours) is (indent == 4)
    section = {"files": {main: {"before": text, "ours": ours}}}
    theirs = ours.replace("}", ', "podPidsLimit": 9}', 1) if indent is None else ours
    back = kubelet_config.decide(kubelet({main: theirs}, section, main=main), {}, False).files[main]
    assert back is None or isinstance(json.loads(back), dict)


TOML = "/etc/containerd/config.toml"
V2 = 'version = 2\n[plugins."io.containerd.grpc.v1.cri".registry]\n  config_path = "/certs"  # mine\n'


def containerd(text=V2, version="1.7.24", section=None, certs="/certs", layout="", wrong="", **texts):
    """With a dump as containerd would print it, of the values that count here; test_containerd.py asks real ones."""
    old = version.startswith("1.")
    values = tomllib.loads(text or "") if text and not wrong else {}
    plugins = values.get("plugins", {})
    registry = next((one["registry"] for one in plugins.values() if "registry" in one), {"config_path": ""})
    nri = plugins.get("io.containerd.nri.v1.nri", {"disable": old})
    cri = "io.containerd.grpc.v1.cri" if old else "io.containerd.cri.v1.images"
    dump = [
        f"version = {2 if old else 3}",
        f"[plugins.'{cri}'.registry]",
        f"config_path = '{registry.get('config_path', '')}'",
    ]
    dump += [f"[plugins.'{cri}'.registry.mirrors.'{name}']" for name in registry.get("mirrors", {})]
    dump += (
        []
        if version.startswith("1.6")
        else ["[plugins.'io.containerd.nri.v1.nri']", f"disable = {str(nri['disable']).lower()}"]
    )
    return {
        "booted": True,
        "running": True,
        "layout": layout,
        "version": version,
        "main": TOML,
        "imported": [],
        "dump": "\n".join(dump),
        "dump_error": wrong,
        "certs_dir": certs,
        "texts": {TOML: text, **texts},
        "section": section or {},
    }


MIRROR = {
    "registry": "docker.io",
    "server": None,
    "hosts": [{"url": "https://m:5000", "ca": "/ca.pem", "skip_verify": False}],
}


def test_a_mirror_is_a_file_and_needs_no_restart_where_the_folder_is_configured():
    plan = containerd_config.decide(containerd(), None, [MIRROR], True)
    assert plan.files[TOML] == V2
    assert not plan.restart
    assert tomllib.loads(plan.files["/certs/docker.io/hosts.toml"]) == {
        "host": {"https://m:5000": {"capabilities": ["pull", "resolve"], "ca": "/ca.pem"}}
    }


@pytest.mark.parametrize(
    "text, version, table",
    [
        ("version = 2\n", "1.7.24", "io.containerd.grpc.v1.cri"),
        ("version = 2\n", "2.1.0", "io.containerd.grpc.v1.cri"),
        ("version = 3\n", "2.1.0", "io.containerd.cri.v1.images"),
        (None, "2.1.0", "io.containerd.cri.v1.images"),
        (None, "1.7.24", "io.containerd.grpc.v1.cri"),
    ],
)
def test_both_generations_of_configuration_are_known_by_the_file_not_the_binary(text, version, table):
    plan = containerd_config.decide(containerd(text, version, certs="/new"), None, [MIRROR], True)
    content = tomllib.loads(plan.files[TOML])
    assert content["plugins"][table]["registry"]["config_path"] == "/new"
    assert content["version"] == (3 if "v1.images" in table else 2)
    assert plan.restart


@pytest.mark.parametrize(
    "text, version, on, changes",
    [
        ("version = 2\n", "1.7.24", True, True),
        ("version = 2\n", "1.7.24", False, False),
        ("version = 3\n", "2.1.0", True, False),
        ("version = 3\n", "2.1.0", False, True),
    ],
)
def test_nri_is_off_by_itself_in_1_and_on_in_2(text, version, on, changes):
    plan = containerd_config.decide(containerd(text, version), on, [], True)
    assert (plan.files[TOML] != text) is changes
    if changes:
        assert tomllib.loads(plan.files[TOML])["plugins"]["io.containerd.nri.v1.nri"]["disable"] is not on


@pytest.mark.parametrize(
    "found, nri, mirrors, answer",
    [
        (containerd(version="1.6.20"), True, [], "has no NRI (1.7 and newer have)"),
        (containerd(version=""), True, [], "no containerd was found"),
        (containerd("[plugins]\n"), True, [], "is of version 1"),
        (containerd("version = 3\n", wrong="too new"), True, [], "would not come back from a restart: too new"),
        (containerd("version = 9\n", version="2.4.0"), True, [], "knows 2, 3 and 4"),
        (containerd(layout="k3s"), True, [], "/etc/rancher/k3s/registries.yaml"),
        (containerd(layout="rke2"), None, [MIRROR], "this node runs rke2"),
        (containerd(layout="microk8s", version=""), None, [MIRROR], "containerd-template.toml"),
        (
            containerd("version = 2\n[plugins.'io.containerd.grpc.v1.cri'.registry.mirrors.'x']\n"),
            None,
            [MIRROR],
            "registry.mirrors for x",
        ),
        (containerd("version = [", wrong=" "), True, [], "cannot be read as TOML"),
    ],
)
def test_what_containerd_could_not_do_is_said_before(found, nri, mirrors, answer):
    assert any(answer in problem for problem in containerd_config.decide(found, nri, mirrors, True).problems)


def test_absent_takes_out_only_what_is_still_ours():
    ours = containerd_config.decide(containerd("version = 2\n"), True, [], True).files[TOML]
    section = {"files": {TOML: {"before": "version = 2\n", "ours": ours}}}
    assert containerd_config.decide(containerd(ours, section=section), None, [], False).files == {TOML: "version = 2\n"}
    others = 'root = "/data"\n' + ours
    left = containerd_config.decide(containerd(others, section=section), None, [], False).files[TOML]
    assert tomllib.loads(left)["root"] == "/data"
    assert "disable" not in left


@pytest.mark.parametrize(
    "now, before, ours, wanted",
    [
        ("a", "a", "b", "a"),
        ("b", "a", "b", "a"),
        (None, "a", "b", None),
        ("c", None, None, "c"),
        ("b", None, "b", None),
        ("c", "a", "b", "undone"),
    ],
)
def test_a_file_without_what_is_ours(now, before, ours, wanted):
    section = {"files": {"f": {"before": before, "ours": ours}}}
    assert _settings.as_before(section, {"f": now}, "f", lambda *_sides: "undone") == wanted
