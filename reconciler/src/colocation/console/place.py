"""Where a request came in: below which prefix, from which address, how safely, in which language. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from msgspec import Struct

from colocation import __version__
from colocation.console import people
from colocation.console.context import Context, Language
from colocation.console.people import Mode, Network
from colocation.model import names
from colocation.serving import Request

_PREFIX: Final = re.compile(r"(/[A-Za-z0-9._~-]{1,64}){1,8}")
_API_PROXY: Final = re.compile(r"(/api/v1/namespaces/[a-z0-9-]{1,63}/services/[a-z0-9:-]{1,128}/proxy)(/.*)?")
"""How the API server's service proxy says under which path a browser sees us."""


class Options(Struct, frozen=True, kw_only=True):
    """How the console is run."""

    namespace: str = names.NAMESPACE
    mode: Mode = "token"
    headers: tuple[str, ...] = people.HEADERS
    base_path: str = ""
    trusted_proxies: tuple[Network, ...] = ()
    cluster: str = ""


class Place(Struct, frozen=True, kw_only=True):
    """Where a request came in."""

    base: str
    """Prefix of every link; never ends with "/"."""
    path: str
    """Below it."""
    hosts: tuple[str, ...]
    """Names under which a browser may see us now."""
    secure: bool
    """A token may be typed in: https at some hop, or this very machine."""
    client: str
    """Whose address it is, as far as trusted proxies say."""


def place(request: Request, options: Options) -> Place:
    """What of a request's headers counts: X-Forwarded-* only from trusted proxies, or from the API server's own.

    That one is known by its path, which can be pretended by the browser itself only; it learns nothing by that.
    """
    headers = request.headers
    host = headers.get("Host", "")
    trusted = people.trusted(request.address, options.trusted_proxies)
    proxied = _API_PROXY.fullmatch(headers.get("X-Forwarded-Uri", "").partition("?")[0])
    forwarded = headers.get("X-Forwarded-Prefix", "").rstrip("/")
    base = options.base_path
    if proxied:
        base = proxied[1]
    elif trusted and _PREFIX.fullmatch(forwarded):
        base = forwarded
    path = request.path
    if options.base_path and path.startswith(options.base_path + "/"):
        path = path[len(options.base_path) :]
    hosts = [host]
    if trusted or proxied:
        hosts.append(headers.get("X-Forwarded-Host", ""))
    name = host.rpartition(":")[0] if re.search(r":[0-9]+$", host) else host
    by_https = trusted and headers.get("X-Forwarded-Proto", "").lower() == "https"
    hops = [one.strip() for one in headers.get("X-Forwarded-For", "").split(",") if one.strip()]
    return Place(
        base=base,
        path=path if path.startswith("/") else "/" + path,
        hosts=tuple(filter(None, hosts)),
        secure=request.secure or by_https or bool(proxied) or name in people.LOCAL,
        client=hops[-1][:64] if trusted and hops else request.address,
    )


def context(request: Request, where: Place, given: Mapping[str, str], options: Options) -> Context:
    """What pages need of it; ``given``: its cookies."""
    headers = request.headers
    theme = given.get("colocation-theme", "")
    return Context(
        path=where.path,
        query=tuple(parse_qsl(request.query)[:64]),
        base=where.base,
        language=language(given.get("colocation-language", ""), headers.get("Accept-Language", "")),
        theme=theme if theme in ("light", "dark") else "auto",  # type: ignore[arg-type]
        fragment=headers.get("X-Fragment") == "1",
        plugin=headers.get("X-Colocation-Plugin") == "1",
        cluster=options.cluster,
        version=__version__,
    )


def language(chosen: str, accepted: str) -> Language:
    """What was chosen, else the one of ours that the browser likes best."""
    if chosen in ("en", "zh"):
        return chosen  # type: ignore[return-value]
    best, weight = "en", 0.0
    for part in accepted[:512].split(","):
        tag, _, rest = part.strip().partition(";")
        try:
            found = float(rest.strip().removeprefix("q=")) if rest else 1.0
        except ValueError:
            continue
        name = tag.lower().partition("-")[0]
        if name in ("en", "zh") and found > weight:
            best, weight = name, found
    return best  # type: ignore[return-value]
