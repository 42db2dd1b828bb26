"""Sessions without a store: the person's token, sealed into cookies that only this console can open.

AES-256-GCM over the compressed token; a browser loses cookies above 4 KB without a word, so it is split into parts.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import zlib
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec import Struct

KEY_BYTES: Final = 32
PART: Final = 3800
MOST_PARTS: Final = 8
LIFETIME_SECONDS: Final = 8 * 3600.0
IDLE_SECONDS: Final = 3600.0
FRESH_SECONDS: Final = 300.0
"""A session that was used in this time is not sealed again."""
MOST_TOKEN: Final = 48 * 2**10
_LABEL: Final = b"colocation session 1"
_NONCE: Final = 12
_DAY: Final = 86400


class Session(Struct, frozen=True, array_like=True):
    """One signed-in browser."""

    id: bytes
    token: str
    expires: float
    """Unix seconds."""
    seen: float
    """When it was sealed."""


_DECODER: Final = msgspec.msgpack.Decoder(Session)


class Sessions:
    """Seals and opens. Any thread may."""

    def __init__(self, key: bytes) -> None:
        """``key``: 32 bytes that all replicas share."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"the session key must have {KEY_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(hmac.digest(key, b"cookie", "sha256"))
        self._csrf = hmac.digest(key, b"csrf", "sha256")
        self._check = hmac.digest(key, b"check", "sha256")

    def begin(self, token: str, expires: float | None, now: float) -> Session:
        """A new session of this token."""
        end = now + LIFETIME_SECONDS
        return Session(os.urandom(16), token, end if expires is None else min(expires, end), now)

    def seal(self, session: Session) -> tuple[str, ...]:
        """Values of its cookies, the first one with their number. Raises ValueError for a token that is too long."""
        nonce = os.urandom(_NONCE)
        plain = zlib.compress(msgspec.msgpack.encode(session), 6)
        text = base64.urlsafe_b64encode(nonce + self._cipher.encrypt(nonce, plain, _LABEL)).decode().rstrip("=")
        parts = [text[at : at + PART] for at in range(0, len(text), PART)]
        if len(parts) > MOST_PARTS:
            raise ValueError(
                f"the token is too long: sealed it takes {len(text)} bytes, at most {MOST_PARTS * PART} fit"
            )
        return (f"{len(parts)}.{parts[0]}", *parts[1:])

    def open(self, values: Mapping[int, str], now: float) -> Session | None:
        """The session of these cookies, by place; None: forged, cut, of another key, ended or not used for too long."""
        count, dot, first = values.get(0, "").partition(".")
        if not dot or len(count) != 1 or not "1" <= count <= str(MOST_PARTS):
            return None
        parts = [first, *(values.get(place, "") for place in range(1, int(count)))]
        text = "".join(parts)
        if len(text) > MOST_PARTS * PART:
            return None
        try:
            raw = base64.b64decode((text + "=" * (-len(text) % 4)).encode("ascii"), b"-_", validate=True)
            plain = self._cipher.decrypt(raw[:_NONCE], raw[_NONCE:], _LABEL)
            inflate = zlib.decompressobj()
            session = _DECODER.decode(inflate.decompress(plain, MOST_TOKEN + 1024))
        except (ValueError, binascii.Error, InvalidTag, zlib.error, msgspec.MsgspecError):
            return None
        if now >= session.expires or now - session.seen > IDLE_SECONDS or session.seen > now + FRESH_SECONDS:
            return None
        return session

    def csrf(self, session: Session, now: float) -> str:
        """What writes of this session must bring along today."""
        return self._sign(session, int(now // _DAY))

    def good_csrf(self, session: Session, given: str, now: float) -> bool:
        """It is today's or yesterday's."""
        day = int(now // _DAY)
        return any(_same(given, self._sign(session, one)) for one in (day, day - 1))

    def check_token(self, document: object, now: float, seconds: float) -> str:
        """Proof that this very ``document`` was checked, until ``seconds`` from now."""
        until = int(now + seconds)
        return f"{until}.{self._proof(document, until)}"

    def good_check(self, given: str, document: object, now: float) -> bool | None:
        """True: it was checked; False: another one was, or none; None: too long ago."""
        until, dot, proof = given.partition(".")
        if not dot or not (until.isascii() and until.isdigit()) or len(until) > 12:
            return False
        if not _same(proof, self._proof(document, int(until))):
            return False
        return True if now < int(until) else None

    def _proof(self, document: object, until: int) -> str:
        text = msgspec.json.encode([until, document], order="deterministic")
        return hmac.new(self._check, text, hashlib.sha256).hexdigest()

    def _sign(self, session: Session, day: int) -> str:
        return hmac.new(self._csrf, session.id + str(day).encode(), hashlib.sha256).hexdigest()


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
