"""PSI "some avg10", read only when somebody asks (a scrape, a report): nothing is kept open, so any thread may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from colocation.node.cgroups import Layout

RESOURCES: Final = ("cpu", "memory", "io")


def of_node(layout: Layout, proc: str) -> dict[str, float]:
    """The node's own, by resource: its root group's, or where the kernel keeps none there, the machine's."""
    ratios = {name: _largest([f"{layout.pressure()}/{name}.pressure"]) for name in RESOURCES}
    ratios = {n: _largest([f"{proc}/pressure/{n}"]) if value is None else value for n, value in ratios.items()}
    return {name: value for name, value in ratios.items() if value is not None}


def worst(layout: Layout, groups: Iterable[str]) -> dict[str, float]:
    """The largest pressure among ``groups``, by resource; absent: none has any."""
    directories = [layout.pressure(group) for group in groups]
    ratios = {name: _largest(f"{directory}/{name}.pressure" for directory in directories) for name in RESOURCES}
    return {name: value for name, value in ratios.items() if value is not None}


def worst_online(layout: Layout, groups: Iterable[str]) -> dict[str, float]:
    """The same among pods that asked for something.

    What is below besteffort is left out: a pod without a request has to expect waiting.
    """
    spared = layout.qos_groups()[2] + "/"
    return worst(layout, (group for group in groups if not group.startswith(spared)))


def some_avg10(text: bytes | None) -> float | None:
    """Percent in a line of PSI, "some avg10=1.25 avg60=..."; None for anything else."""
    if text is None or not text.startswith(b"some avg10="):
        return None
    try:
        percent = float(text[11 : text.index(b" ", 11)])
    except ValueError:
        return None
    return percent if 0 <= percent <= 100 else None


def _largest(paths: Iterable[str]) -> float | None:
    return max((value for path in paths if (value := some_avg10(_read(path))) is not None), default=None)


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123 (hundreds a scrape: no Path objects)
            return file.read(256)
    except OSError:
        return None  # the pod has ended, or the kernel has no PSI
