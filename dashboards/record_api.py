"""The record of an excursion over HTTP: comments, and what is signed: assessing, closing, reopening, the review of the audit trail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self

from pydantic import AfterValidator, Field
from starlette.requests import Request

from alerts.alarms import Answer as Outcome
from alerts.people.people import PROGRAM, People, Who
from alerts.people.permissions import ASSESS, AUDIT, COMMENT, READ, REVIEW_AUDIT
from alerts.remarks import ASSESS as ASSESSING
from alerts.remarks import CLOSE, REOPEN, REVIEW, Remark, newest_signature, review_digest, signed_digest
from alerts.remarks import COMMENT as COMMENTING
from dashboards.access import source_of, who_asks
from dashboards.answers import Answer, ExcursionAnswer, Time, time_text
from dashboards.asked import Asked, By, Nothing, plain_text
from dashboards.monitor import Monitor
from dashboards.operation import PREFIX, Operation
from dashboards.people_api import people_of, tried
from dashboards.people_bodies import Password
from dashboards.problems_json import ProblemError
from facility.secret import Secret
from facility.times import format_time
from ingest.journal.entries import RecordBody
from rules.excursion import Excursion

Meaning = Literal["authorship", "review", "approval", "responsibility"]
"""What a signature says (21 CFR 11.50)."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An acknowledgement of an alarm: when (int ns UTC), by whom, what they said."""

    at: int
    by: str
    comment: str


@dataclass(frozen=True, slots=True)
class Record:
    """An excursion's newest revision, the state of its record, and all that was put on it, the oldest first.

    `alarm` is the id of its alarm, empty for none; `acknowledgements` are those of it since the excursion was raised.
    """

    excursion: Excursion
    state: str
    remarks: tuple[Remark, ...]
    alarm: str = ""
    acknowledgements: tuple[Acknowledged, ...] = ()


@dataclass(frozen=True, slots=True)
class Trail:
    """How far the audit trail reaches, its hash there, and up to where it was reviewed, by whom and when."""

    rows: int
    head: bytes
    reviewed: int = 0
    by: str = ""
    at: int | None = None


class Keeper(Protocol):
    """Keeps the records; any thread may ask. All raise MonitorUnavailable."""

    def record(self, excursion: str) -> Record | None: ...

    def trail(self, upto: int | None = None) -> Trail | None:
        """As of a row, or of the last; None for a row that there is not."""

    def keep(self, body: RecordBody) -> Outcome:
        """Returns when it is durable."""


@dataclass(frozen=True, slots=True)
class Signing:
    """The records, as somebody who may sign uses them."""

    monitor: Monitor
    who: Who
    people: Callable[[], People]
    source: str

    @property
    def keeper(self) -> Keeper:
        return self.monitor.keeper

    def confirm(self, password: str) -> str:
        """The name that signs; a ProblemError unless it is a person, and the password theirs."""
        people = self.people()
        if self.who.kind == PROGRAM:
            detail = f"A signature is a person's: {self.who.label} cannot sign. Sign in as who signs."
            raise ProblemError(403, "forbidden", "A program cannot sign", detail)

        def proven() -> bool:
            return people.confirm(self.who, Secret(password), self.source)

        if not tried(proven):
            raise ProblemError(
                403, "wrong-password", "Not signed", "That is not your password. Nothing was signed; the failed attempt is on record."
            )
        return self.who.label


def signing_of(request: Request) -> Signing:
    return Signing(request.app.state.monitor, who_asks(request), lambda: people_of(request), source_of(request))


def keeper_of(request: Request) -> Keeper:
    keeper: Keeper = request.app.state.monitor.keeper
    return keeper


Text = Annotated[str, Field(max_length=4000), AfterValidator(plain_text)]


def _said(text: str) -> str:
    if not text:
        raise ValueError("a text that is not empty")
    return text


Said = Annotated[Text, AfterValidator(_said)]


class ExcursionAsked(Asked):
    id: str = Field(description="Id of the excursion")


class CommentBody(By):
    comment: Said


class SignedBody(Asked):
    """What is signed with one's own password, over the excursion in the revision that was seen."""

    revision: Annotated[int, Field(ge=0, description="Of the excursion as it was looked at; 409 when it is another by now")]
    after: Annotated[str | None, Field(max_length=64, description="Digest of the last signature seen; 409 after another")] = None
    comment: Text = ""
    password: Password


class AssessBody(SignedBody):
    cause: Said
    impact: Said
    disposition: Said
    deviation: Annotated[Text, Field(max_length=100, description="Number of the deviation, where there is one")] = ""
    meaning: Meaning = "authorship"


class CloseBody(SignedBody):
    meaning: Meaning = "approval"


class ReopenBody(SignedBody):
    comment: Said
    meaning: Meaning = "responsibility"


class ReviewBody(Asked):
    upto: Annotated[int, Field(ge=1, lt=1 << 63, description="Number of the last audit entry that was looked at")]
    comment: Said
    meaning: Meaning = "review"
    password: Password


class RemarkAnswer(Answer):
    at: Time
    by: str
    action: str
    cause: str
    impact: str
    disposition: str
    deviation: str
    comment: str
    meaning: Annotated[str, Field(description="What the signature says; empty where it is not signed")]
    digest: Annotated[str, Field(description="SHA-256 over what was signed")]
    revision: int
    outdated: Annotated[bool, Field(description="Late readings have changed the excursion since it was signed")]

    @classmethod
    def of(cls, remark: Remark, excursion: Excursion) -> Self:
        return cls(
            at=format_time(remark.at), by=remark.actor, action=remark.action, cause=remark.cause, impact=remark.impact,
            disposition=remark.disposition, deviation=remark.deviation, comment=remark.comment, meaning=remark.meaning,
            digest=remark.digest, revision=remark.revision, outdated=bool(remark.digest) and remark.revision != excursion.revision,
        )  # fmt: skip


class AcknowledgedAnswer(Answer):
    at: Time
    by: str
    comment: str


class RemarksAnswer(Answer):
    excursion: ExcursionAnswer
    state: Annotated[str, Field(description="open (it lasts), to be assessed, assessed, closed")]
    remarks: list[RemarkAnswer]
    alarm: Annotated[str, Field(description="Id of its alarm")]
    acknowledgements: Annotated[list[AcknowledgedAnswer], Field(description="Of its alarm, since the excursion was raised")]

    @classmethod
    def of(cls, record: Record) -> Self:
        remarks = [RemarkAnswer.of(remark, record.excursion) for remark in record.remarks]
        said = [AcknowledgedAnswer(at=format_time(one.at), by=one.by, comment=one.comment) for one in record.acknowledgements]
        excursion = ExcursionAnswer.of(record.excursion)
        return cls(excursion=excursion, state=record.state, remarks=remarks, alarm=record.alarm, acknowledgements=said)


class TrailAnswer(Answer):
    rows: Annotated[int, Field(description="Audit entries")]
    head: Annotated[str, Field(description="The chain's hash at the last of them")]
    reviewed: Annotated[int, Field(description="The last entry that was reviewed, 0 for none")]
    by: str
    at: Time | None

    @classmethod
    def of(cls, trail: Trail) -> Self:
        return cls(rows=trail.rows, head=trail.head.hex(), reviewed=trail.reviewed, by=trail.by, at=time_text(trail.at))


def record(keeper: Keeper, query: ExcursionAsked, _: None) -> RemarksAnswer:
    return RemarksAnswer.of(_found(keeper, query.id))


def comment(keeper: Keeper, query: ExcursionAsked, body: CommentBody) -> RemarksAnswer:
    _found(keeper, query.id)
    assert body.by is not None
    return _kept(keeper, RecordBody(COMMENTING, query.id, body.by, {"comment": body.comment}))


def assess(signing: Signing, query: ExcursionAsked, body: AssessBody) -> RemarksAnswer:
    words = {name: getattr(body, name) for name in ("cause", "impact", "disposition", "deviation", "comment")}
    return _signed(signing, ASSESSING, query.id, body, words, body.meaning)


def close(signing: Signing, query: ExcursionAsked, body: CloseBody) -> RemarksAnswer:
    return _signed(signing, CLOSE, query.id, body, {"comment": body.comment}, body.meaning)


def reopen(signing: Signing, query: ExcursionAsked, body: ReopenBody) -> RemarksAnswer:
    return _signed(signing, REOPEN, query.id, body, {"comment": body.comment}, body.meaning)


def trail(keeper: Keeper, _query: Nothing, _: None) -> TrailAnswer:
    found = keeper.trail()
    return TrailAnswer.of(found if found is not None else Trail(0, bytes(32)))


def review(signing: Signing, _: Nothing, body: ReviewBody) -> TrailAnswer:
    keeper, by = signing.keeper, signing.confirm(body.password)
    seen = keeper.trail(body.upto)
    if seen is None:
        raise ProblemError(404, "unknown-entry", "No such entry", f"The audit trail has no entry {body.upto}; GET {PREFIX}/audit shows it.")
    said = RecordBody(REVIEW, str(body.upto), by, {"comment": body.comment}, body.meaning)
    outcome = keeper.keep(RecordBody(said.action, said.target, by, said.words, said.meaning, review_digest(body.upto, seen.head, said)))
    if outcome.result == "already":
        detail = f"{outcome.by} reviewed the trail up to this entry, or further, at {time_text(outcome.at)}. Nothing was recorded."
        raise ProblemError(409, "already-reviewed", "Already reviewed", detail)
    return trail(keeper, Nothing(), None)


def _found(keeper: Keeper, id: str) -> Record:
    found = keeper.record(id)
    if found is None:
        raise ProblemError(
            404, "unknown-excursion", "No such excursion", f"There is no excursion {id!r}; GET {PREFIX}/excursions lists them."
        )
    return found


def _signed(signing: Signing, action: str, id: str, body: SignedBody, words: dict[str, str], meaning: str) -> RemarksAnswer:
    found = _found(signing.keeper, id)
    excursion, before = found.excursion, newest_signature(found.remarks)
    by = signing.confirm(body.password)
    if excursion.revision != body.revision:
        raise _changed()
    if body.after is not None and body.after != before:
        raise ProblemError(
            409, "changed", "It is not what you saw", "Somebody signed meanwhile. Nothing was recorded: look at it, then sign."
        )
    said = RecordBody(action, id, by, words, meaning)
    return _kept(signing.keeper, RecordBody(action, id, by, words, meaning, signed_digest(excursion, before, said)))


def _kept(keeper: Keeper, body: RecordBody) -> RemarksAnswer:
    outcome, found = keeper.keep(body), _found(keeper, body.target)
    if outcome.result == "accepted":
        return RemarksAnswer.of(found)
    if outcome.result == "changed":
        raise _changed()
    if outcome.result == "unknown":
        detail = "Late readings show that this excursion was none. Nothing was recorded."
        raise ProblemError(409, "superseded", "It was no excursion", detail)
    who = f" by {outcome.by} at {time_text(outcome.at)}" if outcome.by else ""
    detail = f"Its record is {found.state}{who}, so that it cannot be done: {body.action}. Nothing was recorded for {body.by}."
    raise ProblemError(409, "wrong-state", "The record is in another state", detail, state=found.state)


def _changed() -> ProblemError:
    detail = "Late readings changed the excursion after you looked at it. Nothing was recorded: look at it again, then sign."
    return ProblemError(409, "changed", "It is not what you saw", detail)


_PROBLEMS = (403, 404, 409, 413, 415, 429)
OPERATIONS = (
    Operation(
        f"{PREFIX}/excursions/{{id}}", "An excursion with its record: comments, assessments, signatures.",
        record, parameters=ExcursionAsked, answer=RemarksAnswer, problems=(404,), subject=keeper_of, permission=READ,
    ),
    Operation(
        f"{PREFIX}/excursions/{{id}}/comment", "Add a comment to the record; nothing on it is ever changed.",
        comment, parameters=ExcursionAsked, method="POST", body=CommentBody, answer=RemarksAnswer, problems=(403, 404, 409, 413, 415),
        subject=keeper_of, permission=COMMENT,
    ),
    Operation(
        f"{PREFIX}/excursions/{{id}}/assess", "Say cause, impact and disposition, signed; a later assessment stands beside it.",
        assess, parameters=ExcursionAsked, method="POST", body=AssessBody, answer=RemarksAnswer, problems=_PROBLEMS, subject=signing_of,
        permission=ASSESS,
    ),
    Operation(
        f"{PREFIX}/excursions/{{id}}/close", "Close an assessed excursion, signed.",
        close, parameters=ExcursionAsked, method="POST", body=CloseBody, answer=RemarksAnswer, problems=_PROBLEMS, subject=signing_of,
        permission=ASSESS,
    ),
    Operation(
        f"{PREFIX}/excursions/{{id}}/reopen", "Open a closed record again, signed, with the reason.",
        reopen, parameters=ExcursionAsked, method="POST", body=ReopenBody, answer=RemarksAnswer, problems=_PROBLEMS, subject=signing_of,
        permission=ASSESS,
    ),
    Operation(
        f"{PREFIX}/audit/trail", "How far the audit trail reaches and was reviewed, with its hash.",
        trail, answer=TrailAnswer, subject=keeper_of, permission=AUDIT,
    ),
    Operation(
        f"{PREFIX}/audit/review", "Sign that the audit trail was looked at, up to an entry.",
        review, method="POST", body=ReviewBody, answer=TrailAnswer, problems=_PROBLEMS, subject=signing_of, permission=REVIEW_AUDIT,
    ),
)  # fmt: skip
