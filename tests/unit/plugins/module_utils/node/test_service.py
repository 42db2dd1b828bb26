"""The note of a service's files, and when a service counts as well."""

from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _node, _service


def test_the_first_text_stays_and_what_is_as_before_is_no_longer_ours():
    section = {}
    _service.begin(section, {"f": "theirs"})
    _service.proved(section, {"f": "one"})
    _service.begin(section, {"f": "one"})
    assert section["files"]["f"] == {"before": "theirs", "ours": "one"}
    assert _service.put_back(section) == {"f": "one"}
    _service.proved(section, {"f": "theirs"})
    assert (section["files"], _service.put_back(section)) == ({}, {})


def test_a_change_that_never_proved_itself_leads_back_to_the_last_that_did():
    section = {}
    _service.begin(section, {"f": "good"})
    _service.begin(section, {"f": "half"})  # cut off before proved(), and run again
    assert _service.put_back(section) == {"f": "good"}
    assert _service.noted({"kubelet": section}) == ["kubelet"]


def test_forget_drops_a_note_of_a_file_that_others_changed_too():
    section = {}
    _service.begin(section, {"f": "theirs"})
    _service.proved(section, {"f": "mixed"}, forget=True)
    assert section["files"] == {}


def test_directories_that_were_made_go_when_they_are_empty(tmp_path):
    section = {}
    file = tmp_path / "certs.d/docker.io/hosts.toml"
    _service.write_all(section, {str(file): "x"})
    assert file.read_text() == "x"
    (tmp_path / "certs.d/theirs").write_text("")
    _service.write_all(section, {str(file): None})
    assert [p.name for p in (tmp_path / "certs.d").iterdir()] == ["theirs"], "what others put there stays"
    (tmp_path / "certs.d/theirs").unlink()
    _service.write_all(section, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_mode_bytes_and_line_ends_of_a_file_survive(tmp_path, mode):
    file = tmp_path / "f"
    raw = b"a: 1\r\nb: \xff\n"
    file.write_bytes(raw)
    file.chmod(mode)
    text = _node.read(str(file))
    _node.write(str(file), "other", None)
    _node.write(str(file), text, None)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (raw, mode)


class Machine:
    """Answers of systemctl, injected: states that a real unit goes through in seconds."""

    def __init__(self, *states):
        self.states = list(states)

    def __call__(self, argv):
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        return 0, "ActiveState={}\nSubState=x\nMainPID={}\n".format(*state), ""


@pytest.mark.parametrize(
    "states, given",
    [
        ([("active", 7)], ""),
        ([("activating", 0), ("active", 7)], ""),
        ([("failed", 0)], "it is failed"),
    ],
)
def test_a_service_is_well_when_the_same_process_has_been(states, given, monkeypatch):
    monkeypatch.setattr(_service, "POLL_SECONDS", 0.01)
    assert given in _service.Unit("kubelet", Machine(*states)).watch(0.05, 0.4)
    assert bool(_service.Unit("kubelet", Machine(*states)).watch(0.05, 0.4)) is bool(given)


def test_a_service_that_is_started_again_and_again_is_not_well(monkeypatch):
    monkeypatch.setattr(_service, "POLL_SECONDS", 0.01)
    crashing = [("active", pid) for pid in range(1000)]
    assert _service.Unit("kubelet", Machine(*crashing)).watch(0.05, 0.3) == "it is started again and again"


LISTING = """\
TYPE                            ID                       PLATFORMS      STATUS
io.containerd.snapshotter.v1    zfs                      linux/amd64    skip
io.containerd.snapshotter.v1    btrfs                    linux/amd64    error
io.containerd.grpc.v1           cri                      linux/amd64    {}
"""


@pytest.mark.parametrize("listing, given", [(LISTING.format("ok"), ""), (LISTING.format("error"), "io.containerd.grpc.v1.cri"), ("", "does not answer")])
def test_containerd_without_its_cri_plugin_is_not_well(listing, given):
    assert given in _service.plugin_errors(listing)
    assert bool(_service.plugin_errors(listing)) is bool(given)
