"""Who a token belongs to, and what its owner may do: the API server says, and is asked again after half a minute."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from colocation.decoding import decode
from colocation.kube.resources import Resource
from colocation.kube.rest import ApiError, Rest
from colocation.model import names

V = TypeVar("V")
YES_SECONDS: Final = 30.0
NO_SECONDS: Final = 5.0
MOST_KEPT: Final = 1024
AT_ONCE: Final = 8
"""Questions at a time: those who sign in must not take the API server's time from the publishing."""
WAIT_SECONDS: Final = 5.0

SELF: Final = Resource("authentication.k8s.io/v1", "selfsubjectreviews")
ACCESS: Final = Resource("authorization.k8s.io/v1", "selfsubjectaccessreviews")


class User(Struct, frozen=True):
    """Whose a token is."""

    username: str = ""
    groups: tuple[str, ...] = ()


class _SelfStatus(Struct, frozen=True, rename="camel"):
    user_info: User = User()


class _SelfReview(Struct):
    status: _SelfStatus = _SelfStatus()


class _AccessStatus(Struct, frozen=True):
    allowed: bool = False


class _AccessReview(Struct):
    status: _AccessStatus = _AccessStatus()


class Right(Struct, frozen=True):
    """One thing that somebody may or may not do."""

    verb: str
    resource: str
    group: str = ""
    name: str = ""
    namespace: str = ""
    subresource: str = ""

    def __str__(self) -> str:
        sub = f"/{self.subresource}" if self.subresource else ""
        group = f".{self.group}" if self.group else ""
        named = f" {self.name}" if self.name else ""
        within = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{group}{sub}{named}{within}"


def report_right(namespace: str) -> Right:
    """The very right that `colocation report` needs: to have a proof for the manager made."""
    return Right("create", "serviceaccounts", name=names.READER, namespace=namespace, subresource="token")


class Gate:
    """Asks with the person's own token, and remembers. Any thread may."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[tuple[bytes, object], tuple[float, Any]] = {}
        self._slots = threading.BoundedSemaphore(AT_ONCE)

    def user(self, rest: Rest, token: str) -> User | None:
        """Whose token it is; None: the API server does not know it. Raises ApiError when it does not answer."""

        def ask() -> User | None:
            body = {"apiVersion": SELF.group_version, "kind": "SelfSubjectReview"}
            try:
                found = decode(_post(rest, SELF, body), _SelfReview).status.user_info
            except ApiError as error:
                if error.code == 401:
                    return None
                raise
            return found if found.username and found.username != "system:anonymous" else None

        return self._known(token, None, ask)

    def may(self, rest: Rest, token: str, right: Right) -> bool:
        """The token's owner has this right. Raises ApiError when the API server does not answer."""

        def ask() -> bool:
            wanted = {
                "verb": right.verb,
                "group": right.group,
                "resource": right.resource,
                "subresource": right.subresource,
                "name": right.name,
                "namespace": right.namespace,
            }
            spec = {"resourceAttributes": {key: value for key, value in wanted.items() if value}}
            body = {"apiVersion": ACCESS.group_version, "kind": "SelfSubjectAccessReview", "spec": spec}
            return decode(_post(rest, ACCESS, body), _AccessReview).status.allowed

        return self._known(token, right, ask)

    def forget(self, token: str) -> None:
        """A person signs out, or the API server no longer takes the token."""
        digest = hashlib.sha256(token.encode()).digest()
        with self._lock:
            for key in [key for key in self._kept if key[0] == digest]:
                del self._kept[key]

    def _known(self, token: str, what: object, ask: Callable[[], V]) -> V:
        key = (hashlib.sha256(token.encode()).digest(), what)
        with self._lock:
            until, answer = self._kept.get(key, (0.0, None))
        if self._clock() < until:
            return answer  # type: ignore[no-any-return]
        if not self._slots.acquire(timeout=WAIT_SECONDS):
            raise ApiError(0, "Unreachable", "too many questions to the API server at once")
        try:
            found = ask()
        finally:
            self._slots.release()
        with self._lock:
            self._kept.pop(key, None)
            while len(self._kept) >= MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = (self._clock() + (YES_SECONDS if found else NO_SECONDS), found)
        return found


def _post(rest: Rest, resource: Resource, body: object) -> bytes:
    text = msgspec.json.encode(body)
    return rest.send("POST", resource.path(), body=text, label=resource.plural, read_seconds=WAIT_SECONDS)
