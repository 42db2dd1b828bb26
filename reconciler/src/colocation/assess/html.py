"""The assessment as a page that needs nothing but itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import time
from importlib import resources
from typing import Any, Final

import yaml
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from colocation.assess import svg
from colocation.assess.assessment import Assessment
from colocation.assess.figures import Figures
from colocation.assess.phrases import PHRASES
from colocation.assess.recommend import GI, Advice, PoolReport

_NODES: Final = 15


def page(report: Assessment, lang: str) -> str:
    """One HTML document."""
    phrases = PHRASES[lang]
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(percent=_percent, cores=_cores, gib=_gib, count=lambda value: f"{value:,}")
    text = (resources.files("colocation.assess") / "templates/report.html.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(
        report=report,
        lang=lang,
        t=phrases,
        start=_when(report.start),
        end=_when(report.end),
        weeks=_weeks(report, phrases),
        pools=[_pool(pool, phrases) for pool in report.pools],
        nodes=_nodes(report, phrases),
        more_nodes=max(0, len(report.nodes) - _NODES),
    )


def _weeks(report: Assessment, t: dict[str, str]) -> list[dict[str, Any]]:
    days = t["days"].split()
    return [
        {
            "title": f"{t[resource]}: {t[key]}{_span([getattr(hour, key) for hour in hours])}",
            "plot": Markup(svg.week(hours, days, key, f"{t[resource]}: {t[key]}")),  # noqa: S704 (escaped there)
        }
        for resource, hours in (("cpu", report.week.cpu), ("memory", report.week.memory))
        for key in ("used", "published")
    ]


def _span(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f" ({_percent(min(known))} – {_percent(max(known))})" if known else ""  # noqa: RUF001 (a range)


def _pool(pool: PoolReport, t: dict[str, str]) -> dict[str, Any]:
    def part(resource: str, figures: Figures, advice: Advice) -> dict[str, Any]:
        title = f"{pool.name}, {t[resource]}: {t['trade_off']}"
        plot = svg.curve(advice.curve, advice.chosen.budget, figures.capacity, title, t["violations"], t["published"])
        columns = sorted({percent for by in advice.percents.values() for percent in by}, key=int)
        steps = (("less", advice.less), ("recommended", advice.chosen), ("more", advice.more))
        return {
            "name": t[resource],
            "figures": figures,
            "advice": advice,
            "plot": Markup(plot),  # noqa: S704 (escaped there)
            "columns": columns,
            "steps": [(t[name], name, step) for name, step in steps if step is not None],
        }

    return {
        "report": pool,
        "parts": [part("cpu", pool.cpu, pool.advice_cpu), part("memory", pool.memory, pool.advice_memory)],
        "policy": yaml.safe_dump(pool.policy, sort_keys=False),
    }


def _nodes(report: Assessment, t: dict[str, str]) -> Markup:
    rows = [
        svg.Bar(
            one.name,
            one.cpu.published,
            one.cpu.capacity,
            f"{one.cpu.published / 1000:.1f} / {_cores(one.cpu.capacity)}",
        )
        for one in report.nodes[:_NODES]
    ]
    return Markup(svg.bars(rows, t["nodes_title"]))  # noqa: S704 (escaped there)


def _percent(part: float, digits: int = 0) -> str:
    return f"{100 * part:.{digits}f}%"


def _cores(millicores: float) -> str:
    return f"{millicores / 1000:,.1f}"


def _gib(amount: float) -> str:
    return f"{amount / GI:,.1f}"


def _when(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(at))
