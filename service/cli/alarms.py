"""`renrum alarms`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields
from functools import partial
from pathlib import Path
from typing import Any

import click

from alerts.lifecycle.lifecycle import NORMAL, STATES, Alarm
from alerts.lifecycle.standing import alarm_of
from historian.wanted import Wanted
from service.cli.listing import Column, Kind, Listing, out_option
from service.cli.lookups import Asked, lookup_options, nothing
from service.cli.options import json_option
from service.stored.archive import Archive

STANDING = "standing"
_NAMES = tuple(field.name for field in fields(Alarm))
_SHOWN = {
    "id": 1, "state": 1, "priority": 1, "level": 4, "rule": 1, "point": 1, "raised_at": 2, "returned_at": 3, "acknowledged_by": 3,
}  # fmt: skip
_KINDS: dict[str, Kind] = {"late": "flag", "shelved_signed": "flag", "retold": "count"}
_COLUMNS = tuple(
    Column(name.removesuffix("_at"), "time" if name.endswith(("_at", "_until")) else _KINDS.get(name, "text"), _SHOWN.get(name, 0))
    for name in _NAMES
)
_STYLES = {"critical": "bold red", "high": "red", "medium": "yellow"}


@click.command()
@lookup_options
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice([*STATES, STANDING]),
    help=f"Only those in this state; `{STANDING}` is every state but {NORMAL}. Several times for several.",
)
@out_option
@json_option
def alarms(asked: Asked, states: tuple[str, ...], out: Path | None, as_json: bool) -> None:
    """List alarms in the order in which they were raised: one for each excursion, one for all levels of a rule that overlap at a point.

    Those that were raised in the time asked for. `unacknowledged` and `acknowledged`: the condition is there; `latched_…`: it is over and
    waits for a reset; `returned`: it is over and nobody has acknowledged yet; `normal`: over and acknowledged.

    \b
    Examples:
      renrum alarms --state standing
      renrum alarms --last 7d --room cp1 --out week.parquet
      renrum alarms --state unacknowledged --json
    """
    with asked.archive() as archive:
        wanted = asked.wanted(archive)
        chosen = {state for state in STATES if state in states or (STANDING in states and state != NORMAL)} or set(STATES)
        empty = nothing("alarms" + (f" in state {', '.join(states)}" if states else ""), asked, archive)
        rows = map(astuple, _found(archive, wanted, chosen))
        style = partial(_style, _NAMES.index("priority"))
        Listing("alarms", _COLUMNS, archive.zone, rows, empty, style).give(out, as_json)


def _style(priority: int, row: Sequence[Any]) -> str:
    return _STYLES.get(row[priority], "")


def _found(archive: Archive, wanted: Wanted, states: set[str]) -> Iterator[Alarm]:
    where, values = [f"state in ({','.join('?' * len(states))})"], list[Any](sorted(states))
    if wanted.start is not None:
        where.append("raised_at >= ?")
        values.append(wanted.start)
    if wanted.end is not None:
        where.append("raised_at < ?")
        values.append(wanted.end)
    names = ", ".join(f'"{name}"' for name in _NAMES)  # `group` is a word of SQL's
    query = f"select {names} from alarms where {' and '.join(where)} order by raised_at, length(id), id"
    for columns in archive.state.rows(query, values):
        alarm = alarm_of(columns)
        if wanted.points is None or alarm.point in wanted.points:
            yield alarm
