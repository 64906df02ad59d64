"""Taking in again what lies in quarantine, over HTTP."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Self

from pydantic import AfterValidator, Field

from alerts.people.permissions import READMIT
from dashboards.answers import Answer
from dashboards.asked import By, Instant, Nothing, plain_text
from dashboards.monitor import Monitor
from dashboards.operation import PREFIX, Operation
from dashboards.problems_json import ProblemError
from ingest.admission.readmission import DUPLICATE, REFUSED, STORED, TERMS, Outcome, Readmitted, wanted_of

SHOWN = 1000
"""So many records are named in an answer; the counts are of all."""


def _reason(text: str) -> str:
    if not (text := plain_text(text)):
        raise ValueError("why they are taken in, in words")
    return text


class ReadmitBody(By):
    filter: Annotated[list[str], Field(max_length=1000, description=f"Terms, of different keys all must match: {TERMS}")] = []
    start: Annotated[Instant | None, Field(description="Received from this time on")] = None
    end: Annotated[Instant | None, Field(description="Received before this time")] = None
    reason: Annotated[str, Field(max_length=2000, description="Why; it stands in the audit trail"), AfterValidator(_reason)]
    dry_run: bool = False


class RecordAnswer(Answer):
    id: str
    was: Annotated[str, Field(description="The reason for which it lies in quarantine")]
    result: Annotated[str, Field(description=f"{STORED}, {DUPLICATE} or {REFUSED}: it stays in quarantine")]
    again: Annotated[bool, Field(description="It was taken in before")]
    readings: int
    points: list[str]
    reason: str
    detail: str

    @classmethod
    def of(cls, outcome: Outcome) -> Self:
        return cls(
            id=outcome.name, was=outcome.was, result=outcome.result, again=outcome.taken, readings=outcome.readings,
            points=list(outcome.points), reason=outcome.reason, detail=outcome.detail,
        )  # fmt: skip


class ReadmittedAnswer(Answer):
    """What became of the records, or would become of them in a dry run."""

    dry_run: bool
    records: dict[str, int]
    again: Annotated[int, Field(description="Records that were taken in before")]
    refused: Annotated[dict[str, int], Field(description="Why records stay in quarantine")]
    stored: Annotated[int, Field(description="Readings and room states; 0 in a dry run")]
    duplicates: int
    quarantined: Annotated[int, Field(description="Parts of records that go to quarantine again")]
    entries: Annotated[list[int], Field(description="The entries of the journal that took them in")]
    outcomes: Annotated[list[RecordAnswer], Field(description=f"The first {SHOWN}")]

    @classmethod
    def of(cls, readmitted: Readmitted, dry_run: bool) -> Self:
        outcomes = readmitted.outcomes
        return cls(
            dry_run=dry_run, records={result: readmitted.count(result) for result in (STORED, DUPLICATE, REFUSED)}, again=readmitted.again,
            refused=dict(Counter(outcome.reason for outcome in outcomes if outcome.result == REFUSED)), stored=readmitted.stored,
            duplicates=readmitted.duplicates, quarantined=readmitted.quarantined, entries=list(readmitted.entries),
            outcomes=[RecordAnswer.of(outcome) for outcome in outcomes[:SHOWN]],
        )  # fmt: skip


def readmit(monitor: Monitor, _: Nothing, body: ReadmitBody) -> ReadmittedAnswer:
    assert body.by is not None
    try:
        wanted = wanted_of(body.filter, body.start, body.end)
    except ValueError as error:
        raise ProblemError(400, "bad-parameter", "A parameter in the body cannot be used", f"filter: {error}") from None
    return ReadmittedAnswer.of(monitor.readmit(wanted, by=body.by, reason=body.reason, dry_run=body.dry_run), body.dry_run)


OPERATIONS = (
    Operation(
        f"{PREFIX}/quarantine/readmit", "Put records in quarantine through admission again, as late data; the records themselves stay.",
        readmit, method="POST", body=ReadmitBody, answer=ReadmittedAnswer, problems=(403, 413, 415), permission=READMIT,
    ),
)  # fmt: skip
