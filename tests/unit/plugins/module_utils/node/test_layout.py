"""Distributions that are known by their directories, and what is said of them."""

from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _layout


@pytest.mark.parametrize("layout", _layout.LAYOUTS, ids=lambda one: one.name)
def test_a_layout_is_known_by_each_of_its_marks(tmp_path, layout):
    for number, mark in enumerate(layout.marks):
        root = tmp_path / str(number)
        (root / mark.lstrip("/")).mkdir(parents=True)
        assert _layout.find(str(root)) == layout.name


def test_a_node_of_its_own_making_is_no_layout_and_managed(tmp_path):
    assert _layout.find(str(tmp_path)) == ""
    assert not any(_layout.unmanaged(name, what) for name in ("", "kubeadm") for what in ("containerd", "kubelet", "images"))


@pytest.mark.parametrize("name", ["k3s", "rke2", "microk8s"])
@pytest.mark.parametrize(
    "what, variable",
    [("containerd", "colocation_containerd_*"), ("kubelet", "colocation_kubelet_*"), ("images", "colocation_image_archive")],
)
def test_what_is_not_managed_is_said_with_the_way_there_and_no_advice_to_install_or_start(name, what, variable):
    answer = _layout.unmanaged(name, what)
    assert answer.startswith(f"this node runs {name}")
    assert variable in answer
    assert "nstall" not in answer
    assert "start it" not in answer.lower()


def test_what_another_distribution_left_behind_does_not_make_a_node_of_kubeadm_its_own(tmp_path):
    for mark in ("var/lib/kubelet/kubeadm-flags.env", "var/lib/rancher/k3s"):
        (tmp_path / mark).mkdir(parents=True)
    assert _layout.find(str(tmp_path)) == "kubeadm"
