"""Scenarios: what happens in a simulated facility and when, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PlainValidator

from facility.document import Document, did_you_mean, one_of, parse_document
from facility.files import Files, Unreadable
from facility.problems import ConfigurationError, Problem
from facility.sections import PeriodNs, Section, SpanNs, refused, validated

PLACE, POINT, SYSTEM = "place", "point", "system"
HOUR_NS = 3600 * 10**9


@dataclass(frozen=True, slots=True)
class Kind:
    """What an event of one kind takes: the keys of which one names its targets, and its parameters with their defaults."""

    targets: tuple[str, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)


KINDS: Mapping[str, Kind] = {
    "door_open": Kind((POINT, PLACE)),
    "supply_loss": Kind((PLACE, SYSTEM), {"factor": 0.0}),
    "leak": Kind((PLACE,), {"area_m2": 0.05}),
    "intervention": Kind((PLACE,), {"particles_per_min": 300_000.0}),
    "people": Kind((PLACE,), {"count": 1.0}),
    "warm_up": Kind((PLACE,), {"to": 20.0, "tau": 12.0 * HOUR_NS}),
    "dropout": Kind((POINT, PLACE)),
    "fault": Kind((POINT, PLACE), {"value": float("nan")}),
    "stuck": Kind((POINT, PLACE)),
    "duplicate": Kind((POINT, PLACE)),
    "garble": Kind((POINT, PLACE)),
}


def _names(value: Any) -> tuple[str, ...]:
    names = value if isinstance(value, list) else [value]
    if not names or not all(isinstance(name, str) and name for name in names):
        raise refused("a name, a glob, or a list of them")
    return tuple(names)


Names = Annotated[tuple[str, ...], PlainValidator(_names)]


KindName = Literal[
    "door_open", "supply_loss", "leak", "intervention", "people", "warm_up", "dropout", "fault", "stuck", "duplicate", "garble"
]


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
    every: PeriodNs | None = None
    """It begins again after so long."""
    spread: SpanNs = 0
    """It begins up to so much later, by chance."""
    expect: Names = ()
    """Ids of the rules that should find it."""
    factor: Annotated[float, Field(ge=0, le=1)] | None = None
    """What is left of the supply air."""
    area_m2: Annotated[float, Field(gt=0)] | None = None
    particles_per_min: Annotated[float, Field(ge=0)] | None = None
    count: Annotated[float, Field(ge=0)] | None = None
    to: float | None = None
    """degC that it warms up to."""
    tau: PeriodNs | None = None
    """Time constant of warming up."""
    value: float | None = None
    """What a faulty instrument sends."""


class ScenarioSection(Section):
    """What happens in a simulated facility."""

    name: str = ""
    text: str = ""
    counter_flow_l_min: Annotated[float, Field(gt=0)] = 28.3
    """Air that each particle counter draws."""
    events: list[EventSection] = []


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happens, once or again and again; times are ns after the start of the simulation.

    `targets` are globs of what `target` says (place, point, system); `for_ns` None lasts for ever; each occurrence begins up to
    `spread_ns` later than `at + k * every`, by chance and for each target apart; `expect` names the rules that should find it;
    `line` is where it stands in the file.
    """

    kind: str
    target: str
    targets: tuple[str, ...]
    at_ns: int = 0
    for_ns: int | None = None
    every_ns: int | None = None
    spread_ns: int = 0
    parameters: Mapping[str, float] = field(default_factory=dict)
    expect: tuple[str, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Scenario:
    """A named list of events, and how much air the particle counters draw."""

    name: str
    text: str = ""
    events: tuple[Event, ...] = ()
    counter_flow_l_min: float = 28.3
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
    return Scenario(section.name or Path(file).stem, section.text, tuple(events), section.counter_flow_l_min, file)


def _misfits(event: EventSection, document: Document) -> list[Problem]:
    """What does not go together within one event."""
    kind = KINDS[event.kind]
    allowed = (*kind.targets, *kind.parameters)
    own = ("kind", "at_", "for_", "every", "spread", "expect", *allowed)
    problems = [
        document.problem(event.at(name), f"a key that {event.kind} does not take", one_of(allowed), did_you_mean(name, allowed))
        for name in sorted(event.model_fields_set)
        if name not in own
    ]
    if sum(getattr(event, name) is not None for name in kind.targets) != 1:
        given = [name for name in kind.targets if getattr(event, name) is not None]
        problems.append(document.problem(event.at(), " and ".join(given) or "no target", f"one of {one_of(kind.targets)}"))
    if event.every is not None and event.for_ is None:
        problems.append(document.problem(event.at("every"), "a repetition of what lasts for ever", "it together with `for`"))
    elif event.every is not None and event.every <= (event.for_ or 0) + event.spread:
        problems.append(document.problem(event.at("every"), "a time within the event itself", "more than `for` and `spread` together"))
    return problems


def _event(event: EventSection, document: Document) -> Event:
    kind = KINDS[event.kind]
    target = next(name for name in kind.targets if getattr(event, name) is not None)
    given = {name: getattr(event, name) for name in kind.parameters}
    return Event(
        event.kind,
        target,
        getattr(event, target),
        at_ns=event.at_,
        for_ns=event.for_,
        every_ns=event.every,
        spread_ns=event.spread,
        parameters={name: default if given[name] is None else float(given[name]) for name, default in kind.parameters.items()},
        expect=event.expect,
        line=document.position(event.at())[1],
    )
