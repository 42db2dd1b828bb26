"""What went wrong, as problem+json: each with a stable code, a sentence and a way on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, Literal

from colocation.console.model import FieldProblem, PolicyView, Problem
from colocation.kube.rest import ApiError

What = Literal["apiserver", "manager", "prometheus"]
_TITLES: Final = {
    400: "The request cannot be understood",
    401: "Sign in",
    403: "Not allowed",
    404: "There is no such thing",
    405: "Not that way",
    409: "Changed meanwhile",
    411: "No length",
    412: "Check it first",
    413: "Too large",
    422: "Not valid",
    429: "Too many",
    431: "Too large a head",
    500: "A fault of the console",
    503: "Away",
}


class Trouble(Exception):  # noqa: N818 (an answer, not a fault)
    """Answer with this problem instead."""

    def __init__(self, problem: Problem, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(problem.detail)
        self.problem, self.headers = problem, headers


def trouble(status: int, code: str, detail: str, **more: object) -> Trouble:
    """A problem of this code."""
    title = _TITLES.get(status, "Problem")
    return Trouble(Problem(type=f"about:blank#{code}", title=title, status=status, detail=detail, **more))  # type: ignore[arg-type]


def malformed(detail: str, code: str = "malformed") -> Trouble:
    """400."""
    return trouble(400, code, detail)


def sign_in(detail: str = "you are not signed in", code: str = "signIn", remedy: str = "") -> Trouble:
    """401."""
    return trouble(401, code, detail, remedy=remedy or "sign in, or send `Authorization: Bearer TOKEN`")


def denied(missing: str, remedy: str, detail: str = "") -> Trouble:
    """403."""
    return trouble(403, "denied", detail or f"you may not {missing}", missing=missing, remedy=remedy)


def absent(detail: str) -> Trouble:
    """404."""
    return trouble(404, "absent", detail)


def changed_meanwhile(detail: str, theirs: PolicyView | None) -> Trouble:
    """409."""
    return trouble(
        409,
        "changedMeanwhile",
        detail,
        theirs=theirs,
        remedy="look at what changed, and check your change again on top",
    )


def unchecked(detail: str) -> Trouble:
    """412."""
    return trouble(
        412, "unchecked", detail, remedy="POST the same change to :check, and send its checkToken as X-Check"
    )


def invalid(fields: tuple[FieldProblem, ...]) -> Trouble:
    """422."""
    return trouble(422, "invalid", "; ".join(f"{one.path}: {one.message}" for one in fields)[:1024], fields=fields)


def too_many(detail: str, seconds: int) -> Trouble:
    """429."""
    found = trouble(429, "tooMany", detail, remedy=f"wait {seconds} s")
    return Trouble(found.problem, (("Retry-After", str(seconds)),))


def away(what: What, detail: str, since: float | None, code: str = "") -> Trouble:
    """503; ``since``: Unix seconds."""
    return trouble(503, code or f"{what}Away", detail, what=what, since=None if since is None else rfc3339(since))


def of_api(error: ApiError, doing: str, remedy: str, since: float | None = None) -> Trouble:
    """What the API server refused; ``doing``: verb, resource and name."""
    if error.code == 0 or error.code >= 500 or error.code == 429:
        return away("apiserver", f"the API server does not answer: {error.message}", since)
    if error.code == 401:
        return sign_in("the API server does not accept this token (any more)", "refused")
    if error.code == 403:
        return denied(doing, remedy, error.message)
    if error.code == 404:
        return absent(error.message or f"{doing}: not there")
    if error.code == 409:
        return changed_meanwhile(error.message, None)
    if error.code == 422:
        return invalid(
            tuple(FieldProblem(path=path.removeprefix("spec").lstrip("."), message=text) for path, text in error.causes)
            or (FieldProblem(path="", message=error.message),)
        )
    return malformed(error.message)


def rfc3339(seconds: float) -> str:
    """Unix seconds as text, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
