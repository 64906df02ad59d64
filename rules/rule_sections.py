"""rules.yaml as sections: its keys, their types, what each means."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator, WithJsonSchema

from facility.document import did_you_mean, one_of
from facility.sections import AnyDuration, Id, Section, refused
from facility.site import OCCUPANCIES

Kind = Literal["limit", "rate", "flatline", "count", "mean", "recovery", "stale", "quality", "clock_ahead", "state"]
Level = Literal["alert", "action", "technical"]
Priority = Literal["critical", "high", "medium", "low"]
LANGUAGES = ("en", "sv")


def _limit(value: Any) -> float | str:
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9_]*", value):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise refused("a number, or the name of a limit table")


def _globs(value: Any) -> tuple[str, ...]:
    globs = value if isinstance(value, list) else [value]
    if not globs or not all(isinstance(glob, str) and glob for glob in globs):
        raise refused("a name, a glob such as bsc*, or a list of them")
    return tuple(globs)


def _text(value: Any) -> dict[str, str]:
    texts = dict.fromkeys(LANGUAGES, value) if isinstance(value, str) else value
    if not isinstance(texts, dict) or not texts or not all(key in LANGUAGES and isinstance(text, str) for key, text in texts.items()):
        raise refused("a text, or a mapping of en and sv to texts")
    return dict(texts)


def _states(value: Any) -> tuple[str, ...]:
    states = value if isinstance(value, list) else [value]
    if not states or not all(state in OCCUPANCIES for state in states):
        wrong = next((state for state in states if state not in OCCUPANCIES), "")
        raise refused(f"a state or a list of them: {one_of(OCCUPANCIES)}", did_you_mean(wrong, OCCUPANCIES))
    return tuple(state for state in OCCUPANCIES if state in states)


_LIMIT_SCHEMA = {"type": ["number", "string"], "description": "A number in the point's unit, or a limit table: annex1, limits."}
_GLOBS_SCHEMA = {"type": ["string", "array"], "items": {"type": "string"}, "description": "A value, a glob, or a list of them."}
_TEXT_SCHEMA = {
    "type": ["string", "object"],
    "properties": {language: {"type": "string"} for language in LANGUAGES},
    "additionalProperties": False,
    "description": "A text for people, or one for each language; `text` is what to do, for the page.",
}
_STATES_SCHEMA = {
    "anyOf": [{"enum": list(OCCUPANCIES)}, {"type": "array", "minItems": 1, "items": {"enum": list(OCCUPANCIES)}}],
    "description": "States of the room or zone.",
}
Limit = Annotated[float | str, PlainValidator(_limit), WithJsonSchema(_LIMIT_SCHEMA)]
Globs = Annotated[tuple[str, ...], PlainValidator(_globs), WithJsonSchema(_GLOBS_SCHEMA)]
Text = Annotated[dict[str, str], PlainValidator(_text), WithJsonSchema(_TEXT_SCHEMA)]

States = Annotated[tuple[str, ...], PlainValidator(_states), WithJsonSchema(_STATES_SCHEMA)]


class SelectSection(Section):
    """Which points: all that is given must match; empty matches every point."""

    point: Globs = ()
    room: Globs = ()
    """The room's own points, not its zones'."""
    zone: Globs = ()
    grade: Globs = ()
    quantity: Globs = ()
    type: Globs = ()
    tag: Globs = ()


class UnlessSection(Section):
    """Readings are passed over while another point is beyond."""

    point: Annotated[str, Field(min_length=1)]
    """The other point; {room} stands for the room of the judged one: "{room}.door"."""
    above: float | None = None
    below: float | None = None
    at_or_above: float | None = None
    at_or_below: float | None = None
    at_most: AnyDuration | None = None
    """How long it may be so: after that the rule applies again; without, as long as it likes."""


class LevelSection(Section):
    """What a level of a rule has of its own; what it leaves out is the rule's."""

    priority: Priority | None = None
    above: Limit | None = None
    """Breaching above this; equal is inside."""
    below: Limit | None = None
    """Breaching below this; equal is inside."""
    at_or_above: Limit | None = None
    """As above, but equal breaches."""
    at_or_below: Limit | None = None
    """As below, but equal breaches."""
    deadband: float | None = None
    """How far inside its limits a value must be to count as returned."""
    on_delay: AnyDuration | None = None
    """How long it must breach before it is raised."""
    off_delay: AnyDuration | None = None
    """How long it must have returned before it clears."""
    max_gap: AnyDuration | None = None
    """Readings further apart than this do not belong together."""
    after: AnyDuration | None = None
    """stale: how long nothing was received."""
    change: float | None = None
    """rate: breaching when a value differs by more than this from the oldest in the window."""
    window: AnyDuration | None = None
    """rate, mean: how far back from a reading they look."""
    duration: AnyDuration | None = None
    """flatline: how long a value must have stood still."""
    within: AnyDuration | None = None
    """recovery: how long after a change to at_rest the place may need; without, its clean_up in facility.yaml."""
    tolerance: float | None = None
    """flatline: what still counts as standing still, from the smallest to the largest value (0)."""
    k: int | None = None
    """count: breaching when so many of the last n readings are beyond the limit."""
    n: int | None = None
    min_readings: int | None = None
    """count, mean: with fewer readings nothing is said (1)."""
    during: States | None = Field(None, alias="while")
    """The states of the room or zone in which it judges; readings in others are not judged."""
    unless: UnlessSection | None = None
    """Passes over readings while another point is beyond, such as an open door."""
    cause: Text | None = None
    """What most likely leads to it, for the master alarm list."""
    consequence: Text | None = None
    """What comes of it when nobody acts."""
    text: Text | None = None
    sop: str | None = None
    """The procedure to follow."""
    latch: bool | None = None
    """The alarm stands, when the condition is over, until somebody resets it."""
    realarm: AnyDuration | None = None
    """Acknowledged so long ago and still active, it is unacknowledged again and everybody is told anew."""
    shelvable: bool | None = None
    """Whether people may shelve it (true); a critical alarm only with a signature."""
    suppress: States | None = None
    """In these states of the room or zone the alarm is kept and shown, and nobody is told: [cleaning, shutdown]."""
    notify_within: AnyDuration | None = None
    """How soon after it begins somebody must be told; check refuses what sampling, delays and evaluation cannot keep."""


class LevelsSection(Section):
    alert: LevelSection
    action: LevelSection


class RuleSection(LevelSection):
    """A rule: what is breaching, for which points, and how long before it counts."""

    id: Id
    kind: Kind
    select: SelectSection = Field(default_factory=SelectSection)
    level: Level | None = None
    """technical is the default of stale, quality, flatline, clock_ahead and state, alert of the others."""
    levels: LevelsSection | None = None
    """Instead of level and its limit: makes the rules ID.alert and ID.action."""


class RulesSection(Section):
    """rules.yaml: what raises an alarm."""

    rules: list[RuleSection]
