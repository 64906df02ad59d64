"""What people do to alarms, points and rooms over HTTP, beside acknowledging: each is done at once and durable, or told why not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from alerts.lifecycle import lifecycle
from alerts.lifecycle.surroundings import SAID
from alerts.people.permissions import ACKNOWLEDGE, OCCUPANCY, OUT_OF_SERVICE, RESET, SHELVE
from dashboards import answers
from dashboards.asked import AcknowledgeBody, AlarmAsked, Asked, By, Instant, plain_text
from dashboards.monitor import ACCEPTED, ALREADY, UNKNOWN, ActAsked, Monitor
from dashboards.operation import PREFIX, Operation
from dashboards.people_bodies import Password
from dashboards.problems_json import ProblemError
from dashboards.record_api import Meaning, Signing, signing_of
from facility.times import format_time

Text = Annotated[str, Field(max_length=2000), AfterValidator(plain_text)]


def _reason(text: str) -> str:
    if not (text := plain_text(text)):
        raise ValueError("why, in words")
    return text


Reason = Annotated[str, Field(max_length=2000, description="Why; it stands in the audit trail"), AfterValidator(_reason)]
Until = Annotated[Instant | None, Field(description="Up to this time; without offset it is the site's local time")]


class ShelveBody(By):
    until: Annotated[Instant | None, Field(description="60 minutes from now unless given, at most 12 hours from now")] = None
    reason: Reason
    password: Annotated[Password | None, Field(description="One's own: signs it, which a critical alarm asks for")] = None
    meaning: Meaning = "responsibility"


class WhyBody(By):
    reason: Text = ""


class OutOfServiceBody(By):
    until: Annotated[Instant, Field(description="Up to this time; it is back then by itself")]
    reason: Reason


class OccupancyBody(By):
    state: Literal["in_operation", "at_rest", "cleaning", "maintenance", "shutdown"]
    until: Until = None
    reason: Reason


class PointAsked(Asked):
    id: str = Field(description="Id of the point")


class GroupAsked(Asked):
    id: str = Field(description="Id of the group, as its alarms have it", pattern="^G")


class PlaceAsked(Asked):
    id: str = Field(description="Id of the room or zone")


class DoneAnswer(answers.Answer):
    """What was done, by whom and when."""

    id: str
    action: str
    by: str
    at: answers.Time
    until: answers.Time | None


class GroupAnswer(DoneAnswer):
    acknowledged: Annotated[int, Field(description="How many alarms of the group")]


def act(monitor: Monitor, asked: ActAsked, noun: str, among: str) -> DoneAnswer:
    """Have it done; a ProblemError where it was not, which says why or who was faster."""
    result = monitor.act(asked)
    if result.outcome == ACCEPTED:
        at, until = monitor.now() if result.at is None else result.at, answers.time_text(asked.until)
        said = DoneAnswer(id=asked.target, action=asked.action, by=asked.by, at=format_time(at), until=until)
        return GroupAnswer(**said.model_dump(), acknowledged=result.number) if noun == "group" else said
    if result.outcome == UNKNOWN:
        raise ProblemError(404, f"unknown-{noun}", f"No such {noun}", f"There is no {noun} {asked.target!r}; {among} lists them.")
    if result.outcome == ALREADY:
        when = answers.time_text(result.at)
        who = f"{result.by} did this already, at {when}." if result.by and when else "It is so already."
        detail = f"{who} Nothing was recorded for {asked.by}."
        raise ProblemError(409, "already-done", "Already done", detail, by=result.by, at=when)
    raise ProblemError(409, "refused", "Not possible now", f"{result.why[:1].upper()}{result.why[1:]}. Nothing was changed.")


def _alarm(action: str) -> Callable[[Monitor, AlarmAsked, WhyBody], answers.AlarmAnswer]:
    def handle(monitor: Monitor, query: AlarmAsked, body: WhyBody) -> answers.AlarmAnswer:
        assert body.by is not None
        act(monitor, ActAsked(action, query.id, body.by, body.reason), "alarm", f"GET {PREFIX}/alarms")
        return _stands(monitor, query.id)

    return handle


def shelve(signing: Signing, query: AlarmAsked, body: ShelveBody) -> answers.AlarmAnswer:
    assert body.by is not None
    if body.password:
        signing.confirm(body.password)
    meaning = body.meaning if body.password else ""
    asked = ActAsked(lifecycle.SHELVE, query.id, body.by, body.reason, body.until, meaning)
    act(signing.monitor, asked, "alarm", f"GET {PREFIX}/alarms")
    return _stands(signing.monitor, query.id)


def _stands(monitor: Monitor, id: str) -> answers.AlarmAnswer:
    alarm = monitor.alarm(id)
    assert alarm is not None, id
    return answers.AlarmAnswer.of(alarm)


def _point(action: str) -> Callable[[Monitor, PointAsked, OutOfServiceBody | WhyBody], DoneAnswer]:
    def handle(monitor: Monitor, query: PointAsked, body: OutOfServiceBody | WhyBody) -> DoneAnswer:
        assert body.by is not None
        until = body.until if isinstance(body, OutOfServiceBody) else None
        return act(monitor, ActAsked(action, query.id, body.by, body.reason, until), "point", f"GET {PREFIX}/points")

    return handle


def acknowledge_group(monitor: Monitor, query: GroupAsked, body: AcknowledgeBody) -> DoneAnswer:
    assert body.by is not None
    return act(monitor, ActAsked(lifecycle.ACKNOWLEDGE, query.id, body.by, body.comment), "group", f"GET {PREFIX}/alarms")


def occupancy(monitor: Monitor, query: PlaceAsked, body: OccupancyBody) -> DoneAnswer:
    assert body.by is not None
    asked = ActAsked(SAID, query.id, body.by, body.reason, body.until, state=body.state)
    return act(monitor, asked, "room", f"GET {PREFIX}/points")


_PROBLEMS = (403, 404, 409, 413, 415)
OPERATIONS = (
    Operation(
        f"{PREFIX}/groups/{{id}}/acknowledge", "Acknowledge all alarms of a group that wait; each stands in the audit trail by its id.",
        acknowledge_group, parameters=GroupAsked, answer=GroupAnswer, method="POST", body=AcknowledgeBody,
        problems=_PROBLEMS, permission=ACKNOWLEDGE,
    ),
    Operation(
        f"{PREFIX}/alarms/{{id}}/shelve", "Shelve an alarm: nobody is told of it until then, and anew if it still stands.",
        shelve, parameters=AlarmAsked, answer=answers.AlarmAnswer, method="POST", body=ShelveBody,
        problems=(*_PROBLEMS, 429), subject=signing_of, permission=SHELVE,
    ),
    Operation(
        f"{PREFIX}/alarms/{{id}}/unshelve", "Take an alarm off the shelf before the time.",
        _alarm(lifecycle.UNSHELVE), parameters=AlarmAsked, answer=answers.AlarmAnswer, method="POST", body=WhyBody,
        problems=_PROBLEMS, permission=SHELVE,
    ),
    Operation(
        f"{PREFIX}/alarms/{{id}}/reset", "Reset an alarm that is over and latched.",
        _alarm(lifecycle.RESET), parameters=AlarmAsked, answer=answers.AlarmAnswer, method="POST", body=WhyBody,
        problems=_PROBLEMS, permission=RESET,
    ),
    Operation(
        f"{PREFIX}/points/{{id}}/out_of_service", "Take a point out of service: its readings are stored and shown, none is judged.",
        _point(lifecycle.TAKE_OUT), parameters=PointAsked, answer=DoneAnswer, method="POST", body=OutOfServiceBody,
        problems=_PROBLEMS, permission=OUT_OF_SERVICE,
    ),
    Operation(
        f"{PREFIX}/points/{{id}}/return", "Take a point into service again before the time.",
        _point(lifecycle.PUT_BACK), parameters=PointAsked, answer=DoneAnswer, method="POST", body=WhyBody,
        problems=_PROBLEMS, permission=OUT_OF_SERVICE,
    ),
    Operation(
        f"{PREFIX}/rooms/{{id}}/occupancy", "Say what goes on in a room or zone from now on; with `until` what was before comes back then.",
        occupancy, parameters=PlaceAsked, answer=DoneAnswer, method="POST", body=OccupancyBody,
        problems=_PROBLEMS, permission=OCCUPANCY,
    ),
)  # fmt: skip
