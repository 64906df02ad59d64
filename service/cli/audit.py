"""`renrum audit`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from alerts.record.audit import RULE, SEEN
from service.cli.listing import Column, Listing, out_option
from service.cli.lookups import Asked, lookup_options, matches, nothing
from service.cli.options import json_option
from service.stored.archive import Archive

_COLUMNS = (
    Column("number", "count", 1),
    Column("at", "time", 1),
    Column("actor", "prose", 1),
    Column("action", shown=1),
    Column("object", "prose", 1),
    Column("old", "prose", 2),
    Column("new", "prose", 2),
    Column("reason", "prose", 1),
    Column("entry", "count"),
    Column("hash"),
    Column("point", shown=1),
    Column("rule", shown=1),
)


@click.command()
@lookup_options
@click.option("--actor", "actors", multiple=True, metavar="GLOB", help="Only what was done by these; `renrum` is what the rules do.")
@click.option("--action", "actions", multiple=True, metavar="GLOB", help="Only these actions, such as acknowledge or 'configuration*'.")
@out_option
@json_option
def audit(asked: Asked, actors: tuple[str, ...], actions: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """List the audit trail: who changed what, when, from what to what, and why; nothing in it is ever changed.

    Each entry's hash covers the entry and the hash before it, and `entry` is the entry of the journal that it comes from: `renrum verify`
    proves both. `point` and `rule` are those of the alarm or excursion that the object names. --room and --point look into the object, and
    at where that alarm or excursion is.

    \b
    Examples:
      renrum audit --last 30d --out november.csv
      renrum audit --actor 'Karin*' --action acknowledge
      renrum audit --action 'configuration*' --json
    """
    with asked.archive() as archive:
        empty = nothing("entries of the audit trail", asked, archive)
        Listing("entries", _COLUMNS, archive.zone, _found(archive, asked, actors, actions), empty).give(out, as_json)


def _found(archive: Archive, asked: Asked, actors: tuple[str, ...], actions: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    start, end = asked.period(archive.zone)
    low, high = (-(1 << 63) if start is None else start), ((1 << 63) - 1 if end is None else end)
    places = [f"*{place}*" for place in (*asked.rooms, *asked.points)]
    query = (
        f"select seq, at, actor, action, object, old, new, reason, entry, lower(hex(hash)), coalesce(e.point, ''), {RULE},"
        f" object || coalesce(' ' || e.point || ' ' || e.room || ' ' || e.zone, '') from {SEEN} where at >= ? and at < ? order by seq"
    )
    for *row, where in archive.state.rows(query, (low, high)):
        if matches(row[2], actors) and matches(row[3], actions) and matches(where, places):
            yield tuple(row)
