"""Signing in and out, and what a browser remembers of looks and language."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from colocation.console import people, problems
from colocation.console.app import App, Ask
from colocation.console.asking import form
from colocation.console.model import Login
from colocation.console.tries import Tries
from colocation.kube.rest import ApiError
from colocation.serving import Answer

YEAR: Final = 31536000
_CHOICES: Final = {"language": ("en", "zh"), "theme": ("auto", "light", "dark")}


def page(app: App, ask: Ask) -> Login | Answer:
    """GET /login."""
    if app.options.mode == "proxy":
        return redirect(ask.base + "/")
    return Login(
        go_to=local(ask.query.go_to),
        command=app.token_command(),
        insecure=not ask.place.secure,
    )


def login(app: App, ask: Ask) -> Answer:
    """POST /login: a form with ``token`` and ``goTo``."""
    if app.options.mode == "proxy":
        raise problems.malformed("sign in at the proxy: this console takes its token from a header", "proxyMode")
    place = ask.place
    if not place.secure:
        raise problems.trouble(
            403,
            "insecure",
            "a token is not taken over plain HTTP",
            remedy="open the console by https, or by a port-forward at http://127.0.0.1",
        )
    tries: Tries = app.service(Tries)
    wait = tries.wait(place.client)
    if wait:
        raise problems.too_many("too many wrong tokens from this address", wait)
    given = form(ask.request)
    token = people.clean(given.get("token", ""))
    if not token:
        tries.wrong(place.client)
        raise problems.sign_in("there is no token in the field", "noToken", app.token_command())
    person = people.Person(token=token)
    try:
        user = app.gate.user(app.speaking_as(person), token)
    except ApiError as error:
        raise app.of_api(error, "create selfsubjectreviews") from error
    if user is None:
        tries.wrong(place.client)
        raise problems.sign_in("the API server does not know this token", "refused", app.token_command())
    now = app.wall()
    session = app.sessions.begin(token, people.claims(token).exp, now)
    try:
        parts = app.sessions.seal(session)
    except ValueError as error:
        raise problems.malformed(str(error), "tooLong") from error
    had = people.sealed(ask.given, ask.base)
    return redirect(ask.base + local(given.get("goTo", "/")), people.set_cookies(parts, ask.base, had=had))


def logout(app: App, ask: Ask) -> Answer:
    """POST /logout."""
    if ask.person is not None:
        app.gate.forget(ask.person.token)
    had = people.sealed(ask.given, ask.base)
    return redirect(f"{ask.base}/login", people.set_cookies((), ask.base, had=had))


def preferences(_app: App, ask: Ask) -> Answer:
    """POST /preferences: a form with ``language`` or ``theme``, and ``goTo``."""
    given = form(ask.request)
    path = ask.base or "/"
    kept = tuple(
        ("Set-Cookie", f"colocation-{name}={given[name]}; Path={path}; Max-Age={YEAR}; SameSite=Lax")
        for name, values in _CHOICES.items()
        if given.get(name) in values
    )
    return redirect(ask.base + local(given.get("goTo", "/")), kept)


def redirect(to: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """303."""
    return Answer(303, b"", "text/plain; charset=utf-8", (("Location", to), *headers))


def local(path: str) -> str:
    """A path of ours, whatever was asked for: no other host, no header of its own."""
    plain = path.isascii() and path.isprintable() and "\\" not in path
    if not plain or not path.startswith("/") or path.startswith("//") or urlsplit(path).netloc:
        return "/"
    return path
