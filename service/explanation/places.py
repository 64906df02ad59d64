"""Why there was, or was not, an alarm of the state of a room or zone: what was said of it, and how long that may last."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from facility.durations import Duration
from facility.site import OCCUPANCIES, Place
from facility.times import format_time, local_time
from rules.occupancy import occupancy_of
from rules.plan import Plan
from rules.promptness import Term, total_ns, worst_case_of_state
from rules.rule import Rule
from rules.staying import NEVER_NS, overstayed, terms_of
from service.configuration.judging import Judges
from service.explanation.explaining import INSIDE, LEAD_NS, NOTHING, OPEN, SHOWN_AFTER, WAITING, Recorded, Standing, recorded_of, stored_in
from service.explanation.report import document_of, on_record, sum_of
from service.impact.report import columns
from service.stored.archive import Archive, ArchiveUnavailable


@dataclass(frozen=True, slots=True)
class Stayed:
    """How a rule of the kind state stood: open or waiting since the onset, `until` when it is raised; inside: the state may last."""

    rule: Rule
    standing: Standing


@dataclass(frozen=True)
class PlaceExplanation:
    """All of it; times are int ns UTC. `said` are the messages about the place itself around the time, as (time, state)."""

    place: Place
    at: int
    config: str
    config_since: int
    state: str
    state_since: int | None
    stayed: tuple[Stayed, ...]
    said: tuple[tuple[int, str], ...]
    recorded: tuple[Recorded, ...]
    terms: tuple[Term, ...]


def explain_place(archive: Archive, id_: str, at: int, messages: int, evaluate_every_ns: int) -> PlaceExplanation:
    """Explain a room or zone at a time, from so many messages up to then; raises as `explain` does."""
    judges = Judges()
    with stored_in(archive) as stored:
        states = {place: list(told) for place, told in stored.states().items()}
    plans = [(entry.at, judges.plan(body, archive.number_of, entry.at)) for entry, body in archive.configurations]
    known = [(begin, plan) for begin, plan in plans if any(place.id == id_ for place in plan.facility.places)]
    if not known:
        raise ArchiveUnavailable(f"{archive.data_dir}: no configuration in its journal has the room or zone {id_}.")
    begin, plan = next((one for one in reversed(known) if one[0] <= at), known[0])
    index = [place.id for place in plan.facility.places].index(id_)
    timeline = occupancy_of(plan.facility, states).reported[index]
    since = int(timeline.time[np.searchsorted(timeline.time, at, side="right") - 1])
    said = sorted(states.get(id_, ()))
    upto = sum(time <= at for time, _ in said)
    return PlaceExplanation(
        place=plan.facility.places[index],
        at=at,
        config=plan.config,
        config_since=begin,
        state=OCCUPANCIES[timeline.at(np.array([at]))[0]],
        state_since=since if since > np.iinfo(np.int64).min else None,
        stayed=tuple(_stayed(plans, plan, id_, said, at)),
        said=tuple(said[max(0, upto - messages) : upto + SHOWN_AFTER]),
        recorded=tuple(recorded_of(archive, f"{id_}/occupancy", at, begin=at - LEAD_NS)),
        terms=worst_case_of_state(evaluate_every_ns),
    )


def _stayed(plans: list[tuple[int, Plan]], plan: Plan, id_: str, said: list[tuple[int, str]], at: int) -> Iterator[Stayed]:
    """By the engine that judges states live, on what is known of them now."""
    for watched in plan.states:
        if watched.place.id != id_:
            continue
        terms = terms_of([(begin, next((one for one in of.states if one.key == watched.key), None)) for begin, of in plans])
        rows = overstayed(terms, said, at)
        if (row := next((row for row in rows if row.ended is None or at < row.ended), None)) is not None:
            yield Stayed(watched.rule, Standing(OPEN, row.onset, row.raised))
            continue
        so_far = [one for one in said if one[0] <= at]
        if not so_far:
            yield Stayed(watched.rule, Standing(NOTHING))
            continue
        state = so_far[-1][1]
        others = [time for time, other in so_far if other != state]
        begun = min(time for time, _ in so_far if time > max(others, default=-NEVER_NS))
        begun = max(begun, next(term.begin for term in terms if term.begin <= at < term.end))
        most = watched.at_most.get(state)
        yield Stayed(watched.rule, Standing(INSIDE, begun) if most is None else Standing(WAITING, begun, begun + most))


def conclusion(one: Stayed, told: PlaceExplanation, zone: ZoneInfo) -> str:
    """Why there was an alarm at that time, or why not."""
    stood = one.standing
    since, until = local_time(stood.since, zone), local_time(stood.until, zone)
    if stood.what == OPEN:
        return f"an excursion was open: {told.state} since {since}, for longer than {Duration(stood.until - stood.since)}, raised {until}"
    if stood.what == WAITING:
        return f"no alarm: {told.state} since {since}, which may last {Duration(stood.until - stood.since)}: raised if not over by {until}"
    if stood.what == INSIDE:
        return f"no alarm: {told.state} since {since}, and at_most sets no end to that"
    follows = f"; it follows {told.place.parent}, which is judged itself" if told.place.parent else ""
    return f"no alarm: nothing had been said of it{follows}"


def lines(told: PlaceExplanation, zone: ZoneInfo) -> Iterator[str]:
    """What the place is, how long it may stay in each state, the rules, what was said of it, what is on record."""
    place = told.place
    where = f" in {place.parent}" if place.parent else ""
    grade = f", grade {place.grade}" if place.grade else ""
    yield f"{place.id}: {place.name or place.type}, {place.type}{where}{grade}"
    force = f"configuration {told.config[:12]} in force since {local_time(told.config_since, zone)}"
    yield f"at {local_time(told.at, zone)} ({zone.key}); {force}"
    since = f" since {local_time(told.state_since, zone)}" if told.state_since is not None else ", as the facility file says"
    yield f"{place.id} was {told.state}{since}"
    most = ", ".join(f"{state} {Duration(ns)}" for state, ns in place.at_most_ns)
    yield f"at_most: {most}" if most else "at_most is not given: it may stay in each state for as long as it likes"
    if not told.stayed:
        yield ""
        yield "No rule of the kind state watches it. So there is no alarm of its state, ever."
    for one in told.stayed:
        yield ""
        yield f"{one.rule.id} ({one.rule.kind}, {one.rule.level}, {one.rule.priority})"
        yield f"  then: {conclusion(one, told, zone)}"
        yield f"  worst case from then to page: {sum_of(told.terms)}"
    yield ""
    if told.said:
        newest = max((time for time, _ in told.said if time <= told.at), default=None)
        cells = [("", "time", "state"), *(("→" if time == newest else "", local_time(time, zone), state) for time, state in told.said)]
        yield from columns(cells, 3)
    else:
        yield "Nothing was said of it itself."
    yield from on_record(told.recorded, told.at, zone, "place")


def document(told: PlaceExplanation) -> dict[str, Any]:
    """The explanation as JSON has it."""
    utc = ZoneInfo("UTC")
    return {
        "place": told.place.id,
        "at": format_time(told.at),
        "config": told.config,
        "config_since": format_time(told.config_since),
        "state": told.state,
        "state_since": None if told.state_since is None else format_time(told.state_since),
        "at_most_ns": dict(told.place.at_most_ns),
        "rules": [
            {
                "rule": one.rule.id,
                "kind": one.rule.kind,
                "level": one.rule.level,
                "standing": one.standing.what,
                "since": format_time(one.standing.since) if one.standing.since else None,
                "raised": format_time(one.standing.until) if one.standing.until else None,
                "says": conclusion(one, told, utc),
                "worst_case_ns": total_ns(told.terms),
            }
            for one in told.stayed
        ],
        "states": [{"time": format_time(time), "state": state} for time, state in told.said],
        "excursions": [document_of(one) for one in told.recorded],
    }
