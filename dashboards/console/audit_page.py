"""The audit trail as a page: its filter, the signed review, and all of it as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from alerts.people.permissions import AUDIT
from dashboards import record_api
from dashboards.access import Gate
from dashboards.asked import AuditAsked
from dashboards.console.frame import FormPage, done_at, shown, surroundings, with_seconds
from dashboards.monitor import Monitor
from dashboards.operation import PREFIX, checked
from dashboards.record_api import keeper_of
from dashboards.views import AuditEntry, AuditQuery
from facility.times import format_time

SHOWN_MAX, SLICE = 100, 1000
WORDS_MAX = 200
COLUMNS = ("number", "at", "actor", "action", "object", "old", "new", "reason", "entry", "hash", "point", "rule")
"""As `renrum audit` writes them."""


def gates() -> list[Gate]:
    (review,) = (operation for operation in record_api.OPERATIONS if operation.path == f"{PREFIX}/audit/review")
    return [
        Gate("/audit", audit_page, AUDIT),
        Gate("/audit/review", FormPage(review, done_at("/audit", "review"), audit_page), review.permission, "POST"),
        Gate("/audit.csv", audit_csv, AUDIT),
    ]


async def audit_page(request: Request, status: int = 200, fault: str = "", given: dict[str, str] | None = None) -> Response:
    said = request.query_params.get("said", "") == "review"
    return await shown(request, "audit.html", _trail, status, said=said, fault=fault, given=given or {})


async def audit_csv(request: Request) -> Response:
    """What the filter finds, the oldest first, however much it is."""
    query, _, _ = _asked(request, newest_first=False)
    disposition = 'attachment; filename="audit.csv"'
    rows = _rows(request.app.state.monitor, query)
    return StreamingResponse(rows, media_type="text/csv", headers={"Content-Disposition": disposition})


def _trail(request: Request) -> dict[str, Any]:
    monitor: Monitor = request.app.state.monitor
    query, asked, cursor = _asked(request, newest_first=True)
    try:
        found = monitor.trail(query, SHOWN_MAX, cursor)
    except ValueError:  # of another filter
        found = monitor.trail(query, SHOWN_MAX)
    older = "?" + urlencode(asked | {"cursor": found.next}) if found.next else ""
    return surroundings(request) | {
        "entries": found.items, "older": older, "asked": asked, "trail": keeper_of(request).trail(),
        "csv": "/audit.csv?" + urlencode(asked),
    }  # fmt: skip


def _asked(request: Request, newest_first: bool) -> tuple[AuditQuery, dict[str, str], str | None]:
    given = {name: text for name, text in request.query_params.items() if text and name in ("start", "end", "words", "cursor")}
    times = {name: with_seconds(given[name]) for name in ("start", "end") if name in given}
    asked = checked(AuditAsked, times, request, "address")
    words = given.get("words", "")[:WORDS_MAX]
    kept = {name: text for name, text in given.items() if name != "cursor"}
    return AuditQuery(asked.start, asked.end, words=words, newest_first=newest_first), kept, given.get("cursor")


def _rows(monitor: Monitor, query: AuditQuery) -> Iterator[str]:
    yield _line(COLUMNS)
    cursor: str | None = None
    while True:
        found = monitor.trail(query, SLICE, cursor)
        yield "".join(_line(_cells(entry)) for entry in found.items)
        if found.next is None:
            return
        cursor = found.next


def _cells(entry: AuditEntry) -> tuple[str, ...]:
    said = (entry.actor, entry.action, entry.subject, entry.old, entry.new, entry.reason)
    cells = (str(entry.number), format_time(entry.at), *said, str(entry.entry), entry.hash, entry.point, entry.rule)
    # what people typed must not be a formula to a spreadsheet
    return tuple(f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell for cell in cells)


def _line(cells: tuple[str, ...]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()
