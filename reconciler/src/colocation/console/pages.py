"""Pages: a view as HTML, and the files that pages need.

A page is made of a view (a Struct of `model` or `forms`) and of the `Context` of its request. The templates have no
logic beyond choosing and repeating; what they need to say or to draw comes from `speech`, `shapes`, `bars` and
`waterfall`, and everything they write is escaped.
"""

from __future__ import annotations

import hashlib
import mimetypes
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import quote, urlencode

import jinja2
from msgspec import Struct

from colocation.console import charts, numbers, shapes
from colocation.console.context import Context
from colocation.console.i18n import LANGUAGES, Language, language
from colocation.console.links import Links
from colocation.console.model import Answered, Omission, PolicyPage
from colocation.console.speech import TERMS, Speaker, show
from colocation.console.waterfall import steps
from colocation.serving import Answer, Refused

HERE: Final = Path(__file__).parent
HTML: Final = "text/html; charset=utf-8"
SECTIONS: Final = (
    ("/", "Overview"),
    ("/nodes", "Nodes"),
    ("/policies", "Policies"),
    ("/monitor", "Monitor"),
    ("/changes", "Changes"),
)
WORDS: Final = (
    "Connection lost; trying again…",
    "The manager does not answer: the data is the last that it gave.",
    "The API server does not answer; trying again…",
    "Your session has ended.",
    "You no longer have the right to see this.",
    "Sign in",
    "Updated",
    "Time",
    "No data in this range yet.",
    "This chart cannot be shown now: {why}",
    "From Prometheus.",
    "From this console's memory, since {since}.",
    "node {name}",
)
"""What the script says: it gets them with the page."""
LONGEST_BACK: Final = 2048
FILES: Final = {
    "console.js": "static/console.js",
    "console.css": "static/console.css",
    "uplot.js": "vendor/uPlot.iife.min.js",
    "uplot.css": "vendor/uPlot.min.css",
    "dist/colocation.mjs": "static/colocation.mjs",
}
"""Name of an asset to its file. What is below vendor/ comes from a locked npm package: build/lock/npm.txt."""


class Banner(Struct, frozen=True):
    """A sentence above a page."""

    kind: str
    text: str


def render(name: str, view: Struct, context: Context, code: int = 200) -> Answer:
    """The page ``name`` of a view; its main part alone for a request that wants a fragment."""
    words = language(context.language)
    speaker = Speaker(words)
    links = Links(context)
    given = shapes.of(name, view, context, words)
    text = _environment().get_template(f"{name}.html").render(
        layout="fragment.html" if context.fragment else "page.html",
        view=view,
        me=context.me,
        csrf=context.me.csrf if context.me else "",
        sign_out=context.me is not None and context.me.mode == "token",
        t=words,
        theme=context.theme,
        cluster=context.cluster,
        languages=LANGUAGES,
        pages=SECTIONS,
        section=_section(context.path),
        here=_here(context),
        glossary=tuple(TERMS.items()),
        script_words={one: words.sentences.get(one, one) for one in (*WORDS, *_labels())},
        banners=_banners(view, words),
        stream_policy=view.policy.name if isinstance(view, PolicyPage) else None,
        omitted=lambda part: _omitted(view, part),
        age=getattr(view, "age_seconds", None),
        leader=getattr(view, "leader", None),
        url=links.url,
        static=lambda file: links.url(f"/static/{file}") + f"?{_digest(file)}",  # with its hash a browser may keep it
        speaker=speaker,
        **{method: getattr(speaker, method) for method in _SPEECH},
        **given,
    )  # fmt: skip
    return Answer(code, text.encode(), HTML)


_SPEECH: Final = tuple(name for name in vars(Speaker) if not name.startswith("_"))


def asset(name: str) -> Answer:
    """A file below /static/. Raises Refused where there is none."""
    body = _file(name)
    if body is None:
        raise Refused(404, f"no file {name}")
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    kind = "text/javascript" if name.endswith((".js", ".mjs")) else kind
    # A link to a file has its hash, except the plugin's script, for which openFuyao's website asks by its name.
    keep = "no-cache" if name.startswith("dist/") else "public, max-age=31536000, immutable"
    return Answer(200, body, f"{kind}; charset=utf-8", (("Cache-Control", keep), ("ETag", f'W/"{_digest(name)}"')))


@cache
def _file(name: str) -> bytes | None:
    if name not in FILES:
        return None
    path = HERE / FILES[name]
    return path.read_bytes() if path.is_file() else None


@cache
def _digest(name: str) -> str:
    return hashlib.sha256(_file(name) or b"").hexdigest()[:12]


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        auto_reload=False,
    )
    made.globals.update(
        bytes=numbers.bytes_text,
        cores=numbers.cores,
        percent=numbers.percent,
        whole=numbers.whole,
        share=numbers.share,
        duration=numbers.duration,
        utc=numbers.utc,
        show=show,
        waterfall=steps,
        max_=max,
        range_=range,
    )
    made.filters["urlencode"] = lambda text: quote(str(text), safe="")
    return made


@cache
def _labels() -> tuple[str, ...]:
    """Names of the lines of charts, without those that are a node's or a reason's own."""
    found = dict.fromkeys(label for lines in charts.QUERIES.values() for _, label, _ in lines)
    return tuple(label for label in found if "{" not in label)


def _section(path: str) -> str:
    return "/" + path.removeprefix("/").partition("/")[0].partition(":")[0]


def _here(context: Context) -> str:
    """Where to come back to after another choice of language or look."""
    back = context.path + (f"?{urlencode(context.query)}" if context.query else "")
    return back if len(back) <= LONGEST_BACK else context.path


def _omitted(view: Struct, part: str) -> Omission | None:
    return next((one for one in getattr(view, "omitted", ()) if one.part == part), None)


def _banners(view: Struct, t: Language) -> list[Banner]:
    """What is not as it should be with the data of a page."""
    if not isinstance(view, Answered):
        return []
    found = []
    if view.away:
        since = t(
            "The manager does not answer: the data is the last that it gave, {age} old.",
            age=numbers.duration(view.age_seconds),
        )
        found.append(
            Banner("bad", since if view.as_of else t("The manager does not answer, and has given no data yet."))
        )
    for one in view.omitted:
        if one.part != "manager":
            why = t("you lack the right") if one.why == "denied" else t("it does not answer")
            found.append(Banner("", t("Left out: {part}, because {why}.", part=t(one.part), why=why)))
    return found
