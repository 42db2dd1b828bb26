"""Proof that a reader may see `/v1`: a token of the ServiceAccount `colocation-reader`, checked by TokenReview.

Or of `colocation-console`, which shows a person only what that person could have read this way.

The API server's service proxy says nothing to its backend about the person who asks, and people who log in with a
certificate have no token at all. So the proof is a token that only a person who may mint it can have: RBAC decides.
"""

from __future__ import annotations

import base64
import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import Struct

from colocation.decoding import decode
from colocation.kube.resources import TOKEN_REVIEWS
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from colocation.serving import Refused, Request

KEEP_SECONDS: Final = 60.0
"""How long an accepted token is not reviewed again, and so how long a deleted account can still read."""
REFUSED_SECONDS: Final = 5.0
MOST_KEPT: Final = 256
MOST_BYTES: Final = 8 * 2**10
REVIEWS: Final = 4
"""Tokens reviewed at a time: bad ones must not take the API server's time from the publishing."""
HOW: Final = (
    f"send a token in the header {names.TOKEN_HEADER}: kubectl -n NAMESPACE create token {names.READER} "
    f"--audience {names.AUDIENCE} --duration 10m"
)


class _User(Struct, frozen=True):
    username: str = ""


class _TokenReviewResult(Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()
    audiences: tuple[str, ...] = ()


class _Review(Struct, frozen=True):
    status: _TokenReviewResult = _TokenReviewResult()


class _Claims(Struct):
    sub: str = ""
    aud: tuple[str, ...] | str = ()


class Proof:
    """Any thread may ask."""

    def __init__(self, rest: Rest, namespace: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest, self._clock = rest, clock
        account = f"system:serviceaccount:{namespace}:"
        self._reader, self._readers = account + names.READER, (account + names.READER, account + names.CONSOLE)
        self._kept: dict[bytes, tuple[float, bool]] = {}
        """Until when a token, by its digest, needs no new review, and whether it was good."""
        self._lock = threading.Lock()
        self._slots = threading.BoundedSemaphore(REVIEWS)

    def check(self, request: Request) -> None:
        """Raises Refused: 401 without a good token, 503 while none can be checked."""
        self.accept(request.headers.get(names.TOKEN_HEADER, ""), request.left())

    def accept(self, token: str, seconds: float) -> None:
        """The same for a token, within that time."""
        if not token:
            raise Refused(401, f"reading this needs proof of the right to: {HOW}")
        if not self._claims(token):
            raise Refused(401, f"that is no token of {self._reader} for the audience {names.AUDIENCE}: {HOW}")
        digest = hashlib.sha256(token.encode()).digest()
        good = self._known(digest)
        if good is None:
            if not self._slots.acquire(timeout=seconds):
                raise Refused(503, "too many tokens are being checked; try again")
            try:
                good = self._review(token)
            finally:
                self._slots.release()
            self._keep(digest, good=good)
        if not good:
            raise Refused(401, f"the API server does not accept that token (any more): {HOW}")

    def _claims(self, token: str) -> bool:
        """What it says of itself fits. Proves nothing, and spares the API server what cannot be good."""
        parts = token.split(".")
        if len(token) > MOST_BYTES or not token.isascii() or len(parts) != 3:
            return False
        try:
            text = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
            claims = decode(text, _Claims)
        except (ValueError, msgspec.MsgspecError):
            return False
        return claims.sub in self._readers and names.AUDIENCE in (
            (claims.aud,) if isinstance(claims.aud, str) else claims.aud
        )

    def _known(self, digest: bytes) -> bool | None:
        with self._lock:
            until, good = self._kept.get(digest, (0.0, False))
        return good if self._clock() < until else None

    def _keep(self, digest: bytes, *, good: bool) -> None:
        with self._lock:
            self._kept.pop(digest, None)
            while len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[digest] = (self._clock() + (KEEP_SECONDS if good else REFUSED_SECONDS), good)

    def _review(self, token: str) -> bool:
        body: dict[str, Any] = {
            "apiVersion": TOKEN_REVIEWS.group_version,
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [names.AUDIENCE]},
        }
        try:
            answer = self._rest.create(TOKEN_REVIEWS.path(), body, label=TOKEN_REVIEWS.plural)
        except ApiError as error:
            raise Refused(503, f"the token cannot be checked: {error}") from error
        review = decode(answer, _Review).status
        # An authenticator that knows nothing of audiences leaves them out: its word is not enough.
        return review.authenticated and names.AUDIENCE in review.audiences and review.user.username in self._readers
