"""What Volcano's scheduler configuration would do to best-effort pods."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from colocation.neighbours.selectors import listing, mapping, title

NAME: Final = "volcano-scheduler-configmap"
"""As Volcano's own chart names it; a release name may stand before it."""
ADAPTER: Final = ("prometheus_adaptor", "prometheus_adapter")
"""metrics.type of the source that can be given figures of online pods alone (files/volcano)."""
Load = Callable[[str], object]


def warnings(configmaps: Iterable[dict[str, Any]], load: Load) -> list[str]:
    """A sentence for each configuration in which the plugin ``usage`` closes nodes."""
    found: list[str] = []
    for configmap in configmaps:
        if not str(mapping(configmap.get("metadata")).get("name", "")).endswith(NAME):
            continue
        for key, text in sorted(mapping(configmap.get("data")).items()):
            found += _read(f"{title(configmap, 'ConfigMap')}, key {key}", str(text), load)
    return found


def _read(where: str, text: str, load: Load) -> list[str]:
    try:
        configuration = mapping(load(text))
    except ValueError as error:
        return [f"{where}: no YAML ({error}); it was not looked at."]
    fed = mapping(configuration.get("metrics")).get("type") in ADAPTER
    return [] if fed else [_sentence(where) for plugin in _plugins(configuration) if _closes(plugin)][:1]


def _plugins(configuration: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for tier in listing(configuration.get("tiers")):
        yield from map(mapping, listing(mapping(tier).get("plugins")))


def _closes(plugin: dict[str, Any]) -> bool:
    """Predicates are on unless they are switched off; the key has had both spellings."""
    off = (plugin.get("enablePredicate"), plugin.get("enabledPredicate"))
    return plugin.get("name") == "usage" and False not in off


def _sentence(where: str) -> str:
    return (
        f"{where}: the plugin usage closes each node to best-effort pods, too, whose real use is above its thresholds, "
        "and best-effort work fills idle CPU by design. Set enablePredicate: false for it, or give it the use of "
        "online pods alone (files/volcano of the collection has both)."
    )
