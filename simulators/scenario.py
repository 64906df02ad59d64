"""Scenarios: what happens in a simulated facility and when, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from facility.document import Document, did_you_mean, one_of, parse_document
from facility.durations import parse_duration
from facility.facility_sections import State
from facility.files import Files, Unreadable
from facility.problems import ConfigurationError, Problem
from facility.sections import PeriodNs, Section, SpanNs, refused, validated
from simulators.kinds import KINDS, KindName

MINUTE_NS = 60 * 10**9
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
_RATE_NS = {"h": 3600 * 10**9, "d": 86_400 * 10**9}


def _names(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise refused("a name, a glob, or a list of them")
    return tuple(names)


def _hours(value: Any) -> tuple[int, int]:
    """Minutes of the day."""
    match = re.fullmatch(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)", value) if isinstance(value, str) else None
    if match is None:
        raise refused('two times of the day, such as "07:00-15:30"')
    begin, end = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    if begin >= 1440 or end > 1440 or begin == end or int(match[2]) > 59 or int(match[4]) > 59:
        raise refused('two different times of the day, such as "07:00-15:30"')
    return begin, end


def _mean_gap(value: Any) -> int:
    """ns from one to the next on average."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*([hd])", value) if isinstance(value, str) else None
    if match is None or float(match[1]) <= 0:
        raise refused("how often on average, such as 6/h or 2/d")
    return round(_RATE_NS[match[2]] / float(match[1]))


def _signed_span(value: Any) -> int:
    try:
        return parse_duration(value).of(None)
    except (TypeError, ValueError):
        raise refused("a duration such as 90s, -90s or 5m") from None


Names = Annotated[tuple[str, ...], PlainValidator(_names)]


class EventSection(Section):
    """One event; which of the keys it may have depends on its kind."""

    kind: KindName
    place: Names | None = None
    point: Names | None = None
    system: Names | None = None
    at_: Annotated[SpanNs, Field(alias="at")] = 0
    """When it first begins, after the start."""
    for_: Annotated[PeriodNs | None, Field(alias="for")] = None
    """How long; for ever when missing."""
    scatter: Annotated[float, Field(gt=0, le=3)] | None = None
    """Durations are lognormal about `for` as median; this is the sd of their logarithm."""
    every: PeriodNs | None = None
    """It begins again after so long."""
    spread: SpanNs = 0
    """It begins up to so much later, by chance."""
    rate: Annotated[int, PlainValidator(_mean_gap)] | None = None
    """It begins at random times, so often on average."""
    hours: Annotated[tuple[int, int], PlainValidator(_hours)] | None = None
    """It begins only within these hours, local to the site; without `every` and `rate` it fills them."""
    days: list[Day] | None = None
    """It begins only on these days."""
    expect: Names = ()
    """Ids (or globs) of the rules that should find it."""
    missed: str = ""
    """Why none of the rules that ship finds it, though it should be found."""
    factor: Annotated[float, Field(ge=0, le=1)] | None = None
    extract: Annotated[float, Field(ge=0, le=2)] | None = None
    area_m2: Annotated[float, Field(gt=0)] | None = None
    share: Annotated[float, Field(gt=0, le=1)] | None = None
    particles_per_min: Annotated[float, Field(ge=0)] | None = None
    large: Annotated[float, Field(ge=0, le=1)] | None = None
    count: Annotated[float, Field(ge=0)] | None = None
    activity: Annotated[float, Field(ge=0)] | None = None
    clothes: Literal["cleanroom", "indoor"] | None = None
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    degc: float | None = None
    state: State | None = None
    then: State | None = None
    tau: PeriodNs | None = None
    m3_per_h: Annotated[float, Field(ge=0)] | None = None
    boil_off: Annotated[float, Field(ge=1)] | None = None
    value: float | None = None
    per_hour: float | None = None
    size: float | None = None
    with_: Annotated[str | None, Field(alias="with")] = None
    unit: str | None = None
    by: Annotated[int, PlainValidator(_signed_span)] | None = None
    s_per_day: float | None = None


class InstrumentsSection(Section):
    """How instruments measure; what is missing is as usual for their quantity."""

    point: Names
    noise: Annotated[float, Field(ge=0)] | None = None
    """Standard deviation, in the unit of the quantity (degC, %, Pa, m/s)."""
    lag: SpanNs | None = None
    """Time constant."""
    drift_per_day: float | None = None
    flow_l_min: Annotated[float, Field(gt=0)] | None = None
    """Air that a particle counter draws."""
    coincidence_per_m3: Annotated[float, Field(gt=0)] | None = None
    """Concentration at which a particle counter misses a tenth."""


class ScenarioSection(Section):
    """What happens in a simulated facility."""

    name: str = ""
    text: str = ""
    instruments: list[InstrumentsSection] = []
    events: list[EventSection] = []


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens, once or again and again; times are ns after the start of the simulation.

    `targets` are globs of what `target` says (place, point, system); `for_ns` None lasts for ever; each occurrence begins up to
    `spread_ns` later than `at + k * every`, by chance and for each target apart, or every `gap_ns` on average. `hours` are minutes of the
    local day, `days` numbers of the week (0 Monday). `expect` names the rules that should find it, `missed` why those that ship do not;
    `line` is where it stands in the file.
    """

    kind: str
    target: str
    targets: tuple[str, ...]
    at_ns: int = 0
    for_ns: int | None = None
    scatter: float = 0.0
    every_ns: int | None = None
    spread_ns: int = 0
    gap_ns: int | None = None
    hours: tuple[int, int] | None = None
    days: tuple[int, ...] = tuple(range(7))
    parameters: Mapping[str, float] = field(default_factory=dict)
    words: Mapping[str, str] = field(default_factory=dict)
    expect: tuple[str, ...] = ()
    missed: str = ""
    line: int = 0

    @property
    def by_chance(self) -> bool:
        """Whether each of its targets has times of its own."""
        return bool(self.spread_ns or self.gap_ns or self.scatter)


@dataclass(frozen=True, slots=True)
class Measuring:
    """How the instruments of some points (globs) measure; None is as usual for their quantity. `lag_ns` in ns."""

    points: tuple[str, ...]
    noise: float | None = None
    lag_ns: int | None = None
    drift_per_day: float | None = None
    flow_l_min: float | None = None
    coincidence_per_m3: float | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named list of events, and how instruments measure; of several that name a point the last counts, key by key."""

    name: str
    text: str = ""
    events: tuple[Event, ...] = ()
    instruments: tuple[Measuring, ...] = ()
    file: str = ""


def shipped_scenarios() -> tuple[str, ...]:
    """The names of the scenarios that come with the program."""
    folder = resources.files("simulators") / "scenarios"
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def load_scenario(name: str | Path) -> Scenario:
    """The shipped scenario of that name, else the one in that YAML file; ConfigurationError with every problem in it."""
    shipped = shipped_scenarios()
    if str(name) in shipped:
        return parse_scenario((resources.files("simulators") / "scenarios" / f"{name}.yaml").read_text("utf-8"), f"{name}.yaml")
    allowed = f"{one_of(shipped)}, or the path of a YAML file"
    if not Path(name).suffix:
        raise ConfigurationError([Problem("--scenario", 0, "", repr(str(name)), allowed, did_you_mean(name, shipped))])
    files, own_name = Files.around(name)
    try:
        return parse_scenario(files.read(own_name), str(name))
    except Unreadable as error:
        raise ConfigurationError([Problem("--scenario", 0, "", str(error), allowed)]) from None


def parse_scenario(text: str, file: str) -> Scenario:
    """Read the YAML text of a scenario; ConfigurationError with every problem in it."""
    document, problems = parse_document(file, text)
    section, found = validated(ScenarioSection, document)
    problems += found
    events = []
    for event in section.events if section else ():
        wrong = _misfits(event, document)
        problems += wrong
        if not wrong:
            events.append(_event(event, document))
    if problems or section is None:
        raise ConfigurationError(problems)
    instruments = tuple(
        Measuring(one.point, one.noise, one.lag, one.drift_per_day, one.flow_l_min, one.coincidence_per_m3) for one in section.instruments
    )
    return Scenario(section.name or Path(file).stem, section.text, tuple(events), instruments, file)


_OWN = ("kind", "at_", "for_", "scatter", "every", "spread", "rate", "hours", "days", "expect", "missed")


def _misfits(event: EventSection, document: Document) -> list[Problem]:
    """What does not go together within one event."""
    kind = KINDS[event.kind]
    allowed = (*kind.targets, *kind.parameters, *kind.words)
    problems = [
        document.problem(event.at(name), f"a key that {event.kind} does not take", one_of(allowed), did_you_mean(name, allowed))
        for name in (key.rstrip("_") for key in sorted(event.model_fields_set) if key not in _OWN)
        if name not in allowed
    ]
    if sum(getattr(event, name) is not None for name in kind.targets) != 1:
        given = [name for name in kind.targets if getattr(event, name) is not None]
        problems.append(document.problem(event.at(), " and ".join(given) or "no target", f"one of {one_of(kind.targets)}"))
    for name, usual in kind.words.items():
        if not usual and _given(event, name) is None:
            problems.append(document.problem(event.at(), f"no key {name!r}", f"it, as {event.kind} needs it"))
    return problems + _mistimed(event, document)


def _mistimed(event: EventSection, document: Document) -> list[Problem]:
    again = next((name for name in ("every", "rate") if getattr(event, name) is not None), None)
    if event.scatter is not None and event.for_ is None:
        return [document.problem(event.at("scatter"), "a scatter of what lasts for ever", "it together with `for`")]
    if event.every is not None and event.rate is not None:
        return [document.problem(event.at("rate"), "both every and rate", "one of them")]
    if again is not None and event.for_ is None:
        return [document.problem(event.at(again), "a repetition of what lasts for ever", "it together with `for`")]
    if event.every is not None and event.every <= (event.for_ or 0) + event.spread:
        return [document.problem(event.at("every"), "a time within the event itself", "more than `for` and `spread` together")]
    return []


def _given(event: EventSection, name: str) -> Any:
    return getattr(event, f"{name}_" if name == "with" else name)


def _event(event: EventSection, document: Document) -> Event:
    kind = KINDS[event.kind]
    target = next(name for name in kind.targets if getattr(event, name) is not None)
    numbers = {name: (usual, _given(event, name)) for name, usual in kind.parameters.items()}
    words = {name: (usual, _given(event, name)) for name, usual in kind.words.items()}
    return Event(
        event.kind,
        target,
        getattr(event, target),
        at_ns=event.at_,
        for_ns=event.for_,
        scatter=event.scatter or 0.0,
        every_ns=event.every,
        spread_ns=event.spread,
        gap_ns=event.rate,
        hours=event.hours if event.hours or not event.days else (0, 1440),
        days=tuple(DAYS.index(day) for day in event.days or DAYS),
        parameters={name: usual if given is None else float(given) for name, (usual, given) in numbers.items()},
        words={name: usual if given is None else str(given) for name, (usual, given) in words.items()},
        expect=event.expect,
        missed=event.missed,
        line=document.position(event.at())[1],
    )
