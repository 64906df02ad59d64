"""Who asks, and whether they may: every route stands behind a Gate that names its permission."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alerts.people.people import ANYBODY, EVERYONE, PROGRAM, People, Who
from alerts.people.permissions import KNOWN, OPEN, PERSON
from dashboards.asked import By
from dashboards.problems_json import ProblemError
from facility.secret import Secret

Attributed = TypeVar("Attributed", bound=By)
PASSIVE = ("/parts/", "/api/v1/events")
"""What an open page asks for by itself: nobody need be there, so it keeps no session alive."""


class NotSignedIn(ProblemError):
    """Nobody known asks."""

    def __init__(self, detail: str) -> None:
        super().__init__(401, "sign-in", "Sign in first", detail)


class MustChange(ProblemError):
    """Signed in with a one-time password."""

    def __init__(self) -> None:
        detail = "You signed in with a one-time password: choose your own first (POST /api/v1/session/password, or /password in a browser)."
        super().__init__(403, "change-password", "Choose your own password first", detail)


class Gate(Route):
    """A route that is served to those only who have its permission; `permission` as in dashboards.operation."""

    def __init__(self, path: str, endpoint: Callable[[Request], Any], permission: str, method: str = "GET") -> None:
        async def guarded(request: Request) -> Response:
            await admit(request, permission)
            response: Response = await endpoint(request)
            return response

        super().__init__(path, guarded, methods=[method])
        self.permission = permission


async def admit(request: Request, permission: str) -> None:
    """Find out who asks, for the rest of the request; a ProblemError unless they may."""
    people: People | None = request.app.state.people
    if people is None:
        request.state.who = EVERYONE
        return
    if permission == OPEN:
        return
    who = await run_in_threadpool(_identify, people, request)
    if who is None:
        raise NotSignedIn(
            "Sign in (POST /api/v1/session, or /login in a browser), or send a token as `Authorization: Bearer …`; "
            "a session that was there is over."
            if "authorization" not in request.headers
            else "The token is unknown, revoked or expired; `renrum users token list` shows them, an administrator makes another."
        )
    request.state.who = who
    if permission == KNOWN or (permission == PERSON and who.kind != PROGRAM) or who.may(permission):
        return
    if who.must_change:
        raise MustChange
    what = "a person who is signed in" if permission == PERSON else f"the permission {permission!r}"
    raise ProblemError(403, "forbidden", "Not allowed", f"This needs {what}; {who.label} is {who.role} and does not have it.")


async def person_of(request: Request) -> Who | None:
    """Who is signed in, at a page that is open; None for nobody, or where there are no users."""
    people: People | None = request.app.state.people
    return None if people is None else await run_in_threadpool(people.of_session, session_token(request))


def who_asks(request: Request) -> Who:
    """Who was admitted; where that was not asked (errors, open pages) everybody."""
    who: Who = getattr(request.state, "who", EVERYONE)
    return who


def source_of(request: Request) -> str:
    """The address that the request comes from; a trusted proxy's word for it is in there already."""
    return request.client.host if request.client else ""


def attributed(body: Attributed, who: Who) -> Attributed:
    """The body with the name that goes on record: that of who is signed in; where there are no users, the one given."""
    if who.kind == ANYBODY:
        if body.by is None:
            raise _bad_by("nothing", "a value: this parameter is required")
        return body
    if body.by is not None:
        raise _bad_by(repr(body.by), f"nothing, as it is recorded for {who.label}, who is signed in")
    return body.model_copy(update={"by": who.label})


def _bad_by(found: str, allowed: str) -> ProblemError:
    error = {"parameter": "by", "found": found, "allowed": allowed}
    detail = f"by: found {found}, allowed: {allowed}"
    return ProblemError(400, "bad-parameter", "A parameter in the body cannot be used", detail, errors=[error])


def _identify(people: People, request: Request) -> Who | None:
    given = request.headers.get("authorization")
    if given is not None:
        scheme, _, token = given.partition(" ")
        return people.of_token(token.strip()) if scheme.lower() == "bearer" else None
    return people.of_session(session_token(request), active=not request.url.path.startswith(PASSIVE))


# The cookie


def session_token(request: Request) -> str:
    """The token in the session's cookie, empty for none."""
    return request.cookies.get(_cookie_name(request), "")


def hand_session(request: Request, response: Response, token: Secret) -> None:
    """Give the browser its session: out of reach of scripts, of other sites, and of networks that listen."""
    response.set_cookie(_cookie_name(request), token.reveal(), path="/", secure=_secure(request), httponly=True, samesite="strict")


def take_session(request: Request, response: Response) -> None:
    """Have the browser forget it."""
    response.delete_cookie(_cookie_name(request), path="/", secure=_secure(request), httponly=True, samesite="strict")


def _cookie_name(request: Request) -> str:
    # browsers take a __Host- cookie from this very host over TLS only, so that no neighbour can plant one
    return "__Host-renrum" if _secure(request) else "renrum"


def _secure(request: Request) -> bool:
    public = urlsplit(request.app.state.public_url)
    return request.url.scheme == "https" or (public.scheme == "https" and request.url.hostname == public.hostname)


# Where to go after signing in


def local_path(text: str) -> str:
    """A path on this site, whatever was asked for: `/` for anything that a browser could take for another site.

    >>> local_path("/alarms/A7?x=1"), local_path("//evil.example"), local_path("https://evil.example"), local_path("/\\\\evil.example")
    ('/alarms/A7?x=1', '/', '/', '/')
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        return "/"
    fine = text.startswith("/") and not text.startswith("//") and not parts.scheme and not parts.netloc
    return text if fine and "\\" not in text and text.isprintable() and " " not in text else "/"


def login_path(request: Request) -> str:
    """The sign-in page that leads back to what was asked for."""
    wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    if request.method != "GET":  # a form cannot be sent again: back to the page it was on
        wanted = urlsplit(request.headers.get("referer", "")).path or "/"
    wanted = local_path(wanted)
    return "/login" if wanted == "/" else f"/login?next={quote(wanted, safe='')}"
