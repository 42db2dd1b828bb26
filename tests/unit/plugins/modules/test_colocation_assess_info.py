# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from ansible_collections.openfuyao.colocation.plugins.modules import colocation_assess_info as module


def test_options_that_are_given_become_the_commands():
    params = dict.fromkeys(module.SPEC)
    params.update(command="/opt/colocation", prometheus_ca="/ca.pem", days=7.0, risk="0.5%", language="zh")
    assert module.arguments(params) == [
        "assess", "-o", "json", "--prometheus-ca=/ca.pem", "--days=7.0", "--risk=0.5%", "--lang=zh",
    ]


def test_policies_are_as_the_collections_variable_takes_them():
    spec = {"oversell": {"cpu": {"violationBudget": "1%"}}}
    assessment = {"pools": [{"policy": {"kind": "ColocationPolicy", "metadata": {"name": "web"}, "spec": spec}}]}
    assert module.policies(assessment) == [{"name": "web", "spec": spec}]


def test_a_missing_command_gets_the_way_to_install_it():
    assert "pip install 'colocation[assess]'" in module.missing("colocation")
    assert "colocation_command" in module.missing("colocation")
