"""Who was told of an alarm and who is next, from the outbox and the escalation of the running service."""

from __future__ import annotations

from alerts.duty.course import Course, Notice, go_on
from alerts.duty.roster import Roster, Subject
from alerts.duty.rotation import Override
from alerts.escalation.escalation import NEVER, swaps
from alerts.lifecycle.groups import Groups
from alerts.lifecycle.lifecycle import Alarm
from alerts.lifecycle.standing import Standing
from alerts.record.store import StateStore
from dashboards.telling import Telling, Told

LOOKS = 50
"""So often the course is looked at for the next one to be told: a policy may change with working hours, and a step reach nobody."""
_TOLD = (
    "select o.queued_at, coalesce(max(n.person), ''), o.target, o.attempts, nullif(o.tried_at, 0), o.sent_at, o.detail from outbox o"
    " left join notices n on n.page = o.page_id and n.target = o.target where o.queued_at >= ? and"
    " (o.alarm in (?, ?) or o.page_id in (select page from notices where unit in (?, ?))) group by o.id order by o.id"
)


def telling_of(store: StateStore, alarm: Alarm, roster: Roster, subject: Subject | None) -> Telling:
    """Of an alarm, and of the group that it was told in; `subject` is what is told, None where that is not known any more."""
    units = alarm.id, alarm.group or alarm.id
    names = {person.id: person.name for person in roster.people.values()}
    rows = store.rows(_TOLD, (alarm.raised_at, *units, *units))
    told = tuple(Told(at, names.get(person, person), *rest) for at, person, *rest in rows)
    group = Groups(store, Standing(store)).find(alarm.group)
    update = group.due if group is not None and max(alarm.raised_at, alarm.risen_at or 0) > group.told else None
    going = store.rows("select policy, since, given, due from escalations where unit in (?, ?) and due is not null order by due", units)
    if not going:
        return Telling(told, update=update)
    policy, since, given, due = going[0]
    if subject is None:
        return Telling(told, due, update=update)
    if not alarm.active and roster.policies.get(policy, NEVER).until_returned:
        return Telling(told, update=update)
    due, notices = _next(roster, subject, Course(policy, since, given) if policy else None, due, swaps(store, due))
    return Telling(told, due, tuple(dict.fromkeys(names.get(notice.person, notice.named) for notice in notices)), update)


def _next(
    roster: Roster, subject: Subject, course: Course | None, at: int, made: tuple[Override, ...]
) -> tuple[int | None, tuple[Notice, ...]]:
    """When somebody is told next, and by which notices; None for never again."""
    for _ in range(LOOKS):
        going = go_on(roster, subject, course, at, made)
        if going.notices or going.due is None:
            return (at if going.notices else None), going.notices
        course, at = going.course, going.due
    return at, ()
