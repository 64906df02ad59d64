"""`renrum quarantine`: what was acknowledged and could not be taken as a reading, whole."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from facility.document import did_you_mean, one_of
from ingest.admission.readmission import KNOWN, Id, Record, Wanted, records, taken_before
from ingest.journal.journal import Entry
from service.cli.listing import Column, Listing, out_option
from service.cli.lookups import Asked, lookup_options, matches, nothing
from service.cli.options import Refusal, json_option
from service.cli.readmit import readmit
from service.readmitting import known_to
from service.stored.archive import STATE, Archive

COLUMNS = (
    Column("id", shown=1),
    Column("received", "time", 1),
    Column("reason", shown=1),
    Column("topic", "prose", 1),
    Column("detail", "prose", 1),
    Column("payload", "prose", 2),
    Column("encoding"),
    Column("readmitted", "time", 2),
)
_SUMMARY = (
    Column("reason", shown=1),
    Column("count", "count", 1),
    Column("readmitted", "count", 2),
    Column("first", "time", 2),
    Column("newest", "time", 2),
)
_SHORT = 80


@click.group(invoke_without_command=True)
@lookup_options
@click.option(
    "--reason", "reasons", multiple=True, metavar="REASON", help="Only for this reason, such as conflict; several times for several."
)
@click.option("--summary", is_flag=True, help="Only how many there are for each reason, and the first and the newest.")
@out_option
@json_option
def quarantine(asked: Asked, reasons: tuple[str, ...], summary: bool, out: Path | None, as_json: bool) -> None:
    """List what lies in quarantine: received, but not understood or not admitted, with the reason; take it in again.

    The payload is given whole, as text where it is UTF-8, else as base64; `encoding` says which. --start and --end are of the time it was
    received; --room and --point look into the topic, as what is unknown lies here too. What was taken in again stays in the list, and
    `readmitted` says when; --summary counts it apart.

    \b
    Examples:
      renrum quarantine --summary
      renrum quarantine --reason conflict --last 24h
      renrum quarantine --point 'cp1.*' --out cp1.csv
      renrum quarantine readmit point_unknown --reason "table of tags completed" --dry-run
    """
    if click.get_current_context().invoked_subcommand is not None:
        return
    _check(reasons)
    with asked.archive() as archive:
        gone = _taken(archive)
        empty = nothing("quarantined messages", asked, archive)
        pieces = _found(archive, asked, reasons)
        if summary:
            Listing("reasons", _SUMMARY, archive.zone, _summed(pieces, gone), empty).give(out, as_json)
            return
        rows = (_cells(record, gone) for record in pieces)
        Listing("quarantined", COLUMNS, archive.zone, rows, empty, shorten=_SHORT).give(out, as_json)


def _check(reasons: Sequence[str]) -> None:
    for reason in reasons:
        if reason not in KNOWN:
            raise Refusal(f"--reason: there is no reason {reason!r}. {did_you_mean(reason, KNOWN) or f'There are {one_of(KNOWN, 40)}.'}")


def _taken(archive: Archive) -> dict[Id, Entry]:
    """Records that were taken in again, and the entries that did."""
    if not (archive.data_dir / STATE).is_file():
        return taken_before(archive.journal, (), 0)
    cursor = int(archive.state.get("cursor", 0))
    return taken_before(archive.journal, known_to(archive.state), cursor)


def _found(archive: Archive, asked: Asked, reasons: Sequence[str]) -> Iterator[Record]:
    """In journal order."""
    start, end = asked.period(archive.zone)
    after = 0 if start is None else archive.before(start)
    upto = archive.head.seq if end is None else archive.before(end)
    wanted = Wanted(reasons=tuple(reasons))
    return (record for record in records(archive.journal, wanted, (), after, upto) if _addressed(record.piece.topic, asked))


def _addressed(topic: str, asked: Asked) -> bool:
    if not asked.rooms and not asked.points:
        return True
    levels = (topic.split("/") + [""] * 4)[:4]
    return matches(levels[2], asked.rooms) and matches(levels[3], asked.points)


def _cells(record: Record, gone: Mapping[Id, Entry]) -> list[Any]:
    piece = record.piece
    try:
        payload, encoding = piece.payload.decode(), "text"
    except UnicodeDecodeError:
        payload, encoding = base64.b64encode(piece.payload).decode(), "base64"
    again = gone.get(record.id)
    return [record.name, record.at, piece.reason, piece.topic, piece.detail, payload, encoding, None if again is None else again.at]


def _summed(found: Iterator[Record], gone: Mapping[Id, Entry]) -> list[list[Any]]:
    counts: Counter[str] = Counter()
    again: Counter[str] = Counter()
    first: dict[str, int] = {}
    newest: dict[str, int] = {}
    for record in found:
        reason = record.piece.reason
        (again if record.id in gone else counts)[reason] += 1
        first.setdefault(reason, record.at)
        newest[reason] = record.at
    return [[reason, counts[reason], again[reason], first[reason], newest[reason]] for reason, _ in (counts + again).most_common()]


quarantine.add_command(readmit)
