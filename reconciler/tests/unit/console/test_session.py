"""Cookies that hold a session: whatever is not exactly what was sealed is none."""

from __future__ import annotations

import base64
import json
import os
from email.message import Message

import pytest
from hypothesis import given
from hypothesis import strategies as st

from colocation.console import people
from colocation.console.problems import Trouble
from colocation.console.session import IDLE_SECONDS, LIFETIME_SECONDS, MOST_PARTS, PART, Sessions

NOW = 1_800_000_000.0
KEY = bytes(range(32))
SESSIONS = Sessions(KEY)
TOKEN = "a.b.c"


def jwt(size: int) -> str:
    """A token of so many bytes, as random as signatures and groups with ids are."""
    groups = {"groups": [base64.b16encode(os.urandom(30)).decode() for _ in range(300)]}
    body = base64.urlsafe_b64encode(json.dumps(groups).encode()).decode().rstrip("=")
    return f"h.{body}.{'s' * 300}"[:size]


def opened(parts: tuple[str, ...], now: float = NOW, sessions: Sessions = SESSIONS) -> str | None:
    found = sessions.open(dict(enumerate(parts)), now)
    return None if found is None else found.token


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=20_000))
def test_what_is_sealed_is_opened(token: str) -> None:
    parts = SESSIONS.seal(SESSIONS.begin(token, None, NOW))
    assert len(parts) <= MOST_PARTS
    assert all(len(part) <= PART + 2 for part in parts)
    assert opened(parts) == token


def test_a_token_of_300_groups_and_24_kb_fits() -> None:
    token = jwt(24 * 2**10)
    assert len(token) > 23 * 2**10
    parts = SESSIONS.seal(SESSIONS.begin(token, None, NOW))
    assert len(parts) > 3, "it is really split"
    assert opened(parts) == token


def test_a_token_that_does_not_fit_is_told() -> None:
    token = base64.b16encode(os.urandom(32 * 2**10)).decode()
    with pytest.raises(ValueError, match="too long"):
        SESSIONS.seal(SESSIONS.begin(token, None, NOW))


def test_forged_cut_reordered_and_mixed_cookies_are_none() -> None:
    parts = SESSIONS.seal(SESSIONS.begin(jwt(24_000), None, NOW))
    other = SESSIONS.seal(SESSIONS.begin(jwt(24_000), None, NOW))
    swapped = (parts[0], parts[2], parts[1], *parts[3:])
    assert opened(parts) is not None
    for bad in (
        (),
        ("",),
        ("1.",),
        parts[:1],
        parts[:-1],
        swapped,
        (parts[0], *other[1:]),
        (f"9.{parts[0][2:]}", *parts[1:]),
        (f"1.{parts[0][2:]}", *parts[1:]),
        (parts[0][:-1], *parts[1:]),
        (parts[0] + "A", *parts[1:]),
        ("é.x",),
        ("1.é",),
        ("1." + "A" * PART * MOST_PARTS * 2,),
    ):
        assert opened(bad) is None, bad


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_no_changed_bit_is_taken(place: int, flip: int) -> None:
    (only,) = SESSIONS.seal(SESSIONS.begin(TOKEN, None, NOW))
    raw = bytearray(base64.urlsafe_b64decode(only[2:] + "=" * (-len(only[2:]) % 4)))
    raw[place % len(raw)] ^= flip
    assert opened((f"1.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}",)) is None


@given(st.dictionaries(st.integers(0, 9), st.text(max_size=200), max_size=9))
def test_garbage_is_never_more_than_no_session(parts: dict[int, str]) -> None:
    assert SESSIONS.open(parts, NOW) is None


def test_another_key_opens_nothing() -> None:
    parts = Sessions(bytes(32)).seal(SESSIONS.begin(TOKEN, None, NOW))
    assert opened(parts) is None
    with pytest.raises(ValueError, match="32 bytes"):
        Sessions(b"short")


@pytest.mark.parametrize(
    ("expires", "later", "good"),
    [
        (None, IDLE_SECONDS - 1, True),
        (None, IDLE_SECONDS + 1, False),
        (NOW + 60, 59, True),
        (NOW + 60, 60, False),
        (NOW + 10**9, LIFETIME_SECONDS, False),
        (NOW - 1, 0, False),
    ],
)
def test_a_session_ends_with_its_token_after_eight_hours_or_an_hour_unused(
    expires: float | None, later: float, good: bool
) -> None:
    parts = SESSIONS.seal(SESSIONS.begin(TOKEN, expires, NOW))
    assert (opened(parts, NOW + later) is not None) == good


def test_csrf_is_of_one_session_and_of_today_or_yesterday() -> None:
    one, two = SESSIONS.begin(TOKEN, None, NOW), SESSIONS.begin(TOKEN, None, NOW)
    mark = SESSIONS.csrf(one, NOW)
    assert SESSIONS.good_csrf(one, mark, NOW)
    assert SESSIONS.good_csrf(one, mark, NOW + 86_400)
    assert not SESSIONS.good_csrf(one, mark, NOW + 2 * 86_400)
    assert not SESSIONS.good_csrf(two, mark, NOW)
    assert not SESSIONS.good_csrf(one, "é\udcff", NOW)


@given(st.text(max_size=80))
def test_a_check_token_is_of_one_document(garbage: str) -> None:
    document = ["alice", "p", "1.u", {"oversell": {"maxPods": 3}}]
    token = SESSIONS.check_token(document, NOW, 900)
    assert SESSIONS.good_check(token, document, NOW) is True
    assert SESSIONS.good_check(token, document, NOW + 901) is None
    assert SESSIONS.good_check(token, ["bob", *document[1:]], NOW) is False
    assert SESSIONS.good_check(token, [*document[:3], {"oversell": {"maxPods": 4}}], NOW) is False
    assert SESSIONS.good_check(garbage, document, NOW) is False


def headers(**given: str) -> Message:
    made = Message()
    for name, value in given.items():
        made[name.replace("_", "-")] = value
    return made


SESSION = SESSIONS.begin(TOKEN, None, NOW)
BROWSER, SCRIPT = people.Person(token=TOKEN, session=SESSION), people.Person(token=TOKEN)
SAME = {"Sec_Fetch_Site": "same-origin"}


@pytest.mark.parametrize(
    ("person", "given", "csrf", "held"),
    [
        (BROWSER, SAME, True, False),
        (BROWSER, SAME, False, True),
        (BROWSER, {"Sec_Fetch_Site": "cross-site"}, True, True),
        (BROWSER, {"Sec_Fetch_Site": "same-site"}, True, True),
        (BROWSER, {"Sec_Fetch_Site": "none"}, True, True),
        (BROWSER, {}, True, True),
        (BROWSER, {"Origin": "https://console"}, True, False),
        (BROWSER, {"Origin": "https://evil"}, True, True),
        (BROWSER, {"Origin": "null"}, True, True),
        (BROWSER, {"Origin": "https://evil", **SAME}, True, False),  # browsers do not let pages set Sec-Fetch-Site
        (SCRIPT, {}, False, False),
        (SCRIPT, SAME, False, False),
        (SCRIPT, {"Origin": "https://evil"}, False, True),
        (SCRIPT, {"Sec_Fetch_Site": "cross-site", "Cookie": "proxy=1"}, False, True),
        (SCRIPT, {"Cookie": "proxy=1"}, False, True),  # a bearer that a proxy may have made from its own cookie
        (SCRIPT, {"Cookie": "proxy=1", "Origin": "https://console"}, False, False),
        (None, {"Sec_Fetch_Site": "cross-site"}, False, True),
        (None, {}, False, False),
    ],
)
def test_writes_that_another_site_may_have_sent_are_held(
    person: people.Person | None, given: dict[str, str], csrf: bool, held: bool
) -> None:
    try:
        people.hold(person, headers(**given), ("console",), "x", good_csrf=csrf)
        refused = False
    except Trouble as trouble:
        refused = trouble.problem.status == 403
    assert refused == held


@pytest.mark.parametrize(
    ("given", "token"),
    [
        ({"Authorization": "Bearer abc"}, "abc"),
        ({"Authorization": "bearer  abc "}, "abc"),
        ({"X_OpenFuyao_Authorization": "Bearer abc"}, "abc"),
        ({"X_Forwarded_Access_Token": "abc"}, "abc"),
        ({"Authorization": "Bearer abc", "X_OpenFuyao_Authorization": "Bearer abc"}, "abc"),
        ({"Authorization": "Basic abc"}, ""),
        ({}, ""),
        ({"Authorization": "Bearer "}, ""),
        ({"Authorization": "Bearer a", "X_Forwarded_Access_Token": "b"}, None),
        ({"Authorization": "Bearer a b"}, None),
        ({"Authorization": "Bearer \u00e9"}, None),
        ({"Authorization": "Bearer " + "x" * 60_000}, None),
    ],
)
def test_one_token_a_request(given: dict[str, str], token: str | None) -> None:
    if token is None:
        with pytest.raises(Trouble) as caught:
            people.bearer(headers(**given), people.HEADERS)
        assert caught.value.problem.status == 400
    else:
        assert people.bearer(headers(**given), people.HEADERS) == token


@given(st.text(max_size=300))
def test_no_token_brings_a_line_of_its_own(text: str) -> None:
    token = people.clean(text)
    assert "\r" not in token
    assert "\n" not in token
    assert token.isascii()
