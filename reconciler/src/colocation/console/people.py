"""Who asks: the token of a request, from its cookie or from a proxy's headers; and rules against forged requests."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final, Literal

import msgspec
from msgspec import Struct

from colocation.console.problems import Trouble, malformed, trouble
from colocation.console.session import MOST_PARTS, MOST_TOKEN, Session
from colocation.decoding import decode

Mode = Literal["token", "proxy"]
Network = IPv4Network | IPv6Network
HEADERS: Final = ("Authorization", "X-OpenFuyao-Authorization", "X-Forwarded-Access-Token")
"""Where a proxy puts the person's token, the first that is there counts."""
LOCAL: Final = ("localhost", "127.0.0.1", "[::1]")


class Claims(Struct):
    """What a token says of itself; proves nothing."""

    exp: float | None = None
    iss: str = ""
    aud: tuple[str, ...] | str = ()


class Person(Struct, frozen=True, kw_only=True):
    """Who asks, by a token that the API server has not looked at yet."""

    token: str
    session: Session | None = None
    """None: the token came in a header."""

    @property
    def headers(self) -> Mapping[str, str]:
        """What is sent to the API server in this person's name."""
        return {"Authorization": f"Bearer {self.token}"}


def claims(token: str) -> Claims:
    """Of a JWT; empty for anything else."""
    parts = token.split(".")
    if len(parts) != 3:
        return Claims()
    try:
        return decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)), Claims)
    except (ValueError, msgspec.MsgspecError):
        return Claims()


def clean(token: str) -> str:
    """A token that is valid in a header; "" where it may not."""
    token = token.strip()
    good = 0 < len(token) <= MOST_TOKEN and all(0x21 <= ord(letter) <= 0x7E for letter in token)
    return token if good else ""


def bearer(headers: Message, names: tuple[str, ...]) -> str:
    """The token of these headers; "" without one. Raises Trouble for two that differ, or for garbage."""
    found = []
    for name in names:
        for value in headers.get_all(name) or ():
            word, _, rest = value.strip().partition(" ")
            given = rest if word.lower() == "bearer" else value if name.lower().endswith("token") else ""
            if not given.strip():
                continue
            token = clean(given)
            if not token:
                raise malformed(f"the header {name} has no token in it, or one that is too long", "badToken")
            found.append(token)
    if len(set(found)) > 1:
        raise malformed("the request has two different tokens: its proxy must drop what clients send", "twoTokens")
    return found[0] if found else ""


def cookie_name(base: str) -> str:
    """`__Host-` binds it to the whole host; below a prefix that cannot be."""
    return "__Secure-colocation" if base else "__Host-colocation"


def cookies(headers: Message) -> dict[str, str]:
    """All cookies of a request, the first of a name; empty when they cannot be read."""
    found: dict[str, str] = {}
    for line in headers.get_all("Cookie") or ():
        for part in line.split(";"):
            name, equals, value = part.strip().partition("=")
            if equals and name not in found:
                found[name] = value.strip('"')
    return found


def sealed(given: Mapping[str, str], base: str) -> dict[int, str]:
    """Parts of the session's cookie, by place."""
    name = cookie_name(base)
    places = {name: 0} | {f"{name}-{place}": place for place in range(1, MOST_PARTS)}
    return {places[key]: value for key, value in given.items() if key in places}


def set_cookies(parts: tuple[str, ...], base: str, *, had: Mapping[int, str]) -> tuple[tuple[str, str], ...]:
    """Headers that store the parts, and forget those that there were more of; no parts: all are forgotten."""
    name = cookie_name(base)
    found = []
    for place in range(max(len(parts), max(had, default=-1) + 1)):
        key = name if not place else f"{name}-{place}"
        found.append(("Set-Cookie", _cookie(key, parts[place] if place < len(parts) else "", base)))
    return tuple(found)


def _cookie(name: str, value: str, base: str) -> str:
    jar: SimpleCookie = SimpleCookie()
    try:
        jar[name] = value
    except CookieError as error:
        raise AssertionError(name) from error
    one = jar[name]
    one["path"], one["httponly"], one["secure"], one["samesite"] = base or "/", True, True, "Lax"
    if not value:
        one["max-age"] = 0
    return one.OutputString()


def trusted(address: str, networks: tuple[Network, ...]) -> bool:
    """The connection comes from one of the proxies that may say where a request came from."""
    try:
        found = ip_address(address)
    except ValueError:
        return False
    return any(found.version == network.version and found in network for network in networks)


def same_site(headers: Message, hosts: tuple[str, ...]) -> bool | None:
    """The request was made by a page of ours, as browsers say; None: no browser says so of anything."""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("Origin")
    if origin is None:
        return None
    return origin.partition("://")[2] in hosts


def hold(person: Person | None, headers: Message, hosts: tuple[str, ...], given: str, *, good_csrf: bool) -> None:
    """Refuse a write that another site may have made a browser send. Raises Trouble.

    A bearer in a header may have been made by a proxy from its own cookie: then a browser sent it, and must say from
    where. Only what carries neither a mark of a browser nor a cookie (a script) needs no more than its token.
    """
    same = same_site(headers, hosts)
    if same is False:
        raise _forged("another site made your browser send this")
    if person is not None and person.session is not None:
        if same is None:
            raise _forged("the request has neither Sec-Fetch-Site nor Origin")
        if not good_csrf:
            raise _forged("X-Csrf is missing or old" if not given else "X-Csrf is not this session's")
    elif same is None and headers.get("Cookie") is not None:
        raise _forged("a request with a cookie must have Sec-Fetch-Site or Origin")


def _forged(why: str) -> Trouble:
    return trouble(403, "forged", f"not written: {why}", remedy="load the page again, and do it from there")
