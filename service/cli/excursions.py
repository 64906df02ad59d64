"""`renrum excursions`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click

from historian.wanted import Wanted
from rules.excursion import COLUMNS, CURRENT, Excursion
from service.cli.listing import Column, Listing, out_option
from service.cli.lookups import Asked, lookup_options, nothing
from service.cli.options import json_option
from service.stored.archive import Archive

_SHOWN = {"rule": 1, "point": 1, "onset": 1, "peak": 2, "ended": 3, "level": 4, "limit": 5, "unit": 5, "id": 6, "readings": 6}
_KINDS: dict[str, Any] = {
    **dict.fromkeys(("onset", "raised", "ended", "cleared"), "time"),
    **dict.fromkeys(("peak", "limit"), "number"),
    **dict.fromkeys(("readings", "revision"), "count"),
    "late": "flag",
}
EXCURSION_COLUMNS = tuple(Column(name, _KINDS.get(name, "text"), _SHOWN.get(name, 0)) for name in COLUMNS)


@click.command()
@lookup_options
@click.option("--all", "everything", is_flag=True, help="Revised and superseded ones too, beside the current.")
@click.option("--open", "only_open", is_flag=True, help="Only those that are not over.")
@out_option
@json_option
def excursions(asked: Asked, everything: bool, only_open: bool, out: Path | None, as_json: bool) -> None:
    """List excursions: what was out of limits, from when to when.

    Current ones that overlap the time asked for. A table on a terminal, CSV with every column into a pipe or a file, sorted by onset, rule,
    point. The columns are those of docs/rules.md.

    \b
    Examples:
      renrum excursions --last 24h
      renrum excursions --room bsc1 --start 2026-11-01 --end 2026-12-01 --out november.csv
      renrum excursions --all --json
    """
    with asked.archive() as archive:
        wanted = asked.wanted(archive)
        rows = found(archive, wanted, everything=everything, only_open=only_open)
        columns = [
            Column(column.name, column.kind, 1 if everything and column.name == "status" else column.shown) for column in EXCURSION_COLUMNS
        ]
        listing = Listing(
            "excursions", columns, archive.zone, map(_cells, rows),
            empty=nothing("excursions", asked, archive),
            style=lambda row: _STYLES.get(row[COLUMNS.index("level")], ""),
            write=partial(_write, rows),
        )  # fmt: skip
        listing.give(out, as_json)


_STYLES = {"action": "red", "alert": "yellow"}


def found(archive: Archive, wanted: Wanted, *, everything: bool = False, only_open: bool = False) -> Iterator[Excursion]:
    """Excursions that overlap start..end, of the points, sorted by onset, rule, point."""
    where, values = ["1"], list[object]()
    if not everything:
        where.append("status = ?")
        values.append(CURRENT)
    if only_open:
        where.append("cleared is null")
    if wanted.end is not None:
        where.append("onset < ?")
        values.append(wanted.end)
    if wanted.start is not None:
        where.append("(ended is null or ended > ?)")
        values.append(wanted.start)
    for row in archive.state.excursions(" and ".join(where), values):
        if wanted.points is None or row.point in wanted.points:
            yield row


def _write(rows: Iterable[Excursion], path: Path) -> int:
    from alerts.judging.excursion_file import write_excursions  # loads pyarrow

    return write_excursions(path, rows)


def _cells(row: Excursion) -> list[Any]:
    return [getattr(row, name) for name in COLUMNS]
