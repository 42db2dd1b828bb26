"""The file to copy and the role's profile are the same policy."""

from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.openfuyao.colocation.plugins.module_utils.descheduler import _policy

FILES = Path(__file__).resolve().parents[3] / "files/descheduler"


def test_balance_is_the_profile_of_the_role():
    asked = {
        "profiles": ["balance"],
        "prometheus_url": "http://prometheus-server.monitoring.svc",
        "limits": {"node": 1},
    }
    assert yaml.safe_load((FILES / "balance.yaml").read_text()) == _policy.policy(asked)
