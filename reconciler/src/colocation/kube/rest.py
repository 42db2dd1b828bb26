"""Requests to the API server: pooled, with a time limit on everything, errors typed."""

from __future__ import annotations

import copy
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlencode, urlsplit

import msgspec
import urllib3
from msgspec import Raw, Struct, field, structs

from colocation import __version__
from colocation.decoding import decode
from colocation.kube.login import Login
from colocation.kube.resources import Resource

T = TypeVar("T")
Observe = Callable[[str, str, int, float], None]
"""Called for every request: verb, resource, status code (0: no answer) and seconds."""

MERGE_PATCH: Final = "application/merge-patch+json"
STRATEGIC_PATCH: Final = "application/strategic-merge-patch+json"
"""Merges lists by their keys; for built-in kinds only."""
CONNECT_SECONDS: Final = 5.0
READ_SECONDS: Final = 30.0
PAGE: Final = 500
RETRY_AFTER_SECONDS: Final = 60.0
"""The most of a Retry-After that counts: a server, or a proxy, that asks for a day must not stop us for a day."""
_HEADERS: Final = {"User-Agent": f"colocation/{__version__}", "Accept": "application/json"}
_KEEPALIVE: Final = [
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    # A vanished peer is noticed within 30 s, also on an idle connection.
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
]


class ApiError(Exception):
    """The API server refused (``code`` is HTTP's), or did not answer (``code`` 0, reason "Unreachable")."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        retry_after: float | None = None,
        causes: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code, self.reason, self.message = code, reason, message
        self.retry_after = retry_after
        """Seconds the server asked us to wait, at most `RETRY_AFTER_SECONDS`."""
        self.causes = causes
        """Which fields of an object are invalid, and why."""


class _Cause(Struct):
    field: str = ""
    message: str = ""


class _Details(Struct):
    causes: tuple[_Cause, ...] = ()


class _Status(Struct):
    reason: str = ""
    message: str = ""
    details: _Details | None = None
    error: str = ""
    """Our own manager's word for it, seen through the service proxy."""


class ListMeta(Struct, rename="camel"):
    """metav1.ListMeta."""

    resource_version: str = ""
    continue_: str = field(default="", name="continue")


class Page(Struct):
    """One page of a list, its objects not decoded yet: a bad one must not cost the others."""

    metadata: ListMeta
    items: list[Raw] | None = None


class Rest:
    """One API server. Safe to use from many threads."""

    def __init__(self, login: Login, *, connections: int = 8, observe: Observe | None = None) -> None:
        self._login = login
        self._observe = observe or (lambda *_: None)
        self._prefix = urlsplit(login.url).path.rstrip("/")
        secure = {"ssl_context": login.context, "server_hostname": login.server_name} if login.context else {}
        if login.context and login.server_name:
            secure["assert_hostname"] = login.server_name
        options: dict[str, Any] = {
            "maxsize": connections,
            "retries": False,
            "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
            "socket_options": _KEEPALIVE,
            **secure,
        }
        if login.proxy:
            headers = urllib3.make_headers(proxy_basic_auth=urllib3.util.parse_url(login.proxy).auth)
            manager = urllib3.ProxyManager(login.proxy, proxy_headers=headers, **options)
            self._pool = manager.connection_from_url(login.url)
        else:
            self._pool = urllib3.connection_from_url(login.url, **options)

    def speaking_as(self, headers: Mapping[str, str]) -> Rest:
        """The same connections with another person's headers in the place of our own, which cannot be renewed."""
        other = copy.copy(self)
        other._login = structs.replace(self._login, headers=lambda: headers, refresh=None)  # noqa: SLF001 (one of our own)
        return other

    def get(self, path: str, kind: type[T], *, label: str = "") -> T:
        """GET one object (or any JSON) as ``kind``."""
        return decode(self.send("GET", path, label=label), kind)

    def text(self, path: str, *, label: str = "") -> bytes:
        """GET whatever is there, as it is."""
        return self.send("GET", path, label=label)

    def pages(self, resource: Resource, query: Mapping[str, str], limit: int = PAGE) -> Iterator[Page]:
        """LIST, page by page; ``limit`` 0 asks for all at once."""
        token = ""
        while True:
            wanted = dict(query, **({"limit": str(limit)} if limit else {}), **({"continue": token} if token else {}))
            body = self.send("GET", resource.path(), query=wanted, label=f"{resource.plural}", verb="LIST")
            page = decode(body, Page)
            yield page
            token = page.metadata.continue_
            if not token:
                return

    def patch(self, path: str, body: object, *, kind: str = MERGE_PATCH, label: str = "") -> bytes:
        """Patch; the changed object as JSON."""
        return self.send("PATCH", path, body=msgspec.json.encode(body), kind=kind, label=label)

    def create(self, path: str, body: object, *, label: str = "") -> bytes:
        """POST; the new object as JSON."""
        return self.send("POST", path, body=msgspec.json.encode(body), label=label)

    def replace(self, path: str, body: object, *, label: str = "", read_seconds: float = READ_SECONDS) -> bytes:
        """PUT; the object as JSON."""
        return self.send("PUT", path, body=msgspec.json.encode(body), label=label, read_seconds=read_seconds)

    def delete(self, path: str, *, uid: str = "", label: str = "") -> bytes:
        """DELETE; with ``uid``, only that very object."""
        options = {"preconditions": {"uid": uid}} if uid else {}
        body = {"apiVersion": "v1", "kind": "DeleteOptions", **options}
        return self.send("DELETE", path, body=msgspec.json.encode(body), label=label)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        kind: str = "application/json",
        label: str = "",
        verb: str = "",
        read_seconds: float = READ_SECONDS,
    ) -> bytes:
        """One request; its answer's body. Raises ApiError for every other outcome."""
        response = self._open(method, path, query, body, kind, label, verb or method, read_seconds, stream=False)
        return response.data

    def stream(self, resource: Resource, query: Mapping[str, str], read_seconds: float) -> urllib3.BaseHTTPResponse:
        """Open a watch; the caller reads and closes the answer. Raises ApiError like ``send``."""
        return self._open("GET", resource.path(), query, None, "", resource.plural, "WATCH", read_seconds, stream=True)

    def close(self) -> None:
        """Close what is idle in the pool."""
        self._pool.close()

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: bytes | None,
        kind: str,
        label: str,
        verb: str,
        read_seconds: float,
        *,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        url = self._prefix + path + ("?" + urlencode(query) if query else "")
        for last in (False, True):
            began, code = time.monotonic(), 0
            try:
                headers = {**_HEADERS, **self._login.headers()}
                if body is not None:
                    headers["Content-Type"] = kind
                response = self._pool.urlopen(
                    method,
                    url,
                    body=body,
                    headers=headers,
                    preload_content=not stream,
                    timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=read_seconds),
                    retries=False,
                )
                code = response.status
            except (urllib3.exceptions.HTTPError, OSError) as error:
                raise ApiError(0, "Unreachable", _why(error)) from error
            finally:
                self._observe(verb, label, code, time.monotonic() - began)
            if code < 300:
                return response
            if code == 401 and not last and self._login.refresh is not None:
                response.drain_conn()
                self._login.refresh()
                continue
            raise _error(response)
        raise AssertionError("unreachable")


def _error(response: urllib3.BaseHTTPResponse) -> ApiError:
    try:
        text = response.data
    except (urllib3.exceptions.HTTPError, OSError):
        text = b""
    try:
        status = decode(text, _Status)
    except msgspec.DecodeError:
        status = _Status(message=text[:500].decode(errors="replace").strip())
    given = response.headers.get("Retry-After", "")
    return ApiError(
        response.status,
        status.reason or str(response.reason or "Unknown"),
        status.message or status.error,
        min(float(given), RETRY_AFTER_SECONDS) if given.isascii() and given.isdigit() else None,
        tuple((cause.field, cause.message) for cause in status.details.causes) if status.details else (),
    )


def _why(error: Exception) -> str:
    """The innermost sentence: urllib3 wraps the reason in pool and object names."""
    inner: Any = error
    while (deeper := getattr(inner, "reason", None)) is not None and isinstance(deeper, Exception):
        inner = deeper
    return f"{type(inner).__name__}: {inner}"
