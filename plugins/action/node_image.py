# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Asks the node first, and transfers the archive only if its images are not there.

One remote call a node when nothing is to do.
"""

from __future__ import annotations

import os
import typing as t

from ansible.plugins.action import ActionBase

from ansible_collections.openfuyao.colocation.plugins.module_utils.node import _node

MODULE = "openfuyao.colocation.node_image"
_digests: dict[tuple[str, float, int], str] = {}


class ActionModule(ActionBase):
    TRANSFERS_FILES = True
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        args = {key: value for key, value in self._task.args.items() if key not in ("src", "sha256")}
        if args.get("state", "present") != "present" or not args.get("archive"):
            return self._execute_module(MODULE, module_args=args, task_vars=task_vars)

        archive = os.path.abspath(os.path.expanduser(str(args["archive"])))
        try:
            args.update(archive=archive, sha256=self._digest(archive))
        except OSError as e:
            message = f"The image archive {archive} cannot be read: {e.strerror}. Set colocation_image_archive."
            return {"failed": True, "msg": message}
        result = self._execute_module(MODULE, module_args=args, task_vars=task_vars)
        if not result.get("needed") or result.get("failed"):
            return result
        if self._task.check_mode:
            return {**result, "changed": True}
        self._make_tmp_path()
        remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "images.tar")
        try:
            self._transfer_file(archive, remote)
            return self._execute_module(MODULE, module_args={**args, "src": remote}, task_vars=task_vars)
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _digest(self, archive: str) -> str:
        stat = os.stat(archive)
        key = (archive, stat.st_mtime, stat.st_size)
        if key not in _digests:
            _digests[key] = _node.sha256(archive)
        return _digests[key]
