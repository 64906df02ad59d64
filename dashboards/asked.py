"""What the HTTP API is asked, as pydantic models: they check requests and describe them in OpenAPI."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationInfo, WithJsonSchema, model_validator

from facility.times import ALLOWED, parse_time

LIMIT_DEFAULT, LIMIT_MAX = 1000, 10_000
READINGS_DEFAULT, READINGS_MAX = 10_000, 100_000
_SPACE_FOR_PLUS = re.compile(r"([Tt ]\d\d:\d\d:\d\d\S*) (\d\d:\d\d)")


def _instant(value: object, info: ValidationInfo) -> int:
    if not isinstance(value, str):
        raise ValueError(ALLOWED)
    # an unescaped + in a query arrives as a space; a space there means nothing else
    text = _SPACE_FOR_PLUS.sub(r"\1+\2", value)
    zone: ZoneInfo | None = (info.context or {}).get("zone")
    return parse_time(text, zone)


def plain_text(value: str) -> str:
    if any(ord(character) < 32 and character not in "\n\t" for character in value):
        raise ValueError("text without control characters")
    return value.strip()


def _name(value: str | None) -> str | None:
    if value is None:
        return None
    if not plain_text(value) or "\n" in value.strip():
        raise ValueError("the name of the person, on one line")
    return plain_text(value)


Instant = Annotated[int, BeforeValidator(_instant), WithJsonSchema({"type": "string", "format": "date-time"})]
BY = "Name of the person who does it, where there are no users; else it is who is signed in"
AlarmState = Literal["unacknowledged", "acknowledged", "latched_unacknowledged", "latched_acknowledged", "returned", "normal"]
AlarmFlag = Literal["shelved", "suppressed", "out_of_service"]
Limit = Annotated[int, Field(ge=1, le=LIMIT_MAX, description="At most so many items; `next` is then the cursor of the rest")]
Cursor = Annotated[str, Field(max_length=200, description="The `next` of an earlier answer: goes on after it")]


class Asked(BaseModel):
    """Parameters of a request: unknown ones are refused."""

    model_config = ConfigDict(extra="forbid", str_max_length=4000)


Checked = TypeVar("Checked", bound=Asked)


class Nothing(Asked):
    """No parameters."""


class Span(Asked):
    start: Instant | None = Field(None, description="From this time on (included); without offset it is the site's local time")
    end: Instant | None = Field(None, description="Up to this time (excluded)")

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError("an end that is not before the start")
        return self


class PointsAsked(Asked):
    room: str | None = Field(None, description="Only points of this room and its zones")
    out_of_service: bool | None = Field(None, description="Only points that are, or are not, out of service")


class ReadingsAsked(Span):
    point: str = Field(description="Id of the point")
    limit: int = Field(
        READINGS_DEFAULT, ge=1, le=READINGS_MAX, description="At most so many readings; `next` is then the cursor of the rest"
    )
    cursor: Instant | None = Field(None, description="The `next` of an earlier answer: goes on there, in place of `start`")


class ExcursionsAsked(Span):
    room: str | None = Field(None, description="Of this room and its zones")
    point: str | None = Field(None, description="Of this point")
    all: bool = Field(False, description="Also `revised` and `superseded` ones")
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


def _states(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


class AlarmsAsked(Asked):
    state: Annotated[list[AlarmState], BeforeValidator(_states)] = Field(
        default=["unacknowledged", "latched_unacknowledged", "returned", "acknowledged", "latched_acknowledged"],
        description="Only alarms in these states, separated by commas",
    )
    flag: AlarmFlag | None = Field(None, description="Only alarms with this flag beside their state: nobody is told of them")
    room: str | None = Field(None, description="Only alarms of this room and its zones")
    group: str | None = Field(None, description="Only alarms that were told in this group")
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


class AuditAsked(Span):
    limit: Limit = LIMIT_DEFAULT
    cursor: Cursor | None = None


class AlarmAsked(Asked):
    id: str = Field(description="Id of the alarm")


class By(Asked):
    """What is done in somebody's name."""

    by: Annotated[str | None, Field(max_length=100, description=BY), AfterValidator(_name)] = None


class AcknowledgeBody(By):
    comment: Annotated[str, Field(max_length=2000, description="What was seen or done"), AfterValidator(plain_text)] = ""
