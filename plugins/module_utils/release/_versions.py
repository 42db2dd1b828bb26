# Copyright (c) 2026, the openfuyao.colocation contributors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is **PRIVATE** to the collection; it can change at any time.

"""Which versions go together. C(make generate) writes the table in docs/versions.md from here."""

from __future__ import annotations

import re
import typing as t

KUBERNETES = ((1, 30), (1, 36))
"""The oldest that can be, and the newest that is tested."""
KUBERNETES_TESTED = ("1.32", "1.36")
ANSIBLE_TESTED = ("2.19", "2.20", "2.21")
HELM = ("3.12", "4")
Version = t.Tuple[int, int]


def minor(text: t.Any) -> Version | None:
    """Major and minor of a version, however it is written."""
    match = re.match(r"v?(\d+)\.(\d+)", str(text or ""))
    return (int(match.group(1)), int(match.group(2))) if match else None


def word(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


def problems(match: t.Mapping[str, t.Any]) -> list[str]:
    """A sentence for each pair that cannot work together.

    C(found): C(collection), C(chart) and C(app) (of the chart that would be installed), C(chart_before) (of the cluster,
    empty for none), C(images) (names in the image archive).
    """
    answer = []
    chart, before, ours = minor(match.get("chart")), minor(match.get("chart_before")), minor(match.get("collection"))
    if chart and ours and chart != ours:
        answer.append(
            f"Chart {match['chart']} and collection {match['collection']} do not go together: both must be {word(ours)}.x, or "
            f"both {word(chart)}.x. Leave colocation_chart_ref unset to take the chart that comes with the collection."
        )
    if chart and before and (chart[0] != before[0] or chart[1] > before[1] + 1):
        step = f"{before[0]}.{before[1] + 1}"
        answer.append(
            f"The cluster runs chart {match['chart_before']}, and {match['chart']} is more than one step newer. Upgrade one minor "
            f"version at a time: next is {step}."
        )
    tags = sorted({name.rpartition(":")[2] for name in match.get("images") or [] if "/colocation-manager:" in name})
    app = str(match.get("app") or "")
    if app and tags and app not in tags:
        answer.append(
            f"The image archive has version {', '.join(tags)}, and the chart would run {app}. Bring the archive of that version "
            "(colocation_image_archive)."
        )
    return answer


def newer_than_tested(kubernetes: t.Any) -> list[str]:
    """A warning for a cluster that is newer than any this version was tried on."""
    version = minor(kubernetes)
    if version is None or version <= KUBERNETES[1]:
        return []
    return [
        f"The cluster is Kubernetes {word(version)}; this version was tested up to {word(KUBERNETES[1])}. See whether there is a "
        "newer one of this collection."
    ]
