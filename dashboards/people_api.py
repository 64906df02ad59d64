"""Signing in and out, passwords, and who has which rights, over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from alerts.people.office import Office, OfficeRefused, On
from alerts.people.passwords import TooBusy
from alerts.people.people import PasswordRefused, People, SignInRefused, Who
from alerts.people.permissions import ADMINISTER, KNOWN, OPEN, PERSON, REVIEW, ROLES
from dashboards.access import hand_session, session_token, source_of, take_session, who_asks
from dashboards.asked import Nothing
from dashboards.operation import PREFIX, Operation, answered, checked, json_body
from dashboards.people_bodies import (
    IssuedAnswer,
    MeAnswer,
    Named,
    PasswordBody,
    ReasonBody,
    SignInBody,
    TokenAnswer,
    TokenBody,
    TokensAnswer,
    UserAnswer,
    UserBody,
    UserChangeBody,
    UsersAnswer,
)
from dashboards.problems_json import ProblemError
from facility.secret import Secret

DAY_NS = 86_400 * 10**9
WRONG = "Wrong name or password."
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Desk:
    """The people's register as one who was admitted may use it."""

    people: People
    office: Office
    who: Who
    source: str

    def on(self, reason: str) -> On:
        return On(self.who.label, self.source, reason)


def people_of(request: Request) -> People:
    """The people that this service knows; a problem where there are no users."""
    people: People | None = request.app.state.people
    if people is None:
        detail = "`http.users` is none in renrum.yaml: nobody signs in, and whoever is on this machine may do everything."
        raise ProblemError(409, "no-users", "There are no users here", detail)
    return people


def desk_of(request: Request) -> Desk:
    return Desk(people_of(request), request.app.state.office, who_asks(request), source_of(request))


def tried(act: Callable[[], Result]) -> Result:
    """What came of it; what was refused as the problem that says so."""
    try:
        return act()
    except SignInRefused as refused:
        if not refused.wait_s:
            raise ProblemError(401, "sign-in-failed", "Not signed in", WRONG) from None
        detail = f"Too many attempts failed. Try again in {refused.wait_s} s; this one was not looked at."
        raise ProblemError(429, "wait", "Wait before the next attempt", detail, retry_after_s=refused.wait_s) from None
    except TooBusy:
        raise ProblemError(503, "busy", "Busy", "Others are signing in at the moment. Try again in a second.", retry_after_s=1) from None
    except PasswordRefused as refused:
        raise ProblemError(400, "bad-password", "Not changed", str(refused)) from None
    except OfficeRefused as refused:
        raise ProblemError(409, "refused", "It cannot be done as asked", str(refused)) from None


async def sign_in(request: Request) -> Response:
    body = checked(SignInBody, await json_body(request), request, "body")
    people, source, before = people_of(request), source_of(request), session_token(request)
    token = await run_in_threadpool(tried, lambda: people.sign_in(body.user, Secret(body.password), source, before))
    who = await run_in_threadpool(people.of_session, token.reveal())
    assert who is not None
    response = answered(MeAnswer.of(who))
    hand_session(request, response, token)
    return response


async def sign_out(request: Request) -> Response:
    await run_in_threadpool(people_of(request).sign_out, who_asks(request), source_of(request))
    response = Response(status_code=204)
    take_session(request, response)
    return response


async def change_password(request: Request) -> Response:
    body = checked(PasswordBody, await json_body(request), request, "body")
    people, who, source = people_of(request), who_asks(request), source_of(request)
    old, new = Secret(body.old_password), Secret(body.new_password)
    token = await run_in_threadpool(tried, lambda: people.change_password(who, old, new, source))
    response = Response(status_code=204)
    hand_session(request, response, token)
    return response


def me(who: Who, _query: Nothing, _: None) -> MeAnswer:
    return MeAnswer.of(who)


def users(desk: Desk, _query: Nothing, _: None) -> UsersAnswer:
    return UsersAnswer(users=[UserAnswer.of(user) for user in desk.people.register.users()])


def add_user(desk: Desk, _query: Nothing, body: UserBody) -> IssuedAnswer:
    secret = tried(lambda: desk.office.add(body.id, body.name, body.role, desk.on(body.reason)))
    return IssuedAnswer(name=body.id, secret=secret.reveal())


def change_user(desk: Desk, query: Named, body: UserChangeBody) -> UserAnswer:
    on = desk.on(body.reason)

    def change() -> None:
        if body.role is not None:
            desk.office.set_role(query.id, body.role, on)
        if body.disabled is not None:
            (desk.office.disable if body.disabled else desk.office.enable)(query.id, on)

    with desk.people.register.change():
        tried(change)
    user = desk.people.register.user(query.id)
    if user is None:
        raise ProblemError(404, "unknown-user", "No such user", f"There is no user {query.id!r}.")
    return UserAnswer.of(user)


def reset_password(desk: Desk, query: Named, body: ReasonBody) -> IssuedAnswer:
    secret = tried(lambda: desk.office.reset_password(query.id, desk.on(body.reason)))
    return IssuedAnswer(name=query.id, secret=secret.reveal())


def tokens(desk: Desk, _query: Nothing, _: None) -> TokensAnswer:
    return TokensAnswer(tokens=[TokenAnswer.of(token) for token in desk.people.register.tokens()])


def add_token(desk: Desk, _query: Nothing, body: TokenBody) -> IssuedAnswer:
    secret = tried(lambda: desk.office.add_token(body.name, body.role, body.days * DAY_NS, desk.on(body.reason)))
    return IssuedAnswer(name=body.name, secret=secret.reveal())


def revoke_token(desk: Desk, query: Named, _: None) -> BaseModel | None:
    tried(lambda: desk.office.revoke_token(query.id, desk.on("")))
    return None


ROLES_TEXT = ", ".join(ROLES)
BODY = (409, 413, 415)
OPERATIONS = (
    Operation(
        f"{PREFIX}/session", "Sign in: the answer sets the session's cookie.", endpoint=sign_in, method="POST", body=SignInBody,
        answer=MeAnswer, problems=(401, 403, *BODY, 429), permission=OPEN,
    ),
    Operation(f"{PREFIX}/session", "Who is signed in, or whose token this is.", me, subject=who_asks, answer=MeAnswer, permission=KNOWN),
    Operation(f"{PREFIX}/session", "Sign out.", endpoint=sign_out, method="DELETE", status=204, problems=(409,), permission=PERSON),
    Operation(
        f"{PREFIX}/session/password", "Change the own password: all other sessions end.", endpoint=change_password, method="POST",
        body=PasswordBody, status=204, problems=(*BODY, 429), permission=PERSON,
    ),
    Operation(
        f"{PREFIX}/users", "Who may sign in, with roles.", users, subject=desk_of, answer=UsersAnswer, problems=(409,), permission=REVIEW,
    ),
    Operation(
        f"{PREFIX}/users", f"Add a user ({ROLES_TEXT}); the answer has the one-time password.", add_user, subject=desk_of, method="POST",
        body=UserBody, answer=IssuedAnswer, status=201, problems=BODY, permission=ADMINISTER,
    ),
    Operation(
        f"{PREFIX}/users/{{id}}", "Change a user's role, disable or enable.", change_user, subject=desk_of, method="PATCH",
        parameters=Named, body=UserChangeBody, answer=UserAnswer, problems=(404, *BODY), permission=ADMINISTER,
    ),
    Operation(
        f"{PREFIX}/users/{{id}}/reset_password", "Give a user a one-time password.", reset_password, subject=desk_of, method="POST",
        parameters=Named, body=ReasonBody, answer=IssuedAnswer, problems=BODY, permission=ADMINISTER,
    ),
    Operation(f"{PREFIX}/tokens", "Tokens of programs.", tokens, subject=desk_of, answer=TokensAnswer, problems=(409,), permission=REVIEW),
    Operation(
        f"{PREFIX}/tokens", "Make a bearer token for a program; the answer shows it this once.", add_token, subject=desk_of, method="POST",
        body=TokenBody, answer=IssuedAnswer, status=201, problems=BODY, permission=ADMINISTER,
    ),
    Operation(
        f"{PREFIX}/tokens/{{id}}", "Revoke a token.", revoke_token, subject=desk_of, method="DELETE", parameters=Named, status=204,
        problems=(409,), permission=ADMINISTER,
    ),
)  # fmt: skip
