"""Pages of what state.db holds: excursions, alarms, audit rows.

A cursor names the last item of its page, so that nothing is skipped or repeated while more is added.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TypeVar

from alerts.lifecycle.lifecycle import ACTIVE, Alarm
from alerts.lifecycle.standing import COLUMNS as ALARM_COLUMNS
from alerts.lifecycle.standing import alarm_of
from alerts.record.audit import RULE, SEEN, AuditRow
from alerts.record.store import StateStore
from dashboards.counts import TargetCounts
from dashboards.standing import GroupView
from dashboards.views import LEVELS_FIRST, STANDING, WAITING, AlarmQuery, AuditEntry, AuditQuery, ExcursionQuery, Page
from rules.excursion import CURRENT, Excursion
from rules.rule import PRIORITIES

_FLAG = {"shelved": " and shelved_until is not null", "suppressed": " and suppressed != ''", "out_of_service": " and out_until is not null"}
_WAITS = f"state in {WAITING} and shelved_until is null and suppressed = '' and out_until is null"
_AUDIT = ", ".join(field.name for field in fields(AuditRow))
Row = TypeVar("Row")
_NUMBER = "cast(substr(id, 2) as integer)"
"""The number in an id such as A12; ids are given out in order."""


def excursions(store: StateStore, query: ExcursionQuery, limit: int, cursor: str | None) -> Page[Excursion]:
    """In order of onset, rule, point; a ValueError for a cursor of another question."""
    order = ("onset", "rule", "point", "id", "revision")
    conditions, values = _overlapping(query)
    if cursor is not None:
        id, revision = _place(query, cursor, 2)
        last = store.excursions("id = ? and revision = ?", (id, _integer(revision)))
        if not last:
            raise _foreign(cursor)
        conditions.append(f"({', '.join(order)}) {'<' if query.newest_first else '>'} ({', '.join('?' * len(order))})")
        values += [getattr(last[0], name) for name in order]
    direction = "desc" if query.newest_first else "asc"
    ordered = ", ".join(f"{name} {direction}" for name in order)
    chosen = f"select id, revision from excursions where {' and '.join(conditions) or '1'} order by {ordered} limit ?"
    rows = store.excursions(f"(id, revision) in ({chosen})", (*values, limit + 1))
    rows.sort(key=lambda row: tuple(getattr(row, name) for name in order), reverse=query.newest_first)
    return _page(rows, limit, query, lambda row: (row.id, str(row.revision)))


def open_excursions(store: StateStore) -> list[Excursion]:
    """The excursions that are open."""
    return store.excursions("status = ? and cleared is null", (CURRENT,))


def alarms_of(store: StateStore, excursions: Collection[str]) -> list[str]:
    """The ids of the alarms that excursions have (alerts/alarms.py)."""
    ids = json.dumps([*excursions])
    members = dict(store.rows("select excursion, alarm from members where excursion in (select value from json_each(?))", (ids,)))
    return [members.get(id, f"A{id[1:]}") for id in excursions]


def alarms(store: StateStore, query: AlarmQuery, limit: int, cursor: str | None) -> Page[tuple[Alarm, Excursion]]:
    """Alarms as asked for, each with the newest revision of its excursion, the newest raised first."""
    states = tuple(sorted(set(query.states)))
    wanted = (states, query.flag, query.room, query.group)
    condition, values = f"state in ({', '.join('?' * len(states))}){_FLAG.get(query.flag, '')}", list[object](states)
    if query.group:
        condition += ' and "group" = ?'
        values.append(query.group)
    if query.room:
        condition += " and exists (select 1 from excursions where excursions.id = alarms.excursion and excursions.room = ?)"
        values.append(query.room)
    total = int(store.rows(f"select count(*) from alarms where {condition}", values)[0][0])
    if cursor is not None:
        (id,) = _place(wanted, cursor, 1)
        last = store.rows(f"select raised_at, {_NUMBER} from alarms where id = ?", (id,))
        if not last:
            raise _foreign(cursor)
        condition += f" and (raised_at, {_NUMBER}) < (?, ?)"
        values += last[0]
    rows = store.rows(
        f"select {ALARM_COLUMNS} from alarms where {condition} order by raised_at desc, {_NUMBER} desc limit ?", (*values, limit + 1)
    )
    return replace(_page(_with_excursions(store, rows), limit, wanted, lambda row: (row[0].id,)), total=total)


def foremost(store: StateStore, limit: int) -> list[tuple[Alarm, Excursion]]:
    """The alarms that stand and need a person first: those that wait, what lasts, by priority, level, the newest first."""
    rows = store.rows(
        f"select {ALARM_COLUMNS} from alarms where state in ({_marks(STANDING)})"
        f" order by not ({_WAITS}), state not in {ACTIVE}, {_ranked('priority', PRIORITIES)},"
        f" {_ranked('level', LEVELS_FIRST)}, raised_at desc, {_NUMBER} desc"
        " limit ?",
        (*STANDING, limit),
    )
    return _with_excursions(store, rows)


def groups_standing(store: StateStore) -> list[GroupView]:
    """What of each group stands, and waits; alarms by themselves are together, without an id."""
    return [
        GroupView(*row)
        for row in store.rows(
            f"select coalesce(g.id, ''), coalesce(g.kind, ''), coalesce(g.name, ''), count(*), sum({_WAITS}) from alarms"
            f' left join alarm_groups g on g.id = alarms."group" where state in ({_marks(STANDING)}) group by 1',
            STANDING,
        )
    ]


def acknowledged_together(store: StateStore, group: str, by: str, at: int | None) -> int:
    """How many alarms of a group a person acknowledged at a moment."""
    condition = 'select count(*) from alarms where "group" = ? and acknowledged_by = ? and acknowledged_at = ?'
    return int(store.rows(condition, (group, by, at))[0][0])


def alarms_by_id(store: StateStore, ids: Iterable[str]) -> list[tuple[Alarm, Excursion]]:
    """Those of the alarms that there are, each with the newest revision of its excursion."""
    rows = store.rows(f"select {ALARM_COLUMNS} from alarms where id in (select value from json_each(?))", (json.dumps(list(ids)),))
    return _with_excursions(store, rows)


def audit(store: StateStore, query: AuditQuery, limit: int, cursor: str | None) -> Page[AuditEntry]:
    """Rows as asked for, each with point and rule of what it is about; a ValueError for a cursor of another question."""
    conditions, values = ["at >= ?", "at < ?"], list[object]()
    values += [-(1 << 63) if query.start is None else query.start, (1 << 63) - 1 if query.end is None else query.end]
    if query.about:
        conditions.append("object = ?")
        values.append(query.about)
    if query.words:
        text = query.words.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        columns = ("actor", "action", "object", "old", "new", "reason", "e.point", RULE)
        conditions.append("(" + " or ".join(f"{column} like ? escape '\\'" for column in columns) + ")")
        values += [f"%{text}%"] * len(columns)
    if cursor is not None:
        conditions.append("seq < ?" if query.newest_first else "seq > ?")
        values.append(_integer(_place(query, cursor, 1)[0]))
    direction = "desc" if query.newest_first else "asc"
    shown = f"{_AUDIT}, lower(hex(hash)), coalesce(e.point, ''), {RULE}"
    statement = f"select {shown} from {SEEN} where {' and '.join(conditions)} order by seq {direction} limit ?"
    rows = store.rows(statement, (*values, limit + 1))
    return _page([AuditEntry(*row) for row in rows], limit, query, lambda row: (str(row.number),))


def begun(store: StateStore, otherwise: int) -> int:
    """When the audit trail begins, ns UTC."""
    rows = store.rows("select at from audit order by seq limit 1")
    return int(rows[0][0]) if rows else otherwise


@dataclass(frozen=True, slots=True)
class Tallies:
    """Alarms that are not done, by (priority, state); pages by target."""

    alarms: Mapping[tuple[str, str], int]
    pages: Mapping[str, TargetCounts]


def tallies(store: StateStore, now: int) -> Tallies:
    """What state.db counts; `now` (int ns UTC) is what the age of a page is counted to."""
    found = store.rows(
        f"select priority, state, count(*) from alarms where state in ({_marks(STANDING)}) group by priority, state", STANDING
    )
    pages = {}
    oldest = "min(case when sent_at is null then queued_at end)"
    rows = store.rows(f"select target, count(*), count(sent_at), sum(attempts), {oldest} from outbox group by target")
    for target, queued, sent, attempts, since in rows:
        age_s = 0.0 if since is None else max(0, now - since) / 1e9
        pages[target] = TargetCounts(queued - sent, age_s, attempts, sent)
    return Tallies({(priority, state): number for priority, state, number in found}, pages)


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * len(values))


def _ranked(column: str, order: Sequence[str]) -> str:
    """A column as its place in an order of our own; what is not in it comes last."""
    ranks = " ".join(f"when '{name}' then {rank}" for rank, name in enumerate(order))
    return f"case {column} {ranks} else {len(order)} end"


def _overlapping(query: ExcursionQuery) -> tuple[list[str], list[object]]:
    asked: list[tuple[str, object]] = [
        ("onset < ?", query.end),
        ("(ended is null or ended > ?)", query.start),
        ("room = ?", query.room),
        ("point = ?", query.point),
        ("status = ?", None if query.include_all else CURRENT),
    ]
    given = [(condition, value) for condition, value in asked if value is not None]
    return [condition for condition, _ in given], [value for _, value in given]


def _with_excursions(store: StateStore, rows: Iterable[tuple[object, ...]]) -> list[tuple[Alarm, Excursion]]:
    found = list(map(alarm_of, rows))
    ids = json.dumps([alarm.excursion for alarm in found])
    # In order of revision within an id: the last one stays.
    revisions = sorted(store.excursions("id in (select value from json_each(?))", (ids,)), key=lambda row: row.revision)
    newest = {row.id: row for row in revisions}
    return [(alarm, newest[alarm.excursion]) for alarm in found if alarm.excursion in newest]


def _page(rows: Sequence[Row], limit: int, question: object, place: Callable[[Row], tuple[str, ...]]) -> Page[Row]:
    """The first `limit` rows, and a cursor where there are more: the last row's place, and a mark of the question that it belongs to."""
    if len(rows) <= limit:
        return Page(tuple(rows))
    return Page(tuple(rows[:limit]), "-".join((_mark(question), *place(rows[limit - 1]))))


def _place(question: object, cursor: str, parts: int) -> list[str]:
    mark, *place = cursor.split("-")
    if mark != _mark(question) or len(place) != parts:
        raise _foreign(cursor)
    return place


def _mark(question: object) -> str:
    return f"{zlib.crc32(repr(question).encode()):08x}"


def _integer(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise _foreign(text)
    return int(text)


def _foreign(cursor: str) -> ValueError:
    return ValueError(f"{cursor!r} is no cursor of this question")
