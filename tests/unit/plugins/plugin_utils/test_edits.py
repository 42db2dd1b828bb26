"""Files of others are changed line by line, and never more of them than was asked for."""

from __future__ import annotations

import random
import tomllib

import pytest
import yaml
from ansible_collections.openfuyao.colocation.plugins.plugin_utils import _selector, _toml_edit, _yaml_edit

KUBELET = """\
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false  # the default refuses
# about reserving
systemReserved:
  cpu: 100m   # inner

  memory: 1Gi

# about pods
maxPods: 110
registerWithTaints: []
"""
CONTAINERD = """\
# mine
version = 2
[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "pause:1" # keep
    [plugins."io.containerd.grpc.v1.cri".registry]
      # empty
      config_path = ""  # here

[plugins."io.containerd.nri.v1.nri"]
  disable = true
"""


def test_yaml_keeps_every_line_that_says_something_else():
    wanted = {**yaml.safe_load(KUBELET), "systemReserved": {"cpu": "500m"}, "cpuManagerPolicy": "static"}
    del wanted["maxPods"]
    edited = _yaml_edit.edit(KUBELET, wanted)
    assert yaml.safe_load(edited) == wanted
    for kept in ("failCgroupV1: false  # the default refuses\n", "# about reserving\n", "# about pods\n", "registerWithTaints: []\n"):
        assert kept in edited
    assert "inner" not in edited
    assert "maxPods" not in edited


def test_yaml_that_says_the_same_already_is_not_touched():
    assert _yaml_edit.edit(KUBELET, yaml.safe_load(KUBELET)) == KUBELET


@pytest.mark.parametrize("text", ["", "{a: 1, b: {c: 2}}\n", "a: &x {c: 1}\nb: *x\n", "a: |\n  text\n  more\nb: 1", "a:\n- 1\n- 2\nb: 2\n"])
def test_yaml_of_any_form_comes_to_what_was_asked(text):
    wanted = {**_yaml_edit.load(text, ""), "b": {"d": 3}, "new": [1]}
    wanted.pop("a", None)
    assert yaml.safe_load(_yaml_edit.edit(text, wanted)) == wanted


def anything(rng, depth=3):
    kind = rng.randrange(6 if depth else 4)
    if kind == 5:
        return {rng.choice("abcxyz") * rng.randint(1, 2): anything(rng, depth - 1) for _n in range(rng.randrange(4))}
    if kind == 4:
        return [anything(rng, depth - 1) for _n in range(rng.randrange(3))]
    return (None, True, rng.randrange(99), "".join(rng.choices("ab #:'\n-", k=rng.randrange(7))))[kind]


@pytest.mark.parametrize("seed", range(300))
def test_yaml_edits_always_come_to_what_was_asked(seed):
    rng = random.Random(seed)
    before, wanted = ({key: anything(rng) for key in rng.sample("abcdef", rng.randrange(5))} for _n in range(2))
    assert _yaml_edit.load(_yaml_edit.edit(_yaml_edit.dump(before), wanted), "") == wanted


@pytest.mark.parametrize("text", ["- a\n", "a: [", "just words"])
def test_yaml_that_is_no_mapping_is_told_with_its_place(text):
    with pytest.raises(_yaml_edit.NoMapping, match="here"):
        _yaml_edit.load(text, "here")


CONFIG_PATH = ("plugins", "io.containerd.grpc.v1.cri", "registry", "config_path")
NRI = ("plugins", "io.containerd.nri.v1.nri", "disable")


def test_toml_changes_one_value_and_one_line():
    edited = _toml_edit.set_value(CONTAINERD, CONFIG_PATH, "/etc/containerd/certs.d")
    assert set(edited.splitlines()) ^ set(CONTAINERD.splitlines()) == {
        '      config_path = ""  # here',
        '      config_path = "/etc/containerd/certs.d"  # here',
    }
    assert _toml_edit.set_value(edited, CONFIG_PATH, "") == CONTAINERD


@pytest.mark.parametrize(
    "text, path, value",
    [
        ("", NRI, False),
        ("version = 2", NRI, False),
        (CONTAINERD, NRI, False),
        (CONTAINERD, NRI, None),
        (CONTAINERD, ("plugins", "io.containerd.grpc.v1.cri", "cni", "bin_dir"), "/opt"),
        (CONTAINERD, ("plugins", "io.containerd.grpc.v1.cri", "new"), 3),
        (CONTAINERD, ("root",), "/var/lib/containerd"),
        ('[plugins]\n[plugins."io.containerd.nri.v1.nri"]\n', NRI, True),
    ],
)
def test_toml_has_the_value_afterwards_and_nothing_else_changed(text, path, value):
    before = tomllib.loads(text)
    after = tomllib.loads(_toml_edit.set_value(text, path, value))
    assert _toml_edit.get(after, path) == value
    back = tomllib.loads(_toml_edit.set_value(_toml_edit.set_value(text, path, value), path, _toml_edit.get(before, path)))
    assert _toml_edit._plain(back) == _toml_edit._plain(before)


@pytest.mark.parametrize("text", ['plugins = {"io.containerd.nri.v1.nri" = {disable = true}}', "plugins.x.y = 1\n[plugins.x.z]\na = 1\n"])
def test_toml_that_cannot_be_changed_line_by_line_is_left_alone_with_a_word(text):
    with pytest.raises(_toml_edit.CannotEdit, match="line by line"):
        _toml_edit.set_value(text, (*NRI[:2], "disable") if "nri" in text else ("plugins", "x", "y", "q"), False)


@pytest.mark.parametrize(
    "text, labels, fits",
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b,c", {"a": "b"}, False),
        ("a!=b", {}, True),
        ("!a", {"a": ""}, False),
        ("a in (x, y), b notin (z)", {"a": "y"}, True),
        ("b notin (z)", {"b": "z"}, False),
        ("kubernetes.io/os", {"kubernetes.io/os": "linux"}, True),
    ],
)
def test_label_selectors_mean_what_kubectl_means(text, labels, fits):
    assert _selector.fits(_selector.parse(text), labels) is fits


@pytest.mark.parametrize("text", ["a in b", "a b", "=", "a in (b", "!"])
def test_a_selector_that_is_none_is_told(text):
    with pytest.raises(_selector.BadSelector):
        _selector.parse(text)
