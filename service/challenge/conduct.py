"""The challenge from its first test to its last: what is chosen, sent, waited for, and compared."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from facility.problems import so_many
from facility.reading import QUALITIES
from facility.site import SECOND_NS, Point
from facility.wire import Published
from rules.rule import Rule
from rules.selecting import OF_INSTRUMENTS, watched, within_ns
from service.challenge.ahead import challenge_ahead
from service.challenge.compared import Findings, outcome_of
from service.challenge.drivers import DRIVERS, OF_PLACES, ON_ARRIVAL, made, subjects
from service.challenge.hastened import Hastened
from service.challenge.instance import BATCH, Instance, head_of
from service.challenge.meaning import selects
from service.challenge.recovery_cases import NO_TIME
from service.challenge.schedule import Schedule, scheduled
from service.challenge.silence import challenge_silence
from service.challenge.stays import challenge_stays, challenge_waiting, places_of, room_for_waiting
from service.challenge.subject import FAIL, NOT_APPLICABLE, NOT_TESTED, PASS, Gap, Outcome, Trial
from service.clock import Clock
from service.configuration.configuration import Configuration

TOLERANCE_NS = SECOND_NS // 10
"""How far tests stay from a delay."""


@dataclass(frozen=True)
class Chosen:
    """A rule, the points that it selects, and those of them that it is challenged at."""

    rule: Rule
    selected: tuple[Point, ...]
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Record:
    """What was done and what came of it; times int ns UTC of the machine, `span` of the readings' own times."""

    outcomes: tuple[Outcome, ...]
    chosen: tuple[Chosen, ...]
    begun: int
    ended: int
    span: tuple[int, int] | None
    sent: int
    lost: int
    broker: str
    journal: tuple[int, str]
    config: str
    pages: int
    strangers: tuple[str, ...]


def choose(configuration: Configuration, sample: int | None, at: int, only: Callable[[Rule], bool] = lambda _: True) -> tuple[Chosen, ...]:
    """The rules, each at all its points or at so many of them, spread evenly over the facility."""
    found = []
    for rule in configuration.rules:
        facility = configuration.facility
        points = [facility.state_points[place.id] for place in watched(rule, facility)] if rule.kind == "state" else facility.points
        selected = [point for point in points if selects(rule, point)]
        selected = [point for point in selected if point.retired_ns is None or point.retired_ns > at]
        if only(rule):
            found.append(Chosen(rule, tuple(selected), tuple(_spread(selected, sample))))
    return tuple(found)


def _spread(points: Sequence[Point], count: int | None) -> list[Point]:
    if count is None or count >= len(points):
        return list(points)
    return [points[index * len(points) // count] for index in range(count)]


def conduct(
    configuration: Configuration,
    folder: Path,
    clock: Clock,
    chosen: Sequence[Chosen],
    *,
    tolerance_ns: int = TOLERANCE_NS,
    challenged: Configuration | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Record:
    """Challenge an instance in `folder`, and return what came of it.

    What has to come is taken from `configuration`; the instance is given `challenged` instead, if there is one: that is how the challenge
    itself is challenged. Raises Hangs and what a service raises that cannot start.
    """
    begun = clock.now_ns()
    facility = configuration.facility
    outcomes, trials = _planned(configuration, chosen, tolerance_ns)
    stays = [(one.rule, one.points) for one in chosen if one.rule.kind in OF_PLACES and one.points]
    end = begun - room_for_waiting(places_of(facility, stays))
    schedule = scheduled(trials, facility, end)
    outcomes += [_gap(trial.subject.rule, trial.subject.point, gap, trial.subject.state) for trial, gap in schedule.refused]
    hastened = Hastened(clock)
    with Instance(challenged or configuration, folder, hastened) as instance:
        broker, config = instance.broker_kind, instance.configuration.judging_hash

        def findings() -> Findings:
            return _findings(instance)

        # Before all else: what is said of rooms must not make readings be judged again.
        outcomes += challenge_stays(
            instance, facility, stays, schedule.states[0][0] if schedule.states else end, tolerance_ns, findings, say
        )
        outcomes += _by_times(instance, schedule, say)
        outcomes += challenge_waiting(instance, facility, stays, findings, say)

        silent = [(one.rule, point) for one in chosen if one.rule.kind == "stale" for point in one.points if _driven(one.rule, point)]
        outcomes += challenge_silence(instance, silent, findings, say)
        ahead = [(one.rule, _measured(one.points), _measured(one.selected)) for one in chosen if one.rule.kind == "clock_ahead"]
        ahead = [one for one in ahead if one[1]]
        outcomes += challenge_ahead(instance, ahead, findings, say)
        sent, pages = instance.sent, instance.pages()
        lost = sent - instance.pipeline.intake.sums.received + instance.pipeline.intake.sums.lost
        known = set(instance.alarm_of().values())
    strangers = tuple(page["subject"] for page in pages if page["alarm"] not in known)
    order = {one.rule.id: number for number, one in enumerate(chosen)}
    outcomes.sort(key=lambda outcome: (order[outcome.rule], outcome.point, outcome.status == NOT_APPLICABLE))
    spans = [outcome.span for outcome in outcomes if outcome.span is not None]
    span = (min(first for first, _ in spans), max(last for _, last in spans)) if spans else None
    return Record(
        tuple(outcomes), tuple(chosen), begun, clock.now_ns(), span, sent, lost, broker, head_of(folder), config, len(pages), strangers
    )  # fmt: skip


def _planned(configuration: Configuration, chosen: Sequence[Chosen], tolerance_ns: int) -> tuple[list[Outcome], list[Trial]]:
    """The tests, and a line for each rule, point or case that none is made for."""
    outcomes: list[Outcome] = []
    trials: list[Trial] = []
    for one in chosen:
        rule = one.rule
        if not one.points:
            outcomes.append(Outcome(rule.id, "", "rule", "the rule at its points", NOT_APPLICABLE, "no point in use is selected by it"))
            continue
        if rule.kind in OF_PLACES:
            continue
        if rule.kind not in DRIVERS and rule.kind not in ON_ARRIVAL:
            reason = f"no test is known for rules of the kind {rule.kind}"
            outcomes += [Outcome(rule.id, point.id, "rule", "the rule at the point", NOT_TESTED, reason) for point in one.points]
            continue
        for point in one.points:
            if point.derived is not None and rule.kind in OF_INSTRUMENTS:
                reason = "the point is computed of others, and rules of this kind judge instruments"
                outcomes.append(Outcome(rule.id, point.id, "rule", "the rule at the point", NOT_APPLICABLE, reason))
            elif not _counts(rule, point):
                reason = "it counts in periods, and the point declares none: it does not judge the point"
                outcomes.append(Outcome(rule.id, point.id, "rule", "the rule at the point", NOT_APPLICABLE, reason))
            elif rule.kind == "recovery" and not within_ns(rule, point, configuration.facility):
                outcomes.append(Outcome(rule.id, point.id, "rule", "the rule at the point", NOT_APPLICABLE, NO_TIME))
            elif rule.kind in DRIVERS:
                for subject in subjects(rule, point, configuration.facility, configuration.tables, tolerance_ns):
                    for test in made(subject):
                        if isinstance(test, Trial):
                            trials.append(test)
                        else:
                            outcomes.append(_gap(rule, point, test, subject.state))
    return outcomes, trials


def _measured(points: Sequence[Point]) -> tuple[Point, ...]:
    return tuple(point for point in points if point.derived is None)


def _driven(rule: Rule, point: Point) -> bool:
    return point.derived is None and _counts(rule, point)


def _counts(rule: Rule, point: Point) -> bool:
    """Whether the rule's durations mean something at the point."""
    durations = (rule.on_delay, rule.off_delay, rule.max_gap, rule.after, rule.window, rule.duration, rule.within)
    return point.period_ns is not None or not any(duration is not None and duration.periods for duration in durations)


def _gap(rule: Rule, point: Point, gap: Gap, state: str) -> Outcome:
    return Outcome(rule.id, point.id, gap.case, gap.title, gap.status, gap.reason, state)


def _by_times(instance: Instance, schedule: Schedule, say: Callable[[str], None]) -> list[Outcome]:
    """All tests that are judged on the times of readings: first what arrives in time, then what arrives late."""
    for time, state in schedule.states:
        instance.state(time, state)
    for trial in schedule.trials:
        for at, state in trial.states:
            instance.state(trial.begin + at, state, [trial.subject.point.place])
    for late in (False, True):
        streams = _streams(schedule.trials, late)
        count = sum(len(readings) for readings in streams.values())
        if not count:
            continue
        say(f"{so_many(count, 'reading')} of {so_many(len(streams), 'point')}{', late' if late else ''}")
        # In the order of time, so that what is computed of several points finds them all.
        parts = [(readings[first].time, point, first) for point, readings in streams.items() for first in range(0, len(readings), BATCH)]
        for _, point, first in sorted(parts):
            instance.send(point, streams[point][first : first + BATCH])
        instance.settle()
    findings = _findings(instance)
    return [outcome_of(trial, findings) for trial in schedule.trials]


def _streams(trials: Sequence[Trial], late: bool) -> dict[str, list[Published]]:
    """What each point sends, in the order of time."""
    found: dict[str, list[Published]] = {}
    for trial in trials:
        for sample in trial.samples:
            if sample.late is late:
                quality = sample.quality if sample.quality in QUALITIES else ""
                reading = Published(trial.begin + sample.at, sample.value, quality=quality)
                found.setdefault(sample.point or trial.subject.point.id, []).append(reading)
    for readings in found.values():
        readings.sort(key=lambda reading: reading.time)
    return found


def _findings(instance: Instance) -> Findings:
    paged: dict[str, set[str]] = {}
    for page in instance.pages():
        paged.setdefault(page["alarm"], set()).add(str(page["facts"].get("rule")))
    return Findings(instance.excursions(), instance.alarm_of(), {alarm: frozenset(rules) for alarm, rules in paged.items()})


def counted(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many lines of each status."""
    return {status: sum(outcome.status == status for outcome in outcomes) for status in (PASS, FAIL, NOT_TESTED, NOT_APPLICABLE)}
