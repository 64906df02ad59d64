"""What a change would have done to a recording or to a journal: both sides side by side, and the sums of their differences."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, groupby
from pathlib import Path
from zoneinfo import ZoneInfo

from alerts.judging.backtest import Backtest
from alerts.judging.derivation import ReadingsOf
from alerts.judging.outages import outages_by_number
from alerts.judging.replay import Found, Replay
from facility.document import did_you_mean, one_of
from facility.problems import ConfigurationError, Problem
from facility.recording import Chunk
from facility.site import Facility
from historian.wanted import Wanted
from ingest.journal.journal import JournalReader
from ingest.series.series import SeriesReader
from rules.copies import Deaths
from rules.difference import (
    ADDED,
    FLAPS,
    MOVED,
    REMOVED,
    Difference,
    delay_sets,
    differences,
    hidden_ns,
    lasting_ns,
    most_within_an_hour,
)  # fmt: skip
from rules.excursion import CURRENT, Excursion
from rules.occupancy import occupancy_of
from rules.plan import SETTLE_NS, Plan, plan_of
from rules.recovery import at_rest_since
from rules.rule import Rule
from rules.trial import AFTER, BEFORE, RuleSet, changed_rules, parted, side_by_side
from service.configuration.changing import Change
from service.configuration.judging import Judging
from service.configuration.judging_files import JudgingFiles
from service.stored.archive import SERIES, Archive
from service.stored.readers import Readers
from service.stored.readings import StoredReadings

DAY_NS = 86_400 * 10**9
LEAD = 4
"""So many times the longest duration of the rules are judged before the period, at least a day: what is under way at its start."""


Progress = Callable[[float], None]


@dataclass(slots=True)
class Sums:
    """Excursions before and after a change, and how long they lasted, from onset to ended."""

    before: int = 0
    after: int = 0
    removed: int = 0
    moved: int = 0
    added: int = 0
    before_ns: int = 0
    after_ns: int = 0

    def add(self, one: Difference, clock: int) -> None:
        self.removed += one.what == REMOVED
        self.moved += one.what == MOVED
        self.added += one.what == ADDED
        if one.before is not None:
            self.before += 1
            self.before_ns += lasting_ns([one.before], clock)
        if one.after is not None:
            self.after += 1
            self.after_ns += lasting_ns([one.after], clock)


@dataclass(slots=True)
class Delayed:
    """What a longer delay of a rule would have left: excursions, how much of the breach it hides, how much longer it stands."""

    excursions: int = 0
    hidden_ns: int = 0
    longer_ns: int = 0


@dataclass
class Impact:
    """The excursions of both sides on disk until `close`; sums by (rule, room, week). Times are int ns UTC."""

    facility: Facility
    changed: frozenset[str]
    alike: int
    found: Found
    start: int | None = None
    end: int | None = None
    clock: int = 0
    origin: str = ""
    notes: list[str] = field(default_factory=list)
    sums: dict[tuple[str, str, str], Sums] = field(default_factory=dict)
    flapping: dict[tuple[str, str, str], int] = field(default_factory=dict)
    """By rule, point and side (before or after): the most excursions within an hour, where they flap."""
    delays: dict[tuple[str, str], Delayed] = field(default_factory=dict)
    """By rule and delay; the delay is empty for the rule as it is after the change."""

    def differences(self) -> Iterator[Difference]:
        """Each excursion of a changed rule before and after, by point, rule and onset."""
        for _, sets in self._by_pair():
            yield from differences(sets.get(BEFORE, ()), sets.get(AFTER, ()))

    def tally(self) -> None:
        """Count the differences by rule, room and week, what flaps, and what delays spare."""
        zone = ZoneInfo(self.facility.site.timezone)
        for (rule, point), sets in self._by_pair():
            for one in differences(sets.get(BEFORE, ()), sets.get(AFTER, ())):
                row = one.either
                self.sums.setdefault((rule, row.room, week_of(row.onset, zone)), Sums()).add(one, self.clock)
            for side in (BEFORE, AFTER):
                most = most_within_an_hour(sets.get(side, []))
                if most >= FLAPS:
                    self.flapping[rule, point, side] = most
            as_is = sets.get(AFTER, [])
            for (which, name), delayed in self.delays.items():
                if which == rule:
                    rows = sets.get(name or AFTER, [])
                    delayed.excursions += len(rows)
                    delayed.hidden_ns += hidden_ns(as_is, rows, self.clock)
                    delayed.longer_ns += hidden_ns(rows, as_is, self.clock)

    def _by_pair(self) -> Iterator[tuple[tuple[str, str], dict[str, list[Excursion]]]]:
        """By rule and point: the excursions of each rule set that lie in the period, by onset."""
        rows = (row for row in self.found.by_point() if self._inside(row))
        for (point, rule), mine in groupby(rows, key=lambda row: (row.point, parted(row.rule)[1])):
            sets: dict[str, list[Excursion]] = {}
            for row in mine:
                sets.setdefault(parted(row.rule)[0], []).append(replace(row, rule=rule))
            yield (rule, point), sets

    def _inside(self, row: Excursion) -> bool:
        return (self.end is None or row.onset < self.end) and (self.start is None or row.ended is None or row.ended > self.start)


def week_of(at: int, zone: ZoneInfo) -> str:
    """The ISO week of a time at the site: 2026-W47."""
    year, week, _ = datetime.fromtimestamp(at // 10**9, UTC).astimezone(zone).isocalendar()
    return f"{year}-W{week:02}"


def _rule_set(judging: Judging) -> RuleSet:
    return RuleSet(judging.rules, judging.tables)


def _plan(facility: Facility, rules: RuleSet, numbers: dict[str, int], at: int | None = None) -> Plan:
    return plan_of(facility, rules.rules, rules.tables, numbers, "", at)


def from_recording(
    sources: JudgingFiles,
    change: Change,
    delays: Sequence[str],
    chunks: Callable[[Facility], Iterable[Chunk]],
    folder: Path,
    progress: Progress,
) -> Impact:
    """What a change of these sources would have done to a recording, in one pass over it; its files lie in `folder`.

    Raises ConfigurationError, RecordingError, OSError, sqlite3.Error.
    """
    before, after = sources.judging(), change.over(sources)
    facility = before.facility
    numbers = {point.id: number for number, point in enumerate(facility.points)}
    sets = {BEFORE: _rule_set(before), AFTER: _rule_set(after)}
    changed = changed_rules(*(_plan(facility, one, numbers) for one in sets.values()))
    changed |= _delayed(sets[AFTER], delays)
    longer = delay_sets(sets[AFTER], delays)
    both = {name: one.only(changed) for name, one in sets.items()} | longer
    replay = Replay(_plan(facility, side_by_side(both), numbers), folder)
    for chunk in chunks(facility):
        replay.take(chunk)
        progress(chunk.done / 2)
    replay.judge(lambda done: progress(0.5 + done / 2))
    alike = len({rule.id for rule in (*before.rules, *after.rules)} - changed)
    impact = Impact(facility, changed, alike, replay.found(), clock=replay.clock or 0, origin="the recording", delays=_untried(longer))
    impact.notes += _not_told(replay, [rule for one in both.values() for rule in one.rules])
    impact.tally()
    return impact


def _not_told(replay: Replay, rules: Sequence[Rule]) -> Iterator[str]:
    """What rules need that the recording does not have, so that they find nothing in it."""
    kinds = {rule.kind for rule in rules}
    if "clock_ahead" in kinds and not replay.sums.quarantined.get("clock_ahead"):
        yield "no reading of the recording is ahead of its arrival, as clock_ahead asks: what was refused for that is in no export"
    if "state" in kinds and not replay.told_states:
        yield "the recording tells no states of rooms (rows of the point ROOM/occupancy), which is what rules of the kind state judge"


def _untried(longer: Mapping[str, RuleSet]) -> dict[tuple[str, str], Delayed]:
    rules = dict.fromkeys(rule.id for one in longer.values() for rule in one.rules)
    return {(rule, name): Delayed() for rule in rules for name in ["", *(name for name, one in longer.items() if one.only([rule]).rules)]}


def _delayed(rules: RuleSet, names: Sequence[str]) -> frozenset[str]:
    """The rules whose delays are tried; raises ConfigurationError for one that there is not."""
    found = {name: [rule.id for rule in rules.rules if name in (rule.id, rule.alarm)] for name in names}
    for name, ids in found.items():
        if not ids:
            known = tuple(dict.fromkeys(rule.alarm or rule.id for rule in rules.rules))
            raise ConfigurationError([Problem(f"--delays {name}", 0, "", repr(name), one_of(known), did_you_mean(name, known))])
    return frozenset(chain.from_iterable(found.values()))


def from_journal(archive: Archive, change: Change, delays: Sequence[str], wanted: Wanted, folder: Path, progress: Progress) -> Impact:
    """What a change would have done in a period of a journal; a service may go on writing it.

    Before is what is on record: judged by each configuration in its time. After is the change laid over each of them. Raises
    ConfigurationError, ArchiveUnavailable, StateUnavailable, OSError, sqlite3.Error.
    """
    clock = int(archive.state.get("clock", 0))
    end = clock + 1 if wanted.end is None else min(clock + 1, wanted.end)
    begun = archive.configurations[0][0].at
    start = begun if wanted.start is None else max(wanted.start, begun)
    judged = [JudgingFiles.journalled(body.entry).judging() for _, body in archive.configurations]
    newest = len(judged) - 1
    afters = [
        change.over(JudgingFiles.journalled(body.entry), lenient=number < newest) for number, (_, body) in enumerate(archive.configurations)
    ]
    moments = [entry.at for entry, _ in archive.configurations]
    plans = [
        [_plan(one.facility, _rule_set(one), archive.number_of, at) for at, one in zip(moments, side, strict=True)]
        for side in (judged, afters)
    ]
    changed = frozenset(chain.from_iterable(changed_rules(old, new) for old, new in zip(*plans, strict=True)))
    changed |= _delayed(_rule_set(afters[-1]), delays)
    epochs = []
    for at, one in zip(moments, afters, strict=True):
        rules = _rule_set(one)
        sets = {AFTER: rules.only(changed)} | delay_sets(rules, delays)
        epochs.append((at, _plan(one.facility, side_by_side(sets), archive.number_of, at)))
    found = Found(folder / "found.db")
    recorded = [row for row in _recorded(archive, changed, start, end) if _asked_for(wanted, row)]
    found.add(replace(row, rule=f"{BEFORE}/{row.rule}") for row in recorded)
    numbers = {number for id_, number in archive.number_of.items() if wanted.points is None or id_ in wanted.points}
    facility = afters[-1].facility
    first = start - max(lead_ns(plan) for _, plan in epochs)
    _judge(
        archive,
        epochs,
        numbers,
        recorded,
        (first, end, clock),
        lambda rows: found.add(row for row in rows if _asked_for(wanted, row)),
        progress,
    )
    alike = len({rule.id for one in (*judged[-1:], *afters[-1:]) for rule in one.rules} - changed)
    origin = f"the journal in {archive.data_dir}"
    impact = Impact(facility, changed, alike, found, start, end, clock, origin, delays=_untried(delay_sets(_rule_set(afters[-1]), delays)))
    if len(epochs) > 1:
        since = sum(start < at < end for at in moments)
        impact.notes.append(f"{since + 1} configuration{'s were' if since else ' was'} in force; the change is laid over each")
    impact.tally()
    return impact


def _recorded(archive: Archive, changed: Iterable[str], start: int, end: int) -> Iterator[Excursion]:
    for rule in sorted(changed):
        where = "rule = ? and status = ? and onset < ? and (ended is null or ended > ?)"
        yield from archive.state.excursions(where, (rule, CURRENT, end, start))


def lead_ns(plan: Plan) -> int:
    """How long before a period judging must begin, for what is under way at its start."""
    return max([DAY_NS, *(LEAD * span for span in _longest(plan))])


def _longest(plan: Plan) -> Iterator[int]:
    """The longest duration of each rule at any of its points."""
    for pairs in (*plan.groups, plan.stale):
        for rule, point in zip(pairs.rules, pairs.points, strict=True):
            for key in ("on_delay", "off_delay", "after", "window", "duration", "within"):
                if duration := getattr(rule, key, None):
                    yield duration.of(point.period_ns)


def _judge(
    archive: Archive,
    epochs: list[tuple[int, Plan]],
    numbers: set[int],
    recorded: list[Excursion],
    period: tuple[int, int, int],
    add: Callable[[Iterable[Excursion]], None],
    progress: Progress,
) -> None:
    """Judge each point from before the period, and before what stood on record at its start."""
    first, end, clock = period
    earliest: dict[str, int] = {}
    for row in recorded:
        earliest[row.point] = min(earliest.get(row.point, first), row.onset - 1)
    path = archive.journal.path
    with (
        closing(Readers(lambda: SeriesReader(archive.data_dir / SERIES))) as series,
        closing(Readers(lambda: JournalReader(path))) as journal,
    ):
        stored = StoredReadings(series, journal)
        states = {place: list(known) for place, known in stored.states().items()}
        names = {number: id_ for id_, number in archive.number_of.items()}
        for _, plan in epochs:
            for number, since in at_rest_since(plan, occupancy_of(plan.facility, states), first).items():
                earliest[names[number]] = min(earliest.get(names[number], first), since - DAY_NS)
        outages, deaths = outages_by_number(archive.state, archive.number_of), Deaths(archive.state.deaths())
        backtest = Backtest(epochs, archive.number_of, states, stored.slices, outages, deaths)
        readings = ReadingsOf(stored.first, epochs, clock - SETTLE_NS)
        points = [number for number in backtest.points if number in numbers]
        for done, number in enumerate(points):
            begin = earliest.get(names[number], first)
            add(backtest.judge(number, readings.slices(number, begin), clock, end))
            progress((done + 1) / (len(points) + backtest.judges_silence + backtest.judges_clocks))
        on_arrival = {rule.id for _, plan in epochs for rule in (*plan.stale.rules, *(rule for rule, _ in plan.ahead))}
        since = min([first, *(row.onset - 1 for row in recorded if row.rule in {parted(id_)[1] for id_ in on_arrival})])
        seq = max(archive.before(since), archive.configurations[0][0].seq - 1)
        for judges, along in ((backtest.judges_silence, backtest.silences), (backtest.judges_clocks, backtest.clocks)):
            if judges:
                add(along(archive.journal.entries(seq, archive.state.get("cursor", 0))))
        add(backtest.stays(clock))
    progress(1.0)


def _asked_for(wanted: Wanted, row: Excursion) -> bool:
    """Whether the points asked for have it; of the states of rooms and zones those of the rooms that hold them."""
    if wanted.points is None or row.point in wanted.points:
        return True
    return row.point.endswith("/occupancy") and row.room in (wanted.places or ())
