"""An explanation in words for people, and as one document for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any
from zoneinfo import ZoneInfo

from alerts.judging.outages import Outage
from facility.durations import Duration
from facility.problems import so_many
from facility.site import SECOND_NS
from facility.times import format_time, local_time
from rules.promptness import Term, total_ns
from service.explanation.explaining import (
    AT_WORK,
    HEARD,
    INSIDE,
    NOTHING,
    OPEN,
    OUR_CLOCK,
    RECOVERED,
    RECOVERING,
    SILENT,
    UNJUDGED,
    WAITING,
    Applied,
    Explanation,
    Recorded,
)
from service.impact.report import columns

_LATE_NS = 60 * 10**9


def lines(told: Explanation, zone: ZoneInfo) -> Iterator[str]:
    """What the point is and what applies to it, the verdicts, the readings one by one, what is on record, the worst cases."""
    point = told.point
    where = f"{point.zone} in {point.room}" if point.zone else point.room
    grade = f", grade {point.grade}" if point.grade else ""
    period = f"every {Duration(point.period_ns)}" if point.period_ns else "no period declared"
    yield f"{point.id}: {point.name or point.quantity} in {point.unit or 'no unit'}, {where}{grade}, {period}"
    force = f"configuration {told.config[:12]} in force since {local_time(told.config_since, zone)}"
    yield f"at {local_time(told.at, zone)} ({zone.key}); {force}"
    since = f" since {local_time(told.state_since, zone)}" if told.state_since is not None else ", as the facility file says"
    as_if = f"; limits still those of {told.limits_state} (clean_up)" if told.limits_state != told.state else ""
    yield f"{point.place} was {told.state}{since}{as_if}"
    if not told.applied:
        yield ""
        yield f"No rule judges it{f': unmonitored, {point.unmonitored}' if point.unmonitored else ''}. So there is no alarm, ever."
        return
    if told.outage is not None:
        since, until = local_time(told.outage.since, zone), local_time(told.outage.until, zone)
        yield f"It was out of service from {since} until {until}, by {told.outage.by}: {told.outage.reason}. Its readings were not judged."
    for one in told.applied:
        yield ""
        yield from _rule(one, told, zone)
    yield ""
    yield from _steps(told, zone)
    yield from on_record(told.recorded, told.at, zone, "point")


def _rule(one: Applied, told: Explanation, zone: ZoneInfo) -> Iterator[str]:
    rule = one.rule
    delays = [
        f"{name} {value}" for name in ("on_delay", "off_delay", "max_gap", "after") if (value := getattr(rule, name)) and str(value) != "0s"
    ]
    deadband = [f"deadband {rule.deadband:g}"] if rule.deadband else []
    within = [] if one.within is None else [f"within {one.within} of the change to at_rest"]
    yield f"{rule.id} ({rule.kind}, {rule.level}, {rule.priority}) {', '.join([*deadband, *delays, *within])}".rstrip()
    for limits in one.limits:
        sides = [f"{name} {value:g}" for name, value in (("below", limits.below), ("above", limits.above)) if value is not None]
        if not sides and not limits.states:
            continue  # the kind has none
        here = " ← then" if told.limits_state in limits.states and len(one.limits) > 1 else ""
        yield f"  {' or '.join(sides) or 'not judged'}{' in ' if limits.states else ''}{', '.join(limits.states)}{here}"
    yield f"  then: {conclusion(one, told, zone)}"
    yield f"  worst case from breach to page: {sum_of(one.terms)}{_declared(one, told)}"


def conclusion(one: Applied, told: Explanation, zone: ZoneInfo) -> str:
    """Why there was an alarm at that time, or why not."""
    stood, unit = one.standing, told.point.unit
    value = "" if stood.value is None else f"{stood.value:.6g} {unit}".rstrip()
    since, until = local_time(stood.since, zone), local_time(stood.until, zone)
    if one.rule.kind == "clock_ahead":  # also of a point that is out of service
        return _of_clock(one, told, zone)
    if told.outage is not None:
        return "no alarm: the point was out of service"
    if stood.what == OPEN:
        late = f", after {_span(stood.until - stood.since)}" if stood.until > stood.since else " at once"
        out = "nothing came" if one.rule.after is not None else "out"
        return f"an excursion was open: {out} since {since}, raised {until}{late}"
    if stood.what == WAITING:
        asked = Duration(stood.until - stood.since)
        return f"no alarm: out since {since} (newest reading {value}), but on_delay asks for {asked}: until {until}"
    if stood.what == INSIDE:
        return f"no alarm: the newest reading, {value} at {since}, is inside"
    if stood.what == RECOVERING:
        asked = Duration(stood.until - stood.since)
        return f"no alarm: at rest since {since}, and not yet inside (newest reading {value}), but {asked} are given: until {until}"
    if stood.what == RECOVERED:
        return f"no alarm: at rest since {since}, and recovered: last inside at {until} (newest reading {value})"
    if stood.what == AT_WORK:
        return f"no alarm: {told.point.place} was not at rest after another state (newest reading {value})"
    if stood.what == UNJUDGED:
        return f"no alarm: in the state {told.limits_state} nothing is specified, so the newest reading, {value} at {since}, is not judged"
    if stood.what == SILENT:
        return f"no alarm: nothing came since {since}, due by {until}, but that time was not all spent listening"
    if stood.what == HEARD and not stood.until:
        return f"no alarm: last received {since}; it reports on change, and its source has not said that it ended"
    if stood.what == HEARD:
        return f"no alarm: last received {since}; silent only after {until}"
    assert stood.what == NOTHING
    return "no alarm: there is no reading in the day before, and silence alone raises only rules of kind stale"


def _of_clock(one: Applied, told: Explanation, zone: ZoneInfo) -> str:
    stood = one.standing
    since, until = local_time(stood.since, zone), local_time(stood.until, zone)
    if stood.what == OPEN:
        return f"an excursion was open: its readings were refused as ahead since {since}, raised {until}"
    if stood.what == OUR_CLOCK:
        return f"no alarm of the point: our own clock was behind since {since}, told once for all points at {until}"
    if stood.what == WAITING:
        return f"no alarm: its readings are refused as ahead since {since}; raised when nothing was stored by {until}"
    return f"no alarm: no reading was refused as more than {Duration(told.point.max_ahead_ns)} ahead since the last that was stored"


def _span(ns: int) -> str:
    """A span as people read it: `1m12s`, `20m32s`, `2h`; tenths of a second only below a minute."""
    if ns < 60 * SECOND_NS:
        return f"{round(ns / SECOND_NS, 1):g}s"
    seconds = round(ns / SECOND_NS)
    parts = ((seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "m"), (seconds % 60, "s"))
    return "".join(f"{count}{unit}" for count, unit in parts if count)


def sum_of(terms: tuple[Term, ...]) -> str:
    """The whole time, and its terms."""
    total = total_ns(terms)
    parts = " + ".join(f"{term.name} {'unknown' if term.ns is None else Duration(term.ns)}" for term in terms)
    return f"{'unknown' if total is None else _span(total)} = {parts}"


def _declared(one: Applied, told: Explanation) -> str:
    declared, total = one.rule.notify_within, total_ns(one.terms)
    if declared is None:
        return ""
    kept = total is not None and total <= declared.of(told.point.period_ns)
    return f"; notify_within {declared} {'holds' if kept else 'cannot be kept'}"


def _steps(told: Explanation, zone: ZoneInfo) -> Iterator[str]:
    if not told.steps:
        yield "No readings in the day before."
        return
    rules = sorted({rule for step in told.steps for rule in step.verdicts})
    cells = [("", "time", "value", "quality", *rules)]
    for number, step in enumerate(told.steps):
        last = step.time <= told.at and (number + 1 == len(told.steps) or told.steps[number + 1].time > told.at)
        unknown = step.time <= told.at < step.received
        late = f", received {local_time(step.received, zone)}" if unknown or step.received - step.time > _LATE_NS else ""
        verdicts = (step.verdicts.get(rule, "") for rule in rules)
        cells.append(("→" if last else "", local_time(step.time, zone), f"{step.value:.6g}", f"{step.quality}{late}", *verdicts))
    yield from columns(cells, len(cells[0]))


def on_record(recorded: Sequence[Recorded], at: int, zone: ZoneInfo, what: str) -> Iterator[str]:
    """The excursions on record, their alarms and pages."""
    yield ""
    if not recorded:
        yield f"On record: no excursion of this {what} then, nor in the day before."
    for one in recorded:
        row = one.excursion
        ended = "open" if row.ended is None else f"to {local_time(row.ended, zone)}"
        worst = "" if row.peak is None else f", worst {row.peak:.6g} {row.unit}".rstrip()
        late = ", found in late readings" if row.late else ""
        span = f"from {local_time(row.onset, zone)} {ended}, raised {local_time(row.raised, zone)}"
        yield f"On record: {row.id} of {row.rule} {span}{worst}{late}"
        yield from _alarm(one, at, zone)


def _alarm(one: Recorded, at: int, zone: ZoneInfo) -> Iterator[str]:
    if one.alarm is None:
        return
    alarm = one.alarm
    known = " (later than the time asked for)" if alarm.raised_at > at else ""
    yield f"  alarm {alarm.id} since {local_time(alarm.raised_at, zone)}{known}, now {alarm.state}"
    if alarm.acknowledged_at is not None:
        comment = f": {alarm.comment}" if alarm.comment else ""
        yield f"  acknowledged {local_time(alarm.acknowledged_at, zone)} by {alarm.acknowledged_by}{comment}"
    if not one.pages:
        why = f"a flag or a group kept it back, or oncall.yaml sends it to nobody: see `renrum oncall preview {alarm.id}`"
        yield f"  nobody was told: {why}"
    for page in one.pages:
        if page.sent is not None:
            yield f"  page to {page.target}: written {local_time(page.queued, zone)}, taken {local_time(page.sent, zone)}"
        else:
            tries = f"{so_many(page.attempts, 'try')}{f', {page.detail}' if page.detail else ''}"
            yield f"  page to {page.target}: written {local_time(page.queued, zone)}, not taken yet after {tries}"
        yield f"    {page.subject}"


def document(told: Explanation) -> dict[str, Any]:
    """The explanation as JSON has it."""
    return {
        "point": told.point.id,
        "at": format_time(told.at),
        "config": told.config,
        "config_since": format_time(told.config_since),
        "state": told.state,
        "limits_state": told.limits_state,
        "rules": [
            {
                "rule": one.rule.id,
                "kind": one.rule.kind,
                "level": one.rule.level,
                "limits": [asdict(limits) for limits in one.limits],
                "within": None if one.within is None else str(one.within),
                "standing": one.standing.what,
                "says": conclusion(one, told, ZoneInfo("UTC")),
                "worst_case_ns": total_ns(one.terms),
                "terms": [asdict(term) for term in one.terms],
                "notify_within": None if one.rule.notify_within is None else str(one.rule.notify_within),
            }
            for one in told.applied
        ],
        "readings": [
            {
                "time": format_time(step.time),
                "received": format_time(step.received),
                "value": step.value if step.value == step.value else None,
                "quality": step.quality,
                "verdicts": step.verdicts,
            }
            for step in told.steps
        ],
        "out_of_service": None if told.outage is None else _outage(told.outage),
        "excursions": [document_of(one) for one in told.recorded],
    }


def _outage(outage: Outage) -> dict[str, Any]:
    return {"since": format_time(outage.since), "until": format_time(outage.until), "by": outage.by, "reason": outage.reason}


def document_of(one: Recorded) -> dict[str, Any]:
    """An excursion on record as JSON has it."""
    row, alarm = one.excursion, one.alarm
    times = {name: None if (at := getattr(row, name)) is None else format_time(at) for name in ("onset", "raised", "ended", "cleared")}
    pages = [
        {"target": page.target, "queued": format_time(page.queued), "sent": None if page.sent is None else format_time(page.sent)}
        | {"attempts": page.attempts, "detail": page.detail, "subject": page.subject}
        for page in one.pages
    ]
    known = None if alarm is None else {"id": alarm.id, "state": alarm.state, "raised_at": format_time(alarm.raised_at)}
    return {"id": row.id, "rule": row.rule, "late": row.late, "peak": row.peak, **times, "alarm": known, "pages": pages}
