"""HTTP: health, metrics, explanations. Read-only; `/v1` for readers with a proof of their right to."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from colocation.budget import Candidate
from colocation.decoding import decode
from colocation.manager import views
from colocation.manager.loop import Loop, ask
from colocation.manager.metrics import Metrics
from colocation.model.answers import Report, Simulation
from colocation.model.wire import ColocationPolicy
from colocation.serving import Answer, Guard, Limits, Refused, Request, Route, Server, compressed, json_answer

LIMITS: Final = Limits()
BEAT_SECONDS: Final = 30.0
"""A loop that has not come round for this long is stuck: restart it."""
MOST_POLICIES: Final = 64
JSON: Final = "application/json"
SLICE: Final = 200
"""Nodes per question: about 20 ms in which the loop does nothing else."""


class Inside(Struct, frozen=True):
    """What is looked at to answer."""

    loop: Loop
    metrics: Metrics
    clock: Callable[[], float]
    holder: Callable[[], str]
    """Who leads, as far as this manager knows."""
    webhook: Callable[[], bool] | None = None
    """It can answer; None: there is none."""


def serve(host: str, port: int, inside: Inside, guard: Guard, limits: Limits = LIMITS) -> Server:
    """The manager's server; ``guard``: of `/v1`. Raises OSError if the address is taken."""
    view = partial(Route, guard=_all(partial(_synced, inside), guard))
    routes = [
        Route(path="/healthz", handle=partial(_healthz, inside), probe=True),
        Route(path="/readyz", handle=partial(_readyz, inside), probe=True),
        Route(path="/metrics", handle=partial(_metrics, inside)),
        view(path="/v1/report", handle=partial(_report, inside)),
        view(path="/v1/explain/", handle=partial(_explain, inside.loop), hint="/v1/explain/NODE"),
        view(path="/v1/simulate", handle=partial(_simulate, inside.loop), hint="/v1/simulate?policies="),
    ]
    return Server(host, port, routes, limits=limits)


def _all(*guards: Guard) -> Guard:
    def check(request: Request) -> None:
        for guard in guards:
            guard(request)

    return check


def _synced(inside: Inside, _request: Request) -> None:
    if not inside.loop.state.synced:
        raise Refused(503, "still reading the cluster; try again in a moment")


def _healthz(inside: Inside, _request: Request) -> Answer:
    age = inside.clock() - inside.loop.beat
    return json_answer(200 if age < BEAT_SECONDS else 503, {"loopAgeSeconds": round(age, 3)})


def _readyz(inside: Inside, _request: Request) -> Answer:
    loop, webhook = inside.loop, inside.webhook
    declared = {"synced": loop.state.synced} | ({} if webhook is None else {"webhook": webhook()})
    code = 200 if all(declared.values()) else 503
    return json_answer(code, {**declared, "leader": loop.leads, "holder": inside.holder()})


def _metrics(inside: Inside, _request: Request) -> Answer:
    return Answer(200, generate_latest(inside.metrics.registry), CONTENT_TYPE_LATEST)


def _report(inside: Inside, request: Request) -> Answer:
    loop = inside.loop
    rows = _sliced(loop, request, views.rows)
    report = Report(nodes=tuple(rows), leader=loop.leads, holder=inside.holder())
    return compressed(Answer(200, msgspec.json.encode(report) + b"\n", JSON), request.headers)


def _explain(loop: Loop, request: Request) -> Answer:
    name = request.rest
    result = ask(loop, lambda inner, now: views.explain(inner, name, now), request.left())
    if result is None:
        raise Refused(404, f"no node {name!r} with a known capacity")
    return json_answer(200, {**msgspec.to_builtins(result), "leader": loop.leads})


def _simulate(loop: Loop, request: Request) -> Answer:
    """``policies``: JSON list of ColocationPolicies; ``delete``: names."""
    given = parse_qs(request.query)
    try:
        wires = decode(given.get("policies", ["[]"])[0], list[ColocationPolicy])
    except msgspec.DecodeError as error:
        raise Refused(400, str(error)) from error
    gone = given.get("delete", [])
    if len(wires) + len(gone) > MOST_POLICIES:
        raise Refused(400, f"{len(wires) + len(gone)} policies; at most {MOST_POLICIES} can be simulated at once")
    wanted = [Candidate(wire.metadata.name, wire.metadata.generation, wire.spec) for wire in wires]
    rows = _sliced(loop, request, partial(views.simulate, wanted=wanted, gone=gone))
    simulation = Simulation(nodes=tuple(rows), leader=loop.leads)
    return compressed(Answer(200, msgspec.json.encode(simulation) + b"\n", JSON), request.headers)


def _sliced(loop: Loop, request: Request, question: Callable[..., list[Any]]) -> list[Any]:
    """Ask about all nodes, in slices, so that the loop can do its own work between them."""
    names = ask(loop, views.names_of, request.left())
    rows: list[Any] = []
    for at in range(0, len(names), SLICE):
        rows += ask(loop, partial(question, nodes=names[at : at + SLICE]), request.left())
    return rows
