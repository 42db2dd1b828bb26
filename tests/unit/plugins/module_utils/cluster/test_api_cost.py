# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What every module that speaks to the API server imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("kubernetes")

# kubernetes-validate as a user may have it installed: it costs 1.4 s, so here it fails the test.
PROGRAM = """
import sys
from pathlib import Path

folder = Path({folder!r})
(folder / "kubernetes_validate.py").write_text("raise SystemExit('kubernetes_validate was imported')")
sys.path.insert(0, str(folder))
sys.modules["ansible_collections"] = __import__("types").ModuleType("ansible_collections")
with open({source!r}) as source:
    exec(compile(source.read(), "_api.py", "exec"))
import kubernetes.dynamic

assert "kubernetes.dynamic.client" in sys.modules
"""


def test_kubernetes_validate_is_not_imported_where_it_is_installed(tmp_path):
    from ansible_collections.openfuyao.colocation.plugins.module_utils.cluster import _api

    program = PROGRAM.format(folder=str(tmp_path), source=_api.__file__)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
