"""Errors over HTTP as RFC 9457 problem details: what, where, what was found and allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Any

from pydantic import ValidationError
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"
FOUND_LENGTH_MAX = 80


class ProblemResponse(JSONResponse):
    media_type = MEDIA_TYPE


class ProblemError(Exception):
    """A request that cannot be served; `kind` names the sort of problem, further keywords become members of the document."""

    def __init__(self, status: int, kind: str, title: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.kind, self.title, self.detail, self.members = status, kind, title, detail, members

    def response(self) -> ProblemResponse:
        return problem(self.status, self.detail, kind=self.kind, title=self.title, **self.members)


def problem(
    status: int, detail: str, *, kind: str = "", title: str = "", headers: dict[str, str] | None = None, **members: Any
) -> ProblemResponse:
    """A problem document; without `kind` its type is `about:blank` and its title that of the status."""
    document = {
        "type": f"urn:renrum:problem:{kind}" if kind else "about:blank",
        "title": title or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    return ProblemResponse(document, status, (headers or {}) | _told_by(status, members))


def _told_by(status: int, members: dict[str, Any]) -> dict[str, str]:
    """What clients look for in the headers."""
    told = {"Retry-After": str(members["retry_after_s"])} if "retry_after_s" in members else {}
    return told | ({"WWW-Authenticate": 'Bearer realm="Renrum"'} if status == 401 else {})


def bad_parameters(error: ValidationError, known: Sequence[str], place: str) -> ProblemError:
    """What is wrong with each parameter (`place` says where they stand: query, path, body), all of them at once."""
    errors = [_one(entry, known) for entry in error.errors(include_url=False, include_context=False)]
    detail = "; ".join(f"{e['parameter']}: found {e['found']}, allowed: {e['allowed']}" for e in errors)
    return ProblemError(400, "bad-parameter", f"A parameter in the {place} cannot be used", detail, errors=errors)


def _one(entry: Any, known: Sequence[str]) -> dict[str, str]:
    name = ".".join(str(part) for part in entry["loc"]) or "body"
    if entry["type"] == "extra_forbidden":
        return {"parameter": name, "found": "a name that is not known here", "allowed": allowed_names(name, known)}
    if entry["type"] == "missing":
        return {"parameter": name, "found": "nothing", "allowed": "a value: this parameter is required"}
    message = str(entry["msg"]).removeprefix("Value error, ")
    found = "a text that is not shown here" if "password" in name else shortened(repr(entry["input"]))
    return {"parameter": name, "found": found, "allowed": message[:1].lower() + message[1:]}


def allowed_names(name: str, known: Iterable[str]) -> str:
    """The names that are allowed, and the one that was probably meant."""
    names = list(known)
    return (", ".join(names) or "no parameters") + nearest(name, names)


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean …?)`, or nothing when no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def shortened(text: str) -> str:
    return text if len(text) <= FOUND_LENGTH_MAX else text[: FOUND_LENGTH_MAX - 1] + "…"
