"""What state.db holds for the historian: excursions and transitions of alarms in the order of their changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import fields
from typing import Any

from alerts.record.store import StateStore
from historian.judged import Row
from rules.excursion import Excursion

_COLUMNS = [field.name for field in fields(Excursion)]
_NAMED = ", ".join(f'e."{name}"' for name in _COLUMNS)
_NEAR_NS = 1_000
"""Rows of one rule and point whose times are less than this apart are told apart by a ns each."""


class JudgedStore:
    """Implements historian.judged.Judged; `open` opens a reader, one a call: the file may be another one after a failed step."""

    def __init__(self, open: Callable[[], StateStore]) -> None:
        self._open = open

    def newest(self) -> tuple[int, int]:
        with closing(self._open()) as store:
            written = store.rows("select seq from excursions_written order by seq desc limit 1")
            audit = store.rows("select seq from audit order by seq desc limit 1")
        return (written[0][0] if written else 0, audit[0][0] if audit else 0)

    def excursions(self, after: int, limit: int) -> Sequence[Row]:
        """Changed rows, and those that share their rule, point, revision and onset: their times depend on each other."""
        with closing(self._open()) as store:
            changed = store.rows(
                f"select w.seq, {_NAMED} from excursions_written w join excursions e on e.id = w.id and e.revision = w.revision"
                " where w.seq > ? order by w.seq limit ?",
                (after, limit),
            )
            rows = []
            for seq, *columns in changed:
                values = dict(zip(_COLUMNS, columns, strict=True))
                near = store.rows(
                    f"select {_NAMED} from excursions e where point = ? and rule = ? and revision = ? and onset between ? and ?",
                    (values["point"], values["rule"], values["revision"], values["onset"] - _NEAR_NS, values["onset"] + _NEAR_NS),
                )
                near_rows = [dict(zip(_COLUMNS, other, strict=True)) for other in near]
                near_rows.sort(key=lambda row: (row["onset"], int(row["id"][1:])))
                times = apart(row["onset"] for row in near_rows)
                rows += [Row(seq, time, _excursion(row)) for time, row in zip(times, near_rows, strict=True)]
        return rows

    def transitions(self, after: int, limit: int) -> Sequence[Row]:
        """New transitions; those of a rule and point at the same moment get times a ns apart, in their order."""
        with closing(self._open()) as store:
            since, trail = after, "select t.seq, t.at from audit t join alarms a on a.id = t.object"
            # Alarms' rows are in order of time (those of people are not): what happened at the same moment stands just before.
            for first in store.rows(f"{trail} where t.seq > ? order by t.seq limit 1", (after,)):
                earlier = store.rows(f"{trail} where t.seq < ? and t.at < ? order by t.seq desc limit 1", first)
                since = earlier[0][0] if earlier else 0
            changed = store.rows(
                "select t.seq, t.at, t.action, t.old, t.new, t.actor, t.reason, a.id, a.rule, a.point,"
                " coalesce(s.level, a.level), coalesce(s.priority, a.priority)"
                " from audit t left join alarms a on a.id = t.object left join stood s on s.audit = t.seq"
                " where t.seq > ? order by t.seq limit ?",
                (since, after - since + limit),
            )
        last: dict[tuple[str, str], int] = {}
        rows = []
        for seq, at, action, old, new, actor, reason, alarm, rule, point, level, priority in changed:
            if alarm is None:  # about something else than an alarm
                rows.append(Row(seq, at, {}))
                continue
            last[rule, point] = time = max(at, last.get((rule, point), at - 1) + 1)
            columns = {
                "point": point, "rule": rule, "alarm": alarm, "transition": action, "from": _state(old), "to": _state(new),
                "actor": actor, "level": level, "priority": priority, "comment": reason,
            }  # fmt: skip
            rows.append(Row(seq, time, columns))
        return [row for row in rows if row.seq > after]


def _state(described: str) -> str:
    """The state of an alarm without the flags beside it."""
    return described.partition(",")[0]


def _excursion(row: dict[str, Any]) -> dict[str, Any]:
    """By the names of historian.schema: an excursion that is not over has no end, though it may look like one."""
    return row | ({"ended": None} if row["cleared"] is None else {})


def apart(times: Iterable[int]) -> list[int]:
    """Times that do not fall, each later than the one before by a ns at least."""
    result: list[int] = []
    for time in times:
        result.append(max(time, result[-1] + 1) if result else time)
    return result
