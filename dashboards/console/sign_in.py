"""Signing in, signing out and changing the password in a browser: plain forms, which need no script."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from alerts.people.passwords import LENGTH_MIN
from alerts.people.permissions import OPEN, PERSON
from dashboards.access import Gate, hand_session, local_path, login_path, session_token, source_of, take_session, who_asks
from dashboards.console.frame import form, language_of, page, refusal
from dashboards.console.words import catalogue
from dashboards.people_api import people_of, tried
from dashboards.people_bodies import PASSWORD_MAX
from dashboards.problems_json import ProblemError
from facility.secret import Secret


def routes() -> list[Gate]:
    """The pages of this module."""
    return [
        Gate("/login", login_page, OPEN),
        Gate("/login", login_form, OPEN, "POST"),
        Gate("/logout", logout_form, PERSON, "POST"),
        Gate("/password", password_page, PERSON),
        Gate("/password", password_form, PERSON, "POST"),
    ]


def led_there(request: Request) -> Response:
    """To the sign-in page, from what cannot be seen without."""
    return RedirectResponse(login_path(request), 303)


async def login_page(request: Request) -> Response:
    people_of(request)
    after = local_path(request.query_params.get("next", "/"))
    # A link in a web mail comes without the cookie (SameSite=Strict). From our own page the browser sends it: whoever is signed in goes on.
    onward = after if request.headers.get("sec-fetch-site") == "cross-site" and "next" in request.query_params else ""
    return page(request, "login.html", after=after, onward=onward, user="", fault="")


async def login_form(request: Request) -> Response:
    fields = await form(request)
    people, source, before = people_of(request), source_of(request), session_token(request)
    user, password = fields.get("user", ""), Secret(fields.get("password", "")[:PASSWORD_MAX])
    after = local_path(fields.get("next", "/"))
    try:
        token = await run_in_threadpool(tried, lambda: people.sign_in(user, password, source, before))
    except ProblemError as error:
        fault = catalogue(language_of(request))("session.refused") if error.kind == "sign-in-failed" else refusal(request, error)
        told = {"after": after, "onward": "", "user": user[:100], "fault": fault}
        return page(request, "login.html", error.status, **told)
    response = RedirectResponse(after, 303)
    hand_session(request, response, token)
    return response


async def logout_form(request: Request) -> Response:
    await run_in_threadpool(people_of(request).sign_out, who_asks(request), source_of(request))
    response = RedirectResponse("/login", 303)
    take_session(request, response)
    return response


async def password_page(request: Request) -> Response:
    people_of(request)
    return page(request, "password.html", fault="", shortest=LENGTH_MIN)


async def password_form(request: Request) -> Response:
    fields, words = await form(request), catalogue(language_of(request))
    people, who, source = people_of(request), who_asks(request), source_of(request)
    old, new, again = (Secret(fields.get(name, "")[:PASSWORD_MAX]) for name in ("old_password", "new_password", "again_password"))
    if new != again:
        return page(request, "password.html", 400, fault=words("session.two_ways"), shortest=LENGTH_MIN)
    try:
        token = await run_in_threadpool(tried, lambda: people.change_password(who, old, new, source))
    except ProblemError as error:
        fault = words("session.wrong") if error.kind == "sign-in-failed" else refusal(request, error)
        return page(request, "password.html", error.status, fault=fault, shortest=LENGTH_MIN)
    response = RedirectResponse("/", 303)
    hand_session(request, response, token)
    return response
