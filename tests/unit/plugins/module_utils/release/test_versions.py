from __future__ import annotations

import pytest
from ansible_collections.openfuyao.colocation.plugins.module_utils.release._versions import (
    minor,
    newer_than_tested,
    problems,
)

FINE = {"collection": "0.2.0", "chart": "0.2.3", "app": "0.2.3", "chart_before": "0.1.9", "images": []}


def test_one_step_up_is_fine_and_so_is_a_first_rollout():
    assert problems(FINE) == problems({**FINE, "chart_before": ""}) == []


@pytest.mark.parametrize(
    ("changed", "answer"),
    [
        ({"chart": "0.3.0", "chart_before": ""}, "Chart 0.3.0 and collection 0.2.0 do not go together"),
        ({"chart_before": "0.0.9"}, "more than one step newer. Upgrade one minor version at a time: next is 0.1."),
        ({"chart_before": "1.2.0"}, "more than one step newer"),
        ({"images": ["localhost/openfuyao/colocation-manager:0.1.0"]}, "archive has version 0.1.0, and the chart would run 0.2.3"),
    ],
)
def test_what_cannot_work_together_is_told(changed, answer):
    (sentence,) = problems({**FINE, **changed})
    assert answer in sentence


def test_an_archive_with_the_version_wanted_among_others_is_fine():
    images = ["localhost/openfuyao/colocation-manager:0.1.0", "localhost/openfuyao/colocation-manager:0.2.3", "else:1"]
    assert problems({**FINE, "images": images}) == []


def test_a_cluster_newer_than_tested_is_a_warning():
    assert newer_than_tested("v1.36.3") == newer_than_tested("") == []
    (answer,) = newer_than_tested("v1.99.0-eks")
    assert "Kubernetes 1.99" in answer


def test_vendors_versions_are_read():
    assert minor("v1.31.2-gke.1") == (1, 31)
    assert minor("next") is None
