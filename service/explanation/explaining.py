"""Why there was, or was not, an alarm at a point: what applied, what the readings were, what stands on record, whom it reached when."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np

from alerts.alarms import Alarms
from alerts.judging.backtest import Walk
from alerts.judging.clocks import Clocks
from alerts.judging.derivation import ReadingsOf
from alerts.judging.outages import Outage, Outages, outages_by_number, outages_of
from alerts.judging.suspensions import passing_along
from alerts.lifecycle.lifecycle import Alarm
from facility.durations import Duration
from facility.reading import BAD, Readings, quality_name
from facility.site import OCCUPANCIES, Point
from ingest.journal.entries import INGEST, ingest_body, readings_of
from ingest.journal.journal import JournalReader
from ingest.series.series import SeriesReader
from rules.ahead import MINUTE_NS, OURS
from rules.copies import Deaths, copied, spans_of, stops
from rules.engine import RAISED, Finding
from rules.excursion import SUPERSEDED, Excursion
from rules.occupancy import NO_SPELL, Occupancy, occupancy_of
from rules.plan import NEVER_NS, RESTING, Pairs, Plan
from rules.promptness import Term, worst_case
from rules.recovery import at_rest_since
from rules.rule import Rule
from rules.runs import BREACH, RETURN
from service.configuration.judging import Judges
from service.stored.archive import SERIES, Archive, ArchiveUnavailable
from service.stored.readers import Readers
from service.stored.readings import StoredReadings

DAY_NS = 86_400 * 10**9
LEAD_NS = DAY_NS
"""Judged at least so long before the time asked for, and from before what stands on record then."""
SHOWN_AFTER = 3
SHOWN_OVER = 3
_READ_ROWS = 65_536


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a rule in some states of the room; None for no limit on that side."""

    states: tuple[str, ...]
    above: float | None
    below: float | None


@dataclass(frozen=True, slots=True)
class Step:
    """A reading, and what each rule made of it, by rule."""

    time: int
    received: int
    value: float
    quality: str
    verdicts: dict[str, str]


OPEN, WAITING, INSIDE, UNJUDGED, NOTHING, SILENT, HEARD = "open", "waiting", "inside", "unjudged", "nothing", "silent", "heard"
RECOVERING, RECOVERED, AT_WORK = "recovering", "recovered", "at_work"
OUR_CLOCK = "our_clock"


@dataclass(frozen=True, slots=True)
class Standing:
    """How a rule stood at a time.

    open: `since` the onset, `until` when it was raised. waiting: out since, and until when the on-delay asks for it. silent, heard:
    the last arrival, and until when the next was due (0: it reports on change). inside, unjudged: `since` the newest reading, with its
    value. nothing: no reading. our_clock: its excursion was open, from `since`, raised at `until`. Of `recovery`, with the value of the
    newest reading: recovering: `since` the spell counts, and `until` when the place must be back; recovered: since
    when it counts, inside at `until`; at_work: in no spell.
    """

    what: str
    since: int = 0
    until: int = 0
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A page of an alarm: to whom, its subject, when it was written and taken (None: not yet), after how many tries, what is wrong."""

    target: str
    subject: str
    queued: int
    sent: int | None
    attempts: int
    detail: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """An excursion on record around the time, its alarm, and the pages of it."""

    excursion: Excursion
    alarm: Alarm | None
    pages: tuple[Told, ...]


@dataclass(frozen=True, slots=True)
class Applied:
    """A rule that applies to the point: its limits by state, how it stood at the time, the worst case to the first page."""

    rule: Rule
    limits: tuple[Limits, ...]
    standing: Standing
    terms: tuple[Term, ...]
    within: Duration | None = None
    """Of `recovery` how long the place may need."""


@dataclass(frozen=True)
class Explanation:
    """All of it; times are int ns UTC."""

    point: Point
    at: int
    config: str
    config_since: int
    state: str
    state_since: int | None
    limits_state: str
    applied: tuple[Applied, ...]
    steps: tuple[Step, ...]
    recorded: tuple[Recorded, ...]
    outage: Outage | None = None
    """The point's time out of service that the time falls into."""


def explain(archive: Archive, point: str, at: int, readings: int, evaluate_every_ns: int) -> Explanation:
    """Explain what a data_dir knows of a point (an id of its register) at a time, from so many readings up to then.

    Raises ArchiveUnavailable, ConfigurationError, JournalUnavailable, StateUnavailable, sqlite3.Error.
    """
    with stored_in(archive) as stored:
        states = {place: list(known) for place, known in stored.states().items()}
        deaths = Deaths(archive.state.deaths())
        judges, number = Judges(), archive.number_of[point]
        epochs: list[tuple[int, Plan, Occupancy]] = []
        plans = [(entry.at, judges.plan(body, archive.number_of, entry.at)) for entry, body in archive.configurations]
        for begun, plan in plans:
            if epochs or point in plan.facility.point_by_id:
                epochs.append((begun, plan, occupancy_of(plan.facility, states, passing_along((plan,), stored.slices, deaths))))
        if not epochs:
            raise ArchiveUnavailable(f"{archive.data_dir}: no configuration in its journal has the point {point}.")
        known = [epoch for epoch in epochs if point in epoch[1].facility.point_by_id]
        begin, plan, occupancy = next((epoch for epoch in reversed(known) if epoch[0] <= at), known[0])
        the_point = plan.facility.point_by_id[point]
        recorded = tuple(recorded_of(archive, point, at, begin=at - LEAD_NS))
        start = min([at - LEAD_NS, *(one.excursion.onset - 1 for one in recorded)])
        start = min(start, at_rest_since(plan, occupancy, start).get(number, at) - LEAD_NS)
        spans = spans_of([(begun, plan.on_change) for begun, plan, _ in epochs])
        if the_point.on_change:
            start = max([int(part.time[part.time <= start].max(initial=0)) for part in stored.slices(number)], default=0) or start
        some = _read(ReadingsOf(stored.first, plans), number, start, at)
        if spans:
            stop = np.minimum(stops(some, deaths, at), at + 1)
            some = Readings.concatenate(list(copied(some, spans, stop)))
        steps, standing = _judged(number, epochs, some, at, readings, outages_by_number(archive.state, archive.number_of))
        applied = tuple(
            _applied(pairs, row, _silence(pairs, row, some, at, recorded) if pairs is plan.stale else standing, evaluate_every_ns)
            for pairs in (*plan.groups, plan.stale)
            for row in range(int(pairs.offsets[number]), int(pairs.offsets[number + 1]))
        )
        clocks = tuple(_of_clocks(archive, plan, number, at, recorded, evaluate_every_ns))
        place = [place.id for place in plan.facility.places].index(the_point.place)
        timeline, moment = occupancy.reported[place], np.array([at])
        since = int(timeline.time[np.searchsorted(timeline.time, at, side="right") - 1])
        return Explanation(
            point=the_point,
            at=at,
            config=plan.config,
            config_since=begin,
            state=OCCUPANCIES[timeline.at(moment)[0]],
            state_since=since if since > np.iinfo(np.int64).min else None,
            limits_state=OCCUPANCIES[occupancy.for_limits[place].at(moment)[0]],
            applied=tuple(sorted((*applied, *clocks), key=lambda one: one.rule.id)),
            steps=steps,
            recorded=recorded,
            outage=next(iter(outages_of(archive.state, "point = ? and since <= ? and until > ?", point, at, at)), None),
        )


@contextmanager
def stored_in(archive: Archive) -> Iterator[StoredReadings]:
    """The readings of an archive, as long as they are looked at."""
    path = archive.journal.path
    parts, journals = Readers(lambda: SeriesReader(archive.data_dir / SERIES)), Readers(lambda: JournalReader(path))
    with closing(parts) as series, closing(journals) as journal:
        yield StoredReadings(series, journal)


def _read(stored: ReadingsOf, number: int, start: int, at: int) -> Readings:
    """The readings from `start` to a few after `at`."""
    parts = []
    while len(part := stored.first(number, _READ_ROWS, start, at + 1)):
        parts.append(part)
        start = int(part.time[-1]) + 1
    parts.append(stored.first(number, SHOWN_AFTER, at + 1))
    return Readings.concatenate(parts)


def _judged(
    number: int, epochs: Sequence[tuple[int, Plan, Occupancy]], readings: Readings, at: int, shown: int, outages: Outages
) -> tuple[tuple[Step, ...], dict[str, Standing]]:
    """The last readings up to the time and a few after it, judged one by one; and how each rule stood at the time."""
    walks = [Walk(index, number, epochs, NEVER_NS, outages) for index in range(len(epochs[0][1].groups))]
    walks = [walk for walk in walks if walk.judges]
    upto = int(np.searchsorted(readings.time, at, side="right"))
    first = max(0, upto - shown)
    for walk in walks:
        list(walk.take(readings.take(slice(first))))
    steps: list[Step] = []
    standing: dict[str, Standing] = {}
    before = int(readings.time[first - 1]) if first else None
    for row in range(first, len(readings)):
        one = readings.take(slice(row, row + 1))
        out = outages.inside(one.point, one.time) is not None
        verdicts: dict[str, str] = {}
        for walk in walks:
            findings = list(walk.take(one))
            for pair in range(len(walk.pairs)):
                id_ = walk.pairs.rules[pair].id
                verdicts[id_] = "out of service, not judged" if out else _verdict(walk, pair, one, findings, before)
                if row < upto and not out:
                    standing[id_] = _standing(walk, pair, one, standing.get(id_))
        before = int(one.time[0])
        steps.append(Step(before, int(one.received[0]), float(one.value[0]), quality_name(one.quality[0]), verdicts))
    return tuple(steps), standing


def _verdict(walk: Walk, pair: int, one: Readings, findings: Sequence[Finding], before: int | None) -> str:
    """What a reading was for a rule, in a few words."""
    pairs, state, time = walk.pairs, walk.state, int(one.time[0])
    if one.quality[0] >= BAD and pairs.kind != "quality":
        return "bad, not judged"
    above, _ = limits_at(pairs, pair, walk.occupancy, time)
    if above is None:
        return "not judged in this state"
    gap = "after a gap, " if before is not None and time - before > pairs.max_gap[pair] else ""
    for finding in findings:
        if (finding.excursion.rule, finding.excursion.point) == pairs.key(pair):
            return f"{gap}{'RAISED' if finding.what == RAISED else 'cleared'}"
    if pairs.kind == "recovery":
        return {OPEN: "not back", RECOVERING: "beyond, still in time", RECOVERED: "recovered", AT_WORK: "not at rest after work"}[
            _recovering(walk, pair, one).what
        ]
    lasted = Duration(time - int(state.since[pair]))
    if state.open[pair]:
        return f"{gap}back for {lasted} of {Duration(int(pairs.off_delay[pair]))}" if state.run[pair] == RETURN else f"{gap}not back"
    if state.run[pair] == BREACH:
        return f"{gap}out for {lasted} of {Duration(int(pairs.on_delay[pair]))}"
    return f"{gap}inside"


def _standing(walk: Walk, pair: int, one: Readings, before: Standing | None) -> Standing:
    """How a rule stands with this reading as the newest."""
    state, pairs, time, value = walk.state, walk.pairs, int(one.time[0]), float(one.value[0])
    if state.open[pair]:
        return Standing(OPEN, int(state.onset[pair]), int(state.raised[pair]))
    if one.quality[0] >= BAD and pairs.kind != "quality":
        return before or Standing(NOTHING)
    if limits_at(pairs, pair, walk.occupancy, time)[0] is None:
        return Standing(UNJUDGED, time, value=value)
    if pairs.kind == "recovery":
        return _recovering(walk, pair, one)
    if state.run[pair] == BREACH:
        since = int(state.since[pair])
        return Standing(WAITING, since, since + int(pairs.on_delay[pair]), value)
    return Standing(INSIDE, time, value=value)


def _recovering(walk: Walk, pair: int, one: Readings) -> Standing:
    """Where the spell of a `recovery` pair stands with this reading as the newest."""
    state, pairs, value = walk.state, walk.pairs, float(one.value[0])
    if state.open[pair]:
        return Standing(OPEN, int(state.onset[pair]), int(state.raised[pair]))
    rested = int(walk.occupancy.at_rest_since(pairs.place[pair : pair + 1], np.ones(1, np.int64), one.time)[0])
    if rested == NO_SPELL or state.windows is None:
        return Standing(AT_WORK, value=value)
    since, inside = max(rested, int(state.windows.began[pair])), int(state.windows.since[pair])
    if inside >= since:
        return Standing(RECOVERED, since, inside, value)
    return Standing(RECOVERING, since, since + int(pairs.window[pair]), value)


def limits_at(pairs: Pairs, pair: int, occupancy: Occupancy, time: int) -> tuple[float | None, float | None]:
    """Above and below of a pair at a time, infinite for no limit on that side; both None where it does not judge in the state."""
    code = 0
    if pairs.by_occupancy:
        code = int(occupancy.limit_codes(pairs.place[pair : pair + 1], np.array([time]))[0])
        if not pairs.during[pair, int(occupancy.reported_codes(pairs.place[pair : pair + 1], np.array([time]))[0])]:
            return None, None
    above, below = float(pairs.above[pair, code]), float(pairs.below[pair, code])
    return (None, None) if np.isnan(above) or np.isnan(below) else (above, below)


def _applied(pairs: Pairs, row: int, standing: Mapping[str, Standing], evaluate_every_ns: int) -> Applied:
    rule, point = pairs.rules[row], pairs.points[row]
    terms = worst_case(rule, point, evaluate_every_ns)
    within = Duration(int(pairs.window[row])) if pairs.kind == "recovery" else None
    return Applied(rule, tuple(_limits(pairs, row)), standing.get(rule.id, Standing(NOTHING)), terms, within)


def _silence(pairs: Pairs, row: int, readings: Readings, at: int, recorded: Iterable[Recorded]) -> dict[str, Standing]:
    """How a `stale` rule stood: what is on record says it, as the deadline runs on listening time and on the life of the source."""
    rule = pairs.rules[row].id
    for one in recorded:
        excursion = one.excursion
        if excursion.rule == rule and excursion.raised <= at and (excursion.ended is None or at < excursion.ended):
            return {rule: Standing(OPEN, excursion.onset, excursion.raised)}
    arrived = readings.received[readings.received <= at]
    if not len(arrived):
        return {rule: Standing(NOTHING)}
    last, after = int(arrived.max()), int(pairs.after[row])
    if pairs.on_change[row]:
        return {rule: Standing(HEARD, last)}
    return {rule: Standing(SILENT if at - last > after else HEARD, last, last + after)}


def _of_clocks(
    archive: Archive, plan: Plan, number: int, at: int, recorded: Iterable[Recorded], evaluate_every_ns: int
) -> Iterator[Applied]:
    """How the rules of the kind clock_ahead stood: what is on record, and what of the last minute was refused."""
    rules = [(rule, points[number]) for rule, points in plan.ahead if number in points]
    if not rules:
        return
    clocks, entries = Clocks(), list(archive.journal.entries(archive.before(at - 2 * MINUTE_NS), archive.before(at + 1), (INGEST,)))
    clocks.configure(plan, at - 2 * MINUTE_NS)
    ingested = [(entry, ingest_body(entry)) for entry in entries]
    stored = Readings.concatenate([readings_of(entry, body) for entry, body in ingested])
    clocks.judge(ingested, stored, archive.number_of, at + 1)
    ours = [*recorded_of(archive, OURS, at, at)]
    for rule, point in rules:
        standing = Standing(INSIDE)
        if (begun := clocks.runs(point.id).get(rule.id)) is not None:
            standing = Standing(WAITING, begun, begun + MINUTE_NS)
        for what, some in ((OUR_CLOCK, ours), (OPEN, recorded)):
            for row in (one.excursion for one in some if one.excursion.rule == rule.id):
                if row.raised <= at and (row.ended is None or at < row.ended):
                    standing = Standing(what, row.onset, row.raised)
        yield Applied(rule, (), standing, worst_case(rule, point, evaluate_every_ns))


def _limits(pairs: Pairs, row: int) -> Iterator[Limits]:
    """The limits by state, states with the same ones together; none for kinds without limits."""
    names = OCCUPANCIES if pairs.by_occupancy else (RESTING if pairs.kind == "recovery" else "",)
    found: dict[tuple[float | None, float | None], list[str]] = {}
    for code, name in enumerate(names):
        above, below = float(pairs.above[row, code]), float(pairs.below[row, code])
        if not pairs.during[row, code]:
            continue
        sides = tuple(None if not np.isfinite(side) else side for side in (above, below))
        found.setdefault((sides[0], sides[1]), []).append(name)
    for (upper, lower), states in found.items():
        yield Limits(tuple(state for state in states if state), upper, lower)


def recorded_of(archive: Archive, point: str, at: int, begin: int) -> Iterator[Recorded]:
    """The excursions on record that cover the time, and the last few that were over before it, but after `begin`."""
    where = "point = ? and status <> ? and onset <= ? and (cleared is null or cleared >= ?)"
    newest = {row.id: row for row in archive.state.excursions(where, (point, SUPERSEDED, at, begin))}
    over = [row.id for row in newest.values() if row.cleared is not None and row.cleared < at]
    alarms = Alarms(archive.state)
    for row in newest.values():
        if row.id in over[:-SHOWN_OVER]:
            continue
        alarm = alarms.of(row.id)
        columns = "target, json_extract(page, '$.subject'), queued_at, sent_at, attempts, detail"
        query = f"select {columns} from outbox where alarm in (?, ?) order by id"
        pages = archive.state.rows(query, (alarm.id, alarm.group or alarm.id) if alarm else ("", ""))
        yield Recorded(row, alarm, tuple(Told(*page) for page in pages))
