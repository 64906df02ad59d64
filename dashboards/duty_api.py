"""Who is on duty, over HTTP: now and next in each rotation, and swaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Protocol, Self

from pydantic import AfterValidator, ConfigDict, Field
from starlette.requests import Request

from alerts.alarms import Answer as Outcome
from alerts.escalation.drills import Drill
from alerts.people.permissions import ACKNOWLEDGE, DRILL, READ, SWAP
from dashboards.answers import Answer, Time, time_text
from dashboards.asked import AcknowledgeBody, AlarmAsked, Asked, By, Instant, plain_text
from dashboards.operation import PREFIX, Operation
from dashboards.problems_json import ProblemError
from dashboards.telling import Telling
from facility.document import did_you_mean, one_of
from facility.times import format_time

YEAR_NS = 366 * 86_400 * 10**9


@dataclass(frozen=True, slots=True)
class DutyView:
    """Who has a duty and until when (int ns UTC; None: for good), instead of whom, and who follows; None for nobody."""

    rotation: str
    person: str | None
    until: int | None
    instead_of: str | None = None
    following: str | None = None


@dataclass(frozen=True, slots=True)
class SwapView:
    """A swap that is not over: `person` has the duty of a rotation from `start` to `end` (int ns UTC); who made it, when and why."""

    rotation: str
    person: str
    start: int
    end: int
    instead_of: str
    reason: str
    by: str
    at: int | None


@dataclass(frozen=True, slots=True)
class DutyBoard:
    """Everything about who is on duty at a moment (int ns UTC); `people` are names by id, `names` all that a test can be told to."""

    at: int
    duties: tuple[DutyView, ...]
    swaps: tuple[SwapView, ...]
    people: dict[str, str]
    names: tuple[str, ...] = ()
    tests: tuple[Drill, ...] = ()


@dataclass(frozen=True, slots=True)
class SwapAsked:
    rotation: str
    person: str
    start: int
    end: int
    instead_of: str
    reason: str
    by: str


class Desk(Protocol):
    """Knows the duties; any thread may ask. Raises MonitorUnavailable."""

    def board(self, at: int | None = None) -> DutyBoard:
        """As of a moment; now unless given."""

    def swap(self, asked: SwapAsked) -> None:
        """Returns when it is durable and in the audit trail."""

    def test(self, names: tuple[str, ...], within_ns: int, by: str) -> str:
        """Send a page that must be acknowledged; its id, when that is durable. Everyone is told where there are no names."""

    def acknowledge_test(self, id: str, by: str, comment: str) -> Outcome:
        """Acknowledge a test; returns when it is durable."""

    def found(self, id: str) -> Drill | None:
        """A test by its id."""

    def telling(self, alarm_id: str) -> Telling | None:
        """Who was told of an alarm, and who is next; None for an alarm that there is not."""


def desk_of(request: Request) -> Desk:
    desk: Desk = request.app.state.monitor.desk
    return desk


class BoardAsked(Asked):
    at: Annotated[Instant | None, Field(description="At this time; now unless given")] = None


class SwapBody(By):
    model_config = ConfigDict(populate_by_name=True)

    rotation: Annotated[str, Field(max_length=128)]
    person: Annotated[str, Field(max_length=128, description="Id of who takes over")]
    start: Annotated[Instant, Field(alias="from", description="Without offset it is the site's local time")]
    end: Annotated[Instant, Field(alias="to")]
    instead_of: Annotated[str, Field(max_length=128, description="Only the turns of this person; of whoever has it unless given")] = ""
    reason: Annotated[str, Field(max_length=2000, description="Why; it stands in the audit trail"), AfterValidator(plain_text)] = ""


class TestBody(By):
    __test__ = False

    to: Annotated[list[str], Field(max_length=100, description="People, teams, rotations; every channel unless given")] = []
    within_s: Annotated[int, Field(ge=60, le=86_400, description="So soon somebody must acknowledge")] = 1800


class DrillAsked(Asked):
    id: str = Field(description="Id of the test")


class DrillAnswer(Answer):
    id: str
    at: Time
    by: str
    to: Annotated[list[str], Field(description="Whom it was sent to; empty for every channel")]
    deadline: Time
    state: Annotated[str, Field(description="sent, missed (nobody acknowledged in time), acknowledged, acknowledged late")]
    acknowledged: Time | None
    acknowledged_by: str

    @classmethod
    def of(cls, drill: Drill) -> Self:
        return cls(
            id=drill.id, at=format_time(drill.at), by=drill.by, to=list(drill.names), deadline=format_time(drill.deadline),
            state=drill.state, acknowledged=time_text(drill.acknowledged_at), acknowledged_by=drill.acknowledged_by,
        )  # fmt: skip


class DutyAnswer(Answer):
    rotation: str
    person: Annotated[str | None, Field(description="Id of who has the duty; null for nobody")]
    name: str | None
    until: Annotated[Time | None, Field(description="When it may be another")]
    instead_of: Annotated[str | None, Field(description="Whose turn it would be without a swap")]
    next: Annotated[str | None, Field(description="Who follows")]


class SwapAnswer(Answer):
    model_config = ConfigDict(serialize_by_alias=True)

    rotation: str
    person: str
    start: Annotated[Time, Field(serialization_alias="from")]
    end: Annotated[Time, Field(serialization_alias="to")]
    instead_of: str
    reason: str
    by: Annotated[str, Field(description="Who made it; empty for one of the on-call file")]
    at: Time | None


class BoardAnswer(Answer):
    model_config = ConfigDict(serialize_by_alias=True)

    at: Time
    duties: list[DutyAnswer]
    swaps: Annotated[list[SwapAnswer], Field(description="Those that are not over, the newest last: of several the last counts")]
    people: dict[str, str]
    tests: Annotated[list[DrillAnswer], Field(description="The last tests that had to be acknowledged, the newest last")]

    @classmethod
    def of(cls, board: DutyBoard) -> Self:
        duties = [
            DutyAnswer(
                rotation=duty.rotation, person=duty.person, name=board.people.get(duty.person or ""), until=time_text(duty.until),
                instead_of=duty.instead_of, next=duty.following,
            )
            for duty in board.duties
        ]  # fmt: skip
        swaps = [
            SwapAnswer(
                rotation=swap.rotation, person=swap.person, start=format_time(swap.start), end=format_time(swap.end),
                instead_of=swap.instead_of, reason=swap.reason, by=swap.by, at=time_text(swap.at),
            )
            for swap in board.swaps
        ]  # fmt: skip
        return cls(at=format_time(board.at), duties=duties, swaps=swaps, people=board.people, tests=list(map(DrillAnswer.of, board.tests)))


class ToldAnswer(Answer):
    at: Annotated[Time, Field(description="When the page was written")]
    person: Annotated[str, Field(description="Who is told; empty for everyone")]
    way: Annotated[str, Field(description="The channel, with its recipient where that is nobody's own")]
    attempts: int
    tried: Annotated[Time | None, Field(description="When the last try ended")]
    sent: Annotated[Time | None, Field(description="When it was taken; null while it is not")]
    detail: Annotated[str, Field(description="Why a try failed")]


class TellingAnswer(Answer):
    alarm: str
    told: list[ToldAnswer]
    due: Annotated[Time | None, Field(description="When somebody is told next, unless somebody acknowledges; null for never")]
    next: Annotated[list[str], Field(description="Who is told then")]
    update: Annotated[Time | None, Field(description="When it is told with what else joined its group; null where it was or is in none")]


def telling(desk: Desk, query: AlarmAsked, _: None) -> TellingAnswer:
    found = desk.telling(query.id)
    if found is None:
        raise ProblemError(404, "unknown-alarm", "No such alarm", f"There is no alarm {query.id!r}; GET {PREFIX}/alarms lists them.")
    told = [
        ToldAnswer(
            at=format_time(one.at), person=one.person, way=one.way, attempts=one.attempts, tried=time_text(one.tried),
            sent=time_text(one.sent), detail=one.detail,
        )
        for one in found.told
    ]  # fmt: skip
    due, update = time_text(found.due), time_text(found.update)
    return TellingAnswer(alarm=query.id, told=told, due=due, next=list(found.next), update=update)


def board(desk: Desk, query: BoardAsked, _: None) -> BoardAnswer:
    return BoardAnswer.of(desk.board(query.at))


def swap(desk: Desk, _: Asked, body: SwapBody) -> BoardAnswer:
    now = desk.board()
    _known("rotation", body.rotation, [duty.rotation for duty in now.duties])
    _known("person", body.person, list(now.people))
    if body.instead_of:
        _known("instead_of", body.instead_of, list(now.people))
    if body.end <= max(body.start, now.at):
        raise _refused("to", format_time(body.end), "a time after `from`, and not yet past")
    if body.end - body.start > YEAR_NS:
        raise _refused("to", format_time(body.end), "a year after `from` at most: what is longer belongs into oncall.yaml")
    assert body.by is not None
    desk.swap(SwapAsked(body.rotation, body.person, body.start, body.end, body.instead_of, body.reason, body.by))
    return BoardAnswer.of(desk.board())


def test(desk: Desk, _: Asked, body: TestBody) -> DrillAnswer:
    known = list(desk.board().names)
    for name in body.to:
        _known("to", name, known)
    assert body.by is not None
    return _drill(desk, desk.test(tuple(body.to), body.within_s * 10**9, body.by))


def found_test(desk: Desk, query: DrillAsked, _: None) -> DrillAnswer:
    return _drill(desk, query.id)


def acknowledge_test(desk: Desk, query: DrillAsked, body: AcknowledgeBody) -> DrillAnswer:
    assert body.by is not None
    _drill(desk, query.id)
    outcome = desk.acknowledge_test(query.id, body.by, body.comment)
    answer = _drill(desk, query.id)
    if outcome.result == "already":
        detail = f"{outcome.by} acknowledged this test already, at {time_text(outcome.at)}. Nothing was recorded for {body.by}."
        raise ProblemError(409, "already-acknowledged", "Already acknowledged", detail, test=answer.model_dump())
    return answer


def _drill(desk: Desk, id: str) -> DrillAnswer:
    drill = desk.found(id)
    if drill is None:
        raise ProblemError(404, "unknown-test", "No such test", f"There is no test {id!r}; GET {PREFIX}/oncall lists the last ones.")
    return DrillAnswer.of(drill)


def _known(parameter: str, found: str, names: list[str]) -> None:
    if found not in names:
        raise _refused(parameter, repr(found), one_of(names), did_you_mean(found, names))


def _refused(parameter: str, found: str, allowed: str, hint: str = "") -> ProblemError:
    error = {"parameter": parameter, "found": found, "allowed": allowed}
    detail = f"{parameter}: found {found}, allowed: {allowed}. {hint}".strip()
    return ProblemError(400, "bad-parameter", "A parameter in the body cannot be used", detail, errors=[error])


OPERATIONS = (
    Operation(
        f"{PREFIX}/oncall", "Who is on duty, until when, who follows, and which swaps there are.",
        board, parameters=BoardAsked, answer=BoardAnswer, subject=desk_of, permission=READ,
    ),
    Operation(
        f"{PREFIX}/alarms/{{id}}/pages", "Who was told of an alarm, by which way and with what result, and who is next.",
        telling, parameters=AlarmAsked, answer=TellingAnswer, problems=(404,), subject=desk_of, permission=READ,
    ),
    Operation(
        f"{PREFIX}/oncall/overrides", "Take over a duty for some time, or have somebody take it over; the newest swap counts.",
        swap, method="POST", body=SwapBody, answer=BoardAnswer, problems=(403, 413, 415), subject=desk_of, permission=SWAP,
    ),
    Operation(
        f"{PREFIX}/oncall/tests", "Send a page that must be acknowledged; that nobody does is told like a technical alarm.",
        test, method="POST", body=TestBody, answer=DrillAnswer, problems=(403, 413, 415), subject=desk_of, permission=DRILL,
    ),
    Operation(
        f"{PREFIX}/oncall/tests/{{id}}", "A test of who is on call, and what came of it.",
        found_test, parameters=DrillAsked, answer=DrillAnswer, problems=(404,), subject=desk_of, permission=READ,
    ),
    Operation(
        f"{PREFIX}/oncall/tests/{{id}}/acknowledge", "Acknowledge a test; 409 tells who was faster.",
        acknowledge_test, parameters=DrillAsked, answer=DrillAnswer, method="POST", body=AcknowledgeBody,
        problems=(403, 404, 409, 413, 415), subject=desk_of, permission=ACKNOWLEDGE,
    ),
)  # fmt: skip
