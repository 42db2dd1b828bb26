from __future__ import annotations

import base64
import datetime
import gzip
import json

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.rollout import _rollout

NOW = datetime.datetime(2026, 11, 21, 8, 0, 0, tzinfo=datetime.timezone.utc)
ME, OTHER = "ann@here:10:77", "bob@there:11:88"


def lease(holder, seconds_ago=0, duration=600):
    renewed = _rollout.stamp(NOW - datetime.timedelta(seconds=seconds_ago))
    return {
        "metadata": {"name": "colocation-rollout", "namespace": "kube-system"},
        "spec": {
            "holderIdentity": holder,
            "renewTime": renewed,
            "acquireTime": renewed,
            "leaseDurationSeconds": duration,
        },
    }


def secret(version, status, chart="0.1.0"):
    result = json.dumps({"chart": {"metadata": {"version": chart}}}).encode()
    data = base64.b64encode(base64.b64encode(gzip.compress(result))).decode()
    return {"metadata": {"labels": {"version": str(version), "status": status}}, "data": {"release": data}}


@pytest.mark.parametrize(
    ("there", "gone", "keeps_out"),
    [
        (None, [], None),
        (lease(None), [], None),
        (lease(ME), [], None),
        (lease(OTHER), [], OTHER),
        (lease(OTHER, seconds_ago=601), [], None),
        (lease(OTHER), [OTHER], None),
        (lease(OTHER), ["someone@else:1:1"], OTHER),
    ],
)
def test_a_lease_keeps_others_out_while_it_is_renewed_and_its_holder_is_not_known_dead(there, gone, keeps_out):
    assert _rollout.held_by(there, ME, gone, NOW) == keeps_out


def test_a_lease_without_a_readable_time_keeps_nobody_out_for_ever():
    odd = lease(OTHER)
    odd["spec"]["renewTime"] = "yesterday"
    assert _rollout.held_by(odd, ME, [], NOW) is None


def test_the_refusal_names_the_holder_and_the_way_out():
    result = _rollout.refusal(lease(OTHER, seconds_ago=100), OTHER, NOW)
    assert "bob@there," in result
    assert "500 s" in result
    assert "kubectl delete lease -n kube-system colocation-rollout" in result


def test_a_revision_that_hangs_or_failed_is_nothing_to_go_back_to():
    secrets = [secret(1, "superseded"), secret(2, "deployed", "0.2.0"), secret(3, "pending-upgrade"), secret(4, "failed")]
    assert _rollout.release_of(secrets)["revision"] == 4
    assert _rollout.good_revision(secrets) == {"revision": 2, "status": "deployed", "version": "0.2.0"}
    assert _rollout.good_revision([]) is None


def there(revision, settings=None):
    return {"revision": revision, "version": "x", "policies": [], "settings": settings or {}}


def test_a_rollout_that_changes_nothing_is_no_step():
    notes = {"previous": there(1), "settings": {}}
    assert _rollout.ended(_rollout.begun(notes, there(2)), there(2), {}) == notes


def test_a_rollout_that_changes_something_is_a_step_back():
    notes = _rollout.ended(_rollout.begun({"previous": there(1)}, there(2)), there(3), {})
    assert _rollout.target(notes) == there(2)


def test_settings_of_nodes_alone_are_a_step_too_and_empty_ones_are_not_kept():
    set_ = {"a": {"sysctls": {"x": "1"}, "modules": []}, "b": {"sysctls": {}, "modules": []}}
    notes = _rollout.ended(_rollout.begun({}, there(2)), there(2), set_)
    assert notes["settings"] == {"a": set_["a"]}
    assert _rollout.target(notes) == there(2)


def test_an_unfinished_rollout_keeps_what_it_noted_and_a_step_back_leads_out_of_it():
    first = _rollout.begun({"previous": there(1)}, there(2))
    again = _rollout.begun(first, there(3))  # half of it is there
    assert _rollout.target(again) == there(2)
    assert _rollout.undone(again) == {"settings": {}}
    assert _rollout.target(_rollout.undone(again)) is None


def test_before_the_first_installation_there_is_nothing_to_note():
    assert _rollout.snapshot(None, [], {}) is None
    assert _rollout.begun({}, None) == {}


def test_the_manager_stays_where_its_image_was_brought_first():
    notes = {"image": {"sha256": "aa", "nodes": ["n2", "gone"]}}
    assert _rollout.carriers(notes, "aa", ["n1", "n2"], {"n1", "n2"}) == ["n2", "n1"]
    assert _rollout.carriers(notes, "bb", ["n1"], {"n1", "n2"}) == ["n1"], "another archive is on this play's nodes only"
    many = [f"m{i}" for i in range(50)]
    assert len(_rollout.carriers({}, "aa", many, set(many))) == _rollout.CARRIERS
    assert _rollout.affinity([]) == {}


def test_nodes_that_leave_lose_the_manager_but_not_the_last_ones_that_have_its_image():
    notes = {"image": {"sha256": "aa", "nodes": ["n1", "n2"]}, "settings": {}}
    assert _rollout.without(notes, ["n1"])["image"]["nodes"] == ["n2"]
    with pytest.raises(ValueError, match="Only the nodes that leave"):
        _rollout.without(notes, ["n1", "n2"])
    assert _rollout.without({}, ["n1"]) == {}, "with a registry it may run anywhere"


def test_policies_are_told_apart_by_who_made_them():
    def policy(name, **labels):
        return {"metadata": {"name": name, "labels": labels}, "spec": {"priority": 1}}

    ours = {"app.kubernetes.io/managed-by": "openfuyao.colocation"}
    found = [policy("b", **ours), policy("a", **ours), policy("hand"), {"metadata": {"name": "bare"}}]
    assert [p["name"] for p in _rollout.policies_of(found)] == ["a", "b"]
    assert _rollout.policies_of(found, by_hand=True) == [
        {"name": "bare", "spec": {}},
        {"name": "hand", "spec": {"priority": 1}},
    ]


SETTINGS = {"sysctls": {"vm.swappiness": "10", "vm.overcommit_memory": "1"}, "modules": [], "boot_arguments": [], "resctrl": False}


def steps(count):
    each = {f"node-{i:05}.rack-7.example.org": SETTINGS for i in range(count)}
    step = {"revision": 3, "version": "0.1.0", "policies": [], "settings": each}
    return {"settings": each, "pending": step, "previous": step, "image": {"sha256": "a", "nodes": ["n"]}}


@pytest.mark.parametrize("notes", [{}, {"image": {}}, steps(0), steps(3), {**steps(2), "pending": None}])
def test_what_is_written_is_read_again(notes):
    assert _rollout.read(_rollout.written(notes)) == notes
    assert _rollout.read(None) == {}


def test_the_notes_of_five_thousand_nodes_fit_into_a_configmap():
    """As one row for each node they were above 1 MiB from about 2,100 nodes on."""
    before = {"labelsBefore": dict.fromkeys(steps(5000)["settings"]), "namespaceMade": True}
    kept = {"data": {"before": json.dumps(before), "steps": "{}"}}
    assert len(json.dumps(steps(2300))) > 1 << 20
    assert len(_rollout.written(steps(5000))) + len(kept["data"]["before"]) < 1_000_000
    assert _rollout.too_big(kept, {"settings": steps(5000)["settings"]}, set(steps(5000)["settings"])) is None


def test_what_would_not_fit_at_the_end_is_told_at_the_start():
    each = {f"n{i}": {"sysctls": {"vm.swappiness": str(i)}} for i in range(9000)}
    answer = _rollout.too_big(None, {"settings": each}, set(each))
    assert "(9000 nodes)" in answer
    assert answer.endswith("Nothing was changed.")
