"""Passwords in files of others: found to be masked, and never readable for anyone else while a file is replaced."""

from __future__ import annotations

import os
import stat
import struct
import sys

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _node, _secrets

REGISTRY = '''version = 2
[plugins."io.containerd.grpc.v1.cri".registry.configs."r.example".auth]
  username = "bob"
  password = "hunter22" # of bob
  auth = "Ym9iOmh1bnRlcjIy"
[plugins."x".registry.configs."q"]
  auth = {username = "u1ser", password = 'inl"ine9'}
[host."https://m".header]
  authorization = ["Basic abcd", "x-y-z-1"]
  X-Meta-Key = "zzzz1"
[host."https://n"]
  ca = "/etc/ca.pem"
[other]
  proxy = "http://me:p4ssw0rd@proxy:80"
  identitytoken = """multi
line7"""
  sandbox_image = "visible"
'''
KUBELET = "authorization:\n  mode: Webhook\nstaticPodURLHeader:\n  Authorization:\n  - Bearer abc123def\nmaxPods: 110\n"


@pytest.mark.parametrize(
    "text, secret, shown",
    [
        (
            REGISTRY,
            {"hunter22", "Ym9iOmh1bnRlcjIy", 'inl"ine9', "Basic abcd", "x-y-z-1", "zzzz1", "p4ssw0rd", "multi\nline7"},
            {"/etc/ca.pem", "visible", "bob", "2"},
        ),
        (KUBELET, {"abc123def"}, {"110", "Webhook", "Bearer", "Authorization"}),
        ('{"maxPods": 110, "staticPodURLHeader": {"Authorization": ["Bearer q1w2"]}}', {"Bearer q1w2"}, {"110", "maxPods"}),
        (None, set(), set()),
    ],
)
def test_passwords_are_found_in_every_form_and_settings_are_not(text, secret, shown):
    found = _secrets.secrets(text)
    assert secret <= found
    assert not shown & found


def test_a_private_file_is_private_at_every_moment_of_its_replacement(tmp_path, monkeypatch):
    file = tmp_path / "config.toml"
    file.write_text("old")
    file.chmod(0o600)
    seen = []
    fsync = os.fsync

    def look(number):  # injected: the moment at which the new text is on disk, under its temporary name
        seen.append({one.name: stat.S_IMODE(one.stat().st_mode) for one in tmp_path.iterdir()})
        fsync(number)

    monkeypatch.setattr(os, "fsync", look)
    before = os.umask(0)
    try:
        _node.write(str(file), "new", None)
    finally:
        os.umask(before)
    assert [set(modes.values()) for modes in seen] == [{0o600}]
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o600)


def acl(*entries):
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NO_ID = 0xFFFFFFFF
ACL = acl((1, 6, NO_ID), (2, 4, 1234), (4, 0, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID))
"""user::rw-, user:1234:r--, group::---, mask::r--, other::---"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="extended attributes are Linux's")
@pytest.mark.parametrize("name, value", [("system.posix_acl_access", ACL), ("user.note", b"kept")])
def test_acl_and_other_attributes_of_a_replaced_file_stay(tmp_path, name, value):
    file = tmp_path / "config.toml"
    file.write_text("old")
    try:
        os.setxattr(file, name, value)
    except OSError as e:
        pytest.skip(f"this file system has no {name}: {e}")
    mode = file.stat().st_mode
    _node.write(str(file), "new", None)
    assert (os.getxattr(file, name), file.stat().st_mode, file.read_text()) == (value, mode, "new")


def test_a_temporary_file_of_a_run_that_was_cut_off_is_in_nobodys_way(tmp_path):
    left = tmp_path / "config.toml.colocation-new"
    left.symlink_to("/etc/passwd")
    _node.write(str(tmp_path / "config.toml"), "new", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["config.toml"]
