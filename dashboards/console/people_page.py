"""The page of people and of programs' tokens: who may sign in, and what an administrator changes."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from alerts.people.permissions import REVIEW, ROLES
from dashboards import people_api
from dashboards.access import Gate
from dashboards.console.frame import FormPage, clock, done_at, page, shown
from dashboards.operation import PREFIX, Operation
from dashboards.people_bodies import IssuedAnswer


def gates() -> list[Gate]:
    found = {(operation.method, operation.path.removeprefix(PREFIX)): operation for operation in people_api.OPERATIONS}
    add, reset, token = found["POST", "/users"], found["POST", "/users/{id}/reset_password"], found["POST", "/tokens"]
    change, revoke = found["PATCH", "/users/{id}"], found["DELETE", "/tokens/{id}"]
    done = done_at("/people", "done")
    return [
        Gate("/people", people_page, REVIEW),
        _gate("/people/users", add, issued),
        _gate("/people/users/{id}", change, done),
        _gate("/people/users/{id}/reset_password", reset, issued),
        _gate("/people/tokens", token, issued),
        _gate("/people/tokens/{id}/revoke", revoke, done),
    ]


def _gate(path: str, operation: Operation, done: Any) -> Gate:
    return Gate(path, FormPage(operation, done, people_page), operation.permission, "POST")


async def people_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    said = request.query_params.get("said", "") == "done"
    return await shown(request, "people.html", _people, status, said=said, fault=fault, given=given or {})


def issued(request: Request, answer: IssuedAnswer) -> Response:
    """What is shown this once: it stands in no address and in no log."""
    what = "people.secret_token" if request.url.path == "/people/tokens" else "people.secret"
    return page(request, "issued.html", 201, issued=answer, what=what, **clock(request))


def _people(request: Request) -> dict[str, Any]:
    if request.app.state.people is None:
        return clock(request) | {"users": False, "people": [], "tokens": [], "roles": ROLES}
    register = people_api.people_of(request).register
    return clock(request) | {"people": register.users(), "tokens": register.tokens(), "roles": ROLES}
