"""What state.db has beside what was evaluated again: row by row, column by column."""

from __future__ import annotations

import json
import sqlite3
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alerts.record.store import StateStore
from alerts.resumption import KEY
from facility.times import format_time
from ingest.journal.flaw import Flaw, Flaws
from ingest.journal.journal import read_only

DIFFERENCES_MAX = 500
_OWN = ("format", "newest", "newest_cursor", "under_way", "sums", KEY)
"""Of `meta` what need not be alike: when it was written depends on starts (docs/verify.md); the sums are counted for themselves."""
_TIMES = {
    "onset", "raised", "ended", "cleared", "raised_at", "returned_at", "acknowledged_at", "risen_at", "at", "realarm_at", "shelved_at",
    "shelved_until", "out_until", "since", "until", "deadline", "missed_at", "told_at", "due", "begun", "over", "queued_at", "next_try",
    "tried_at", "sent_at", "told", "clock",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Table:
    """A table of state.db: what a row of it is to people, and the columns that a row is found by.

    `counted`: a row may be there more than once.
    """

    name: str
    noun: str
    key: tuple[str, ...]
    counted: bool = False


AUDIT = Table("audit", "audit row", ("seq",))
TABLES = (
    Table("excursions", "excursion", ("id", "revision")),
    Table("alarms", "alarm", ("id",)),
    Table("members", "alarm of excursion", ("excursion",)),
    Table("stood", "level at audit row", ("audit",)),
    Table("remarks", "remark of entry", ("entry",)),
    Table("reviews", "review of entry", ("entry",)),
    Table("overrides", "swap of entry", ("entry",)),
    Table("drills", "test of who is on call", ("id",)),
    Table("replies", "reply by mail", ("mail",)),
    Table("outages", "time out of service of", ("point", "since")),
    Table("stays", "state given from the console of", ("place",)),
    Table("alarm_groups", "group of alarms", ("id",)),
    Table("deaths", "end of the source of point", ("point", "at")),
    Table("escalations", "escalation of", ("unit",)),
    Table("notices", "notice", ("id",)),
    Table("annunciations", "annunciation at", ("at", "rule", "point", "raised", "again"), counted=True),
)
OUTBOX = Table("outbox", "page", ("page_id", "target"))
_WORDS = ("subject", "text")


def both_of(recorded: Path, computed: Path) -> sqlite3.Connection:
    """The one as `main`, the other as `computed`; read only."""
    connection = read_only(recorded)
    connection.execute("attach ? as computed", (f"{computed.absolute().as_uri()}?mode=ro",))
    return connection


def compare_tables(both: sqlite3.Connection, flaws: Flaws) -> None:
    """All that is computed, but the audit trail and the pages."""
    for table in TABLES:
        compare_table(both, table, flaws)


def compare_table(both: sqlite3.Connection, table: Table, flaws: Flaws) -> None:
    """Compare all columns of all rows; each row that differs is one flaw."""
    for which, stored, computed in _differing(both, table):
        flaws.add(Flaw(_difference(table, which, stored, computed)))


def compare_progress(recorded: StateStore, computed: StateStore, flaws: Flaws) -> None:
    """What `meta` has: how far it came, what was counted, what is due."""
    stored, again = (dict(store.rows("select key, value from meta")) for store in (recorded, computed))
    for key in sorted((stored.keys() | again.keys()) - {*_OWN}):
        if stored.get(key) != again.get(key):
            flaws.add(Flaw(f"`{key}` of state.db: stored {_told(key, stored.get(key))}, computed {_told(key, again.get(key))}"))


@dataclass(frozen=True, slots=True)
class Reworded:
    """A page that another version wrote, in its words."""

    id: str
    target: str
    text: str


def compare_pages(both: sqlite3.Connection, version: str, proven_at: int | None, flaws: Flaws) -> list[Reworded]:
    """Compare the outbox, pages word by word; gives those that another version wrote, of which the words may be others.

    Not so of pages up to `proven_at`: what was evaluated by then was compared, and kept as it was.
    """
    writers = both.execute("select at, new from computed.audit where action = 'service started' order by seq").fetchall()
    reworded = []
    for which, stored, computed in _differing(both, OUTBOX):
        if stored is None or computed is None:
            flaws.add(Flaw(_difference(OUTBOX, which, stored, computed)))
            continue
        page, again = _page(stored["page"]), _page(computed["page"])
        at = stored["queued_at"]
        begun = bisect_right([moment for moment, _ in writers], at) if isinstance(at, int) else 0
        foreign = begun > 0 and writers[begun - 1][1] != version and (proven_at is None or at > proven_at)
        if foreign and page and again and _without_words(page, again) == _without_words(again, page):
            reworded.append(Reworded(stored["page_id"], stored["target"], stored["page"]))
            computed = computed | {"page": stored["page"]}
        elif page and again and page != again:
            stored, computed = stored | _parts(page, again), computed | _parts(again, page)
            del stored["page"], computed["page"]
        if stored != computed:
            flaws.add(Flaw(_difference(OUTBOX, which, stored, computed)))
    return reworded


def _page(text: object) -> dict[str, Any]:
    """A page as its keys; empty where it is none."""
    try:
        found = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}


def _without_words(page: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """What another version says of the same: facts that both know, and nothing that is said in words."""
    plain = {key: value for key, value in page.items() if key not in _WORDS}
    facts, others = page.get("facts"), other.get("facts")
    if isinstance(facts, dict) and isinstance(others, dict):
        plain["facts"] = {key: value for key, value in facts.items() if key in others}
    return plain


def _parts(page: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a page that are others in another; of facts each."""
    found = {f"page.{key}": page.get(key) for key in sorted(page.keys() | other.keys()) if page.get(key) != other.get(key)}
    facts, others = page.get("facts"), other.get("facts")
    if "page.facts" in found and isinstance(facts, dict) and isinstance(others, dict):
        del found["page.facts"]
        differing = [key for key in sorted(facts.keys() | others.keys()) if facts.get(key) != others.get(key)]
        found |= {f"page.facts.{key}": facts.get(key) for key in differing}
    return found


_Row = dict[str, Any]


def _differing(both: sqlite3.Connection, table: Table) -> list[tuple[tuple[Any, ...], _Row | None, _Row | None]]:
    """The rows that are not alike on both sides: their key, as stored, as computed; each as often as it is there."""
    names = [name for _, name, *_ in both.execute(f"pragma computed.table_info({table.name})")]
    columns = ", ".join(f'"{name}", typeof("{name}")' for name in names)
    order = ", ".join(str(2 * names.index(name) + 1) for name in table.key)
    times, grouped = ("count(*)", f" group by {', '.join(names)}") if table.counted else ("1", "")
    sides = []
    for ours, theirs in (("main", "computed"), ("computed", "main")):
        of_ours, of_theirs = (f"select {columns}, {times} from {side}.{table.name}{grouped}" for side in (ours, theirs))
        rows = both.execute(f"{of_ours} except {of_theirs} order by {order} limit {DIFFERENCES_MAX}")
        found = [dict(zip(names, row[:-1:2], strict=True)) | ({"times": row[-1]} if row[-1] > 1 else {}) for row in rows]
        sides.append({tuple(row[name] for name in table.key): row for row in found})
    stored, computed = sides
    which = sorted(stored.keys() | computed.keys(), key=lambda which: [str(part).zfill(20) for part in which])
    return [(one, stored.get(one), computed.get(one)) for one in which]


def _difference(table: Table, which: tuple[Any, ...], stored: _Row | None, computed: _Row | None) -> str:
    row = stored or computed or {}
    about = [str(row[name]) for name in ("rule", "point", "action", "object") if row.get(name)]
    name = f"{table.noun} {_named(table, which)}" + (f" ({' '.join(about)})" if about else "")
    if stored is None or computed is None:
        when = next((f", {name} {_told(name, row[name])}" for name in ("onset", "raised_at", "queued_at", "at") if name in row), "")
        return f"{name}{when}: {'in state.db, but not' if computed is None else 'not in state.db, but'} among what was evaluated again"
    columns = [name for name in dict.fromkeys((*stored, *computed)) if _typed(stored.get(name)) != _typed(computed.get(name))]
    told = [f"`{column}` stored {_told(column, stored.get(column))}, computed {_told(column, computed.get(column))}" for column in columns]
    return f"{name}: {'; '.join(told)}"


def _named(table: Table, which: tuple[Any, ...]) -> str:
    if table is OUTBOX:
        return f"{which[0]} to {which[1]}"
    first = format_time(which[0]) if table.key[0] in _TIMES and isinstance(which[0], int) else which[0]
    return f"{first}{f' revision {which[1]}' if table.key[1:] == ('revision',) else ''}"


def _typed(value: object) -> tuple[object, type]:
    return value, type(value)


def _told(column: str, value: object) -> str:
    if isinstance(value, bytes):
        return value.hex()[:16] + "…"
    return format_time(value) if column in _TIMES and isinstance(value, int) and value else repr(value)
