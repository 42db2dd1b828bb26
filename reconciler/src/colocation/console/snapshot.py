"""The manager's report, fetched once in ten seconds for all viewers; and questions about one node or one change."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import msgspec
from msgspec import Struct

from colocation.console import problems, table
from colocation.console.model import NodeCounts, NodeRow, Sums
from colocation.decoding import decode
from colocation.kube.login import Login, token_file
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from colocation.model.answers import Explanation, Report, Simulation

log = logging.getLogger(__name__)
EVERY_SECONDS: Final = 10.0
SOON_SECONDS: Final = 2.0
"""While there is no report yet, or after a change."""
READ_SECONDS: Final = 8.0
AWAY: Final = "managerAway"
READING: Final = "managerReading"
"""It answers, and has not read the cluster yet: it was started just now, or the API server is slow."""


class Seen(Struct, frozen=True, kw_only=True):
    """One report."""

    rows: tuple[NodeRow, ...]
    by_name: dict[str, NodeRow]
    counts: NodeCounts
    cpu: Sums
    memory: Sums
    policies: tuple[str, ...]
    """That are for some node."""
    at: float
    """When it was given, Unix seconds."""
    holder: str
    leads: bool


Told = Callable[[Seen], None]


class Snapshot:
    """Keeps the newest report. `start` begins to fetch; any thread may look."""

    def __init__(self, url: str, token: Path | None, wall: Callable[[], float] = time.time) -> None:
        source = token_file(token, names.TOKEN_HEADER, "") if token else None

        def headers() -> dict[str, str]:
            return {"Accept-Encoding": "gzip", **(source.headers() if source else {})}

        self._rest = Rest(Login(url.rstrip("/"), headers, source.refresh if source else None))
        self._wall = wall
        self._seen: Seen | None = None
        self._away_since: float | None = None
        self._why, self._code = "it has not been asked yet", AWAY
        self._listeners: list[Told] = []
        self._away_listeners: list[Callable[[float | None], None]] = []
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="snapshot", daemon=True)

    @property
    def seen(self) -> Seen | None:
        """The newest report; None: there has been none."""
        return self._seen

    @property
    def away_since(self) -> float | None:
        """Since when the manager does not answer; None: it does."""
        return self._away_since

    def now(self) -> float:
        """Unix seconds."""
        return self._wall()

    def listen(self, told: Told, away: Callable[[float | None], None] | None = None) -> None:
        """Receive each report, on this object's thread; ``away``: of the manager going away and coming back."""
        self._listeners.append(told)
        if away is not None:
            self._away_listeners.append(away)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(2)
        self._rest.close()

    def soon(self) -> None:
        """Something was changed: fetch without waiting."""
        self._wake.set()

    def need(self) -> Seen:
        """The newest report. Raises Trouble while there has been none."""
        if self._seen is None:
            raise problems.away("manager", self._why, self._away_since, self._code)
        return self._seen

    def explain(self, name: str) -> Explanation | None:
        """Why a node has its number; None: the manager knows no such node. Raises Trouble."""
        try:
            return decode(self._get(f"/v1/explain/{quote(name, safe='')}"), Explanation)
        except ApiError as error:
            if error.code == 404:
                return None
            raise self._trouble(error) from error

    def simulate(self, policies: list[dict[str, Any]], gone: list[str]) -> Simulation:
        """What nodes would carry. Raises Trouble."""
        query = urlencode({"policies": msgspec.json.encode(policies).decode(), "delete": gone}, doseq=True)
        try:
            return decode(self._get(f"/v1/simulate?{query}"), Simulation)
        except ApiError as error:
            raise self._trouble(error) from error

    def _get(self, path: str) -> bytes:
        return self._rest.send("GET", path, read_seconds=READ_SECONDS, label="manager")

    def _trouble(self, error: ApiError) -> problems.Trouble:
        if error.code == 400:
            return problems.malformed(error.message)
        return problems.away("manager", _why(error), self._away_since, _code(error))

    def _run(self) -> None:
        while not self._stopped:
            self._wake.clear()
            self.fetch()
            self._wake.wait(EVERY_SECONDS if self._away_since is None else SOON_SECONDS)

    def fetch(self) -> None:
        """Ask once."""
        try:
            report = decode(self._get("/v1/report"), Report)
        except ApiError as error:
            self._failed(_why(error), _code(error))
            return
        except msgspec.DecodeError as error:
            self._failed(f"what answers is no colocation manager of this version: {error}")
            return
        rows = table.as_rows(report.nodes)
        seen = Seen(
            rows=rows,
            by_name={row.node: row for row in rows},
            counts=table.count(rows),
            cpu=table.sums(row.cpu for row in rows),
            memory=table.sums(row.memory for row in rows),
            policies=tuple(sorted({row.policy for row in rows if row.policy})),
            at=self._wall(),
            holder=report.holder,
            leads=report.leader,
        )
        self._seen = seen
        if self._away_since is not None:
            self._away_since = None
            self._tell_away()
        for told in self._listeners:
            told(seen)

    def _failed(self, why: str, code: str = AWAY) -> None:
        first = self._away_since is None
        self._why, self._code = why, code
        if first:
            self._away_since = self._wall()
            log.warning("the manager does not answer", extra={"error": why})
            self._tell_away()

    def _tell_away(self) -> None:
        for told in self._away_listeners:
            told(self._away_since)


def _code(error: ApiError) -> str:
    return READING if error.code == 503 else AWAY


def _why(error: ApiError) -> str:
    if error.code == 0:
        return f"the manager does not answer: {error.message}"
    if error.code == 503:
        return error.message or "the manager is still reading the cluster"
    if error.code == 401:
        return f"the manager does not accept this console's token: {error.message}"
    return error.message or str(error)
