"""HTTPS for the API server's admission reviews. Every replica serves, whichever of them leads."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from colocation.admission import Settings, answer
from colocation.admission.review import PATHS
from colocation.serving import Answer, Limits, Refused, Request, Route, Server

LIMITS: Final = Limits(
    connections=256,
    # An API server opens one connection for each review under way, all from one address.
    per_address=64,
    # Longer than the API server keeps a connection that it does not use (90 s): it is the one to close.
    idle_seconds=120.0,
    # A review holds the pod before and after; etcd takes no object above 1.5 MiB.
    body_bytes=3 * 2**20,
    held_bytes=32 * 2**20,
    # A review that is turned away is decided by the failurePolicy: better it waits for the few ms of the others.
    answers=256,
)


def serve(
    host: str, port: int, settings: Settings, observe: Callable[[str], None] = lambda _: None, limits: Limits = LIMITS
) -> Server:
    """The webhook's server, which waits for a certificate; ``observe``: called with each review's outcome.

    Raises OSError if the address is taken.
    """
    routes = [
        Route(path=path, method="POST", handle=partial(_review, settings=settings, default=default))
        for path, default in PATHS.items()
    ]

    def result(code: int) -> None:
        observe("ok" if code == 200 else str(code))

    return Server(host, port, routes, limits=limits, tls=True, observe=result)


def _review(request: Request, settings: Settings, default: str) -> Answer:
    try:
        return Answer(200, answer(request.body, settings, default), "application/json")
    except ValueError as error:
        raise Refused(400, str(error)) from error
