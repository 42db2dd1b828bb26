"""The console as one handler: who asks, may they, then the endpoint; every failure becomes a problem with a remedy."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable
from email.message import Message
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct, field, structs

from colocation import __version__
from colocation.console import asking, people, problems
from colocation.console.asking import Ask
from colocation.console.gate import Gate, Right, User, report_right
from colocation.console.model import Failed, Login, Me, NodeRights, PolicyRights, Rights
from colocation.console.people import Person
from colocation.console.place import Options, Place, context, place
from colocation.console.problems import Trouble
from colocation.console.router import Endpoint, Router
from colocation.console.session import FRESH_SECONDS, Sessions
from colocation.kube.rest import ApiError, Rest
from colocation.model import names
from colocation.serving import Answer, Refused, Request, compressed, unchanged

log = logging.getLogger(__name__)
S = TypeVar("S")
ALWAYS: Final = (
    (
        "Content-Security-Policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'; require-trusted-types-for 'script'; "
        "trusted-types colocation",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
PROBLEM: Final = "application/problem+json"
EVENTS_RIGHT: Final = Right("list", "events", "events.k8s.io", namespace="default")
"""Events about Nodes and policies are in `default`: neither has a namespace of its own."""
LAST_SECOND: Final = 253402300799
"""The last second of the year 9999: a token may claim more."""


class App(Struct, kw_only=True):
    """All that handlers look at; made once."""

    options: Options
    api: Rest
    """Without a credential: every request speaks as the person who asks."""
    gate: Gate
    sessions: Sessions
    router: Router
    render: Callable[..., Answer]
    """A page: (template, view, context, code)."""
    services: dict[type, Any] = field(default_factory=dict)
    """The parts of the console, by their class."""
    wall: Callable[[], float] = time.time
    api_away_since: float | None = None

    def service(self, kind: type[S]) -> S:
        """One of the console's parts."""
        found: S = self.services[kind]
        return found

    def place(self, request: Request) -> Place:
        """Where it came in."""
        return place(request, self.options)

    # -- in the person's name ----------------------------------------------------------------------------------------

    def speaking_as(self, person: Person) -> Rest:
        """The API server, asked in the person's name."""
        return self.api.speaking_as({**person.headers, "User-Agent": f"colocation-console/{__version__}"})

    def rest(self, ask: Ask) -> Rest:
        """The same, for who asks."""
        assert ask.person is not None  # noqa: S101 (the endpoint says so)
        return self.speaking_as(ask.person)

    def may(self, ask: Ask, right: Right) -> bool:
        """The person has this right. Raises Trouble when the API server does not answer."""
        try:
            found = self.gate.may(self.rest(ask), ask.token, right)
        except ApiError as error:
            raise self.of_api(error, str(right), ask) from error
        self.api_away_since = None
        return found

    def need(self, ask: Ask, right: Right, role: str = "reader") -> None:
        """Raises Trouble without this right."""
        if not self.may(ask, right):
            raise problems.denied(str(right), self.grant(ask, role))

    def grant(self, ask: Ask, role: str = "reader") -> str:
        """The command that gives somebody a role."""
        user = ask.user.username if ask.user else "USER"
        return f"colocation grant {role} {shlex.quote(user)} --namespace {self.options.namespace}"

    def of_api(self, error: ApiError, doing: str, ask: Ask | None = None, role: str = "operator") -> Trouble:
        """What the API server refused, as a problem."""
        if error.code == 0 or error.code >= 500 or error.code == 429:
            self.api_away_since = self.api_away_since or self.wall()
        else:
            self.api_away_since = None
        if error.code == 401 and ask is not None and ask.person is not None:
            self.gate.forget(ask.person.token)
        return problems.of_api(error, doing, self.grant(ask, role) if ask else "", self.api_away_since)

    def me(self, ask: Ask) -> Me:
        """Who asks, and what they may."""
        person, user = ask.person, ask.user
        assert person is not None  # noqa: S101 (endpoints that show it need a person)
        assert user is not None  # noqa: S101
        expires = person.session.expires if person.session else people.claims(person.token).exp
        return Me(
            user=user.username,
            groups=user.groups,
            expires_at=None if expires is None else problems.rfc3339(min(max(expires, 0), LAST_SECOND)),
            csrf=self.sessions.csrf(person.session, self.wall()) if person.session else "",
            mode=self.options.mode,
            rights=self._rights(ask),
        )

    def _rights(self, ask: Ask) -> Rights:
        def may(verb: str, resource: str, group: str = "") -> bool:
            return self.may(ask, Right(verb, resource, group))

        ours = {verb: may(verb, "colocationpolicies", names.API_GROUP) for verb in PolicyRights.__struct_fields__}
        return Rights(
            report=self.may(ask, report_right(self.options.namespace)),
            events=self.may(ask, EVENTS_RIGHT),
            policies=PolicyRights(**ours),
            nodes=NodeRights(list=may("list", "nodes"), patch=may("patch", "nodes")),
        )

    # -- one request -------------------------------------------------------------------------------------------------

    def handle(self, request: Request) -> Answer:
        """Answer it; never raises."""
        answer = unchanged(self._handled(request), request.headers)
        return answer if watched(request.headers) else compressed(answer, request.headers)

    def _handled(self, request: Request) -> Answer:
        where = self.place(request)
        page = not where.path.startswith("/api/")
        try:
            endpoint, parts = self.router.find(request.method, where.path)
        except Refused as refused:
            code = "absent" if refused.code == 404 else "method"
            return self._failed(problems.trouble(refused.code, code, str(refused)), request, where, page=page)
        page = bool(endpoint.template)
        try:
            return self._answer(endpoint, parts, request, where)
        except Trouble as trouble:
            return self._failed(trouble, request, where, page=page)
        except Refused as refused:
            found = problems.trouble(refused.code, "refused", str(refused))
            return self._failed(found, request, where, page=page)
        except Exception:
            log.exception("request failed", extra={"path": where.path[:200]})
            fault = problems.trouble(500, "fault", "the console's log has the details")
            return self._failed(fault, request, where, page=page)

    def _answer(self, endpoint: Endpoint, parts: dict[str, str], request: Request, where: Place) -> Answer:
        given = people.cookies(request.headers)
        needed = endpoint.needs != "nobody"
        person = self._person(request, given, where) if needed or endpoint.method != "GET" else None
        if endpoint.method != "GET":
            self._hold(endpoint, person, request, where)
        if needed and person is None:
            raise problems.sign_in()
        user = self._user(person) if needed and person is not None else None
        ask = Ask(
            request=request,
            place=where,
            names=parts,
            query=asking.query(request.query, endpoint.query),
            body=asking.body(request, endpoint.body),
            person=person,
            user=user,
            context=context(request, where, given, self.options),
            given=given,
        )
        if endpoint.needs == "report":
            self.need(ask, report_right(self.options.namespace))
        if endpoint.template and needed:
            ask = structs.replace(ask, context=structs.replace(ask.context, me=self.me(ask)))
        return dressed(self._made(endpoint, ask), self._renewed(ask))

    def _made(self, endpoint: Endpoint, ask: Ask) -> Answer:
        found = endpoint.handle(self, ask)
        if isinstance(found, Answer):
            return found
        if endpoint.template:
            return self.render(endpoint.template, found, ask.context)
        code = 201 if endpoint.method == "PUT" and getattr(found, "created", False) else 200
        return Answer(code, msgspec.json.encode(found) + b"\n", "application/json")

    def _renewed(self, ask: Ask) -> tuple[tuple[str, str], ...]:
        """Cookies of a session that continues: it ends an hour after it was last used."""
        now = self.wall()
        if ask.user is None or ask.person is None or ask.person.session is None:
            return ()
        if now - ask.person.session.seen <= FRESH_SECONDS:
            return ()
        fresh = self.sessions.seal(structs.replace(ask.person.session, seen=now))
        return people.set_cookies(fresh, ask.base, had=people.sealed(ask.given, ask.base))

    def _person(self, request: Request, given: dict[str, str], where: Place) -> Person | None:
        """By a header; else, in mode token, by the session's cookie. Raises Trouble for two tokens, or garbage."""
        proxy = self.options.mode == "proxy"
        token = people.bearer(request.headers, self.options.headers if proxy else ("Authorization",))
        if token:
            return Person(token=token)
        parts = {} if proxy else people.sealed(given, where.base)
        session = self.sessions.open(parts, self.wall()) if parts else None
        return None if session is None else Person(token=session.token, session=session)

    def _user(self, person: Person) -> User:
        """Raises Trouble: 401, or 503 while the API server is away."""
        try:
            found = self.gate.user(self.speaking_as(person), person.token)
        except ApiError as error:
            raise self.of_api(error, "create selfsubjectreviews") from error
        self.api_away_since = None
        if found is not None:
            return found
        if self.options.mode == "proxy":
            claimed = people.claims(person.token)
            audience = claimed.aud if isinstance(claimed.aud, str) else ", ".join(claimed.aud)
            raise problems.sign_in(
                "You are signed in at your identity provider, but this cluster's API server does not take its tokens "
                f"(issuer {claimed.iss or 'unknown'}, audience {audience or 'unknown'})",
                "foreignToken",
                "configure the API server for that issuer, or the proxy for one that the API server knows: "
                "docs/console.md",
            )
        raise problems.sign_in("the API server does not know this token, or no longer", "refused")

    def _hold(self, endpoint: Endpoint, person: Person | None, request: Request, where: Place) -> None:
        """Refuse a write that another site may have made a browser send. Raises Trouble."""
        given = request.headers.get("X-Csrf") or (asking.form(request).get("csrf", "") if endpoint.template else "")
        session = person.session if person and endpoint.csrf else None
        good = session is not None and self.sessions.good_csrf(session, given, self.wall())
        held = Person(token=person.token, session=session) if person else None
        people.hold(held, request.headers, where.hosts, given, good_csrf=good)

    def _failed(self, trouble: Trouble, request: Request, where: Place, *, page: bool) -> Answer:
        problem, headers = trouble.problem, trouble.headers
        given = people.cookies(request.headers)
        by_token = self.options.mode == "token"
        if problem.status == 401 and by_token:
            headers = (*headers, *people.set_cookies((), where.base, had=people.sealed(given, where.base)))
        if not page:
            return dressed(Answer(problem.status, msgspec.json.encode(problem) + b"\n", PROBLEM), headers)
        ground = context(request, where, given, self.options)
        if problem.status == 401 and by_token and request.method == "GET" and not ground.fragment:
            query = f"?{request.query}" if request.query else ""
            to = f"{where.base}/login?goTo={quote(where.path + query)}"
            return dressed(Answer(303, b"", "text/plain; charset=utf-8"), (("Location", to), *headers))
        if where.path == "/login" and by_token:
            go_to = asking.form(request).get("goTo", "/")
            view: Struct = Login(problem=problem, command=self.token_command(), go_to=go_to)
            return dressed(self.render("login", view, ground, problem.status), headers)
        retry = 2 if problem.what == "manager" else 5 if problem.status == 503 else None
        view = Failed(problem=problem, retry_seconds=retry)
        return dressed(self.render("failed", view, ground, problem.status), headers)

    def token_command(self) -> str:
        """What gives a token to sign in with."""
        return f"kubectl -n {self.options.namespace} create token NAME --duration=8h"


def watched(headers: Message) -> bool:
    """Another site may have made a browser ask, and watch the length of the answer (CVE-2013-3587, "BREACH").

    Compressed, the length would say whether what that site put into the query is on the page too.
    """
    site = headers.get("Sec-Fetch-Site")
    return headers.get("Cookie") is not None if site is None else site not in ("same-origin", "none")


def dressed(answer: Answer, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """With these headers, and with those that every answer has unless it has its own."""
    given = {name.lower() for name, _ in answer.headers}
    more = tuple(one for one in ALWAYS if one[0].lower() not in given)
    return structs.replace(answer, headers=(*answer.headers, *headers, *more))


__all__ = ["App", "Ask", "Options"]
