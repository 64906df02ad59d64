"""`renrum quarantine`: what was acknowledged and could not be taken as a reading, whole."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from facility.document import did_you_mean, one_of
from ingest.admission import REASONS
from ingest.arrivals import Quarantined, Reason
from ingest.entries import INGEST, ingest_body
from service.archive import Archive
from service.cli.listing import Column, Listing, out_option
from service.cli.lookups import Asked, lookup_options, matches, nothing
from service.cli.options import Refusal, json_option

COLUMNS = (
    Column("received", "time", 1),
    Column("reason", shown=1),
    Column("topic", "prose", 1),
    Column("detail", "prose", 1),
    Column("payload", "prose", 2),
    Column("encoding"),
)
_SUMMARY = (Column("reason", shown=1), Column("count", "count", 1), Column("first", "time", 2), Column("newest", "time", 2))
_SHORT = 80


@click.command()
@lookup_options
@click.option(
    "--reason", "reasons", multiple=True, metavar="REASON", help="Only for this reason, such as conflict; several times for several."
)
@click.option("--summary", is_flag=True, help="Only how many there are for each reason, and the first and the newest.")
@out_option
@json_option
def quarantine(asked: Asked, reasons: tuple[str, ...], summary: bool, out: Path | None, as_json: bool) -> None:
    """List what lies in quarantine: received, but not understood or not admitted, with the reason.

    The payload is given whole, as text where it is UTF-8, else as base64; `encoding` says which. --start and --end are of the time it was
    received; --room and --point look into the topic, as what is unknown lies here too.

    \b
    Examples:
      renrum quarantine --summary
      renrum quarantine --reason conflict --last 24h
      renrum quarantine --point 'cp1.*' --out cp1.csv
    """
    _check(reasons)
    with asked.archive() as archive:
        empty = nothing("quarantined messages", asked, archive)
        pieces = _found(archive, asked, reasons)
        if summary:
            Listing("reasons", _SUMMARY, archive.zone, _summed(pieces), empty).give(out, as_json)
            return
        rows = (_cells(received, piece) for received, piece in pieces)
        Listing("quarantined", COLUMNS, archive.zone, rows, empty, shorten=_SHORT).give(out, as_json)


def _check(reasons: Sequence[str]) -> None:
    known = tuple(sorted({*Reason, *REASONS.values()}))
    for reason in reasons:
        if reason not in known:
            raise Refusal(f"--reason: there is no reason {reason!r}. {did_you_mean(reason, known) or f'There are {one_of(known, 40)}.'}")


def _found(archive: Archive, asked: Asked, reasons: Sequence[str]) -> Iterator[tuple[int, Quarantined]]:
    """Pieces with the time they were received, int ns UTC, in journal order."""
    start, end = asked.period(archive.zone)
    after = 0 if start is None else archive.before(start)
    upto = archive.head.seq if end is None else archive.before(end)
    for entry in archive.journal.entries(after, upto, (INGEST,)):
        for piece in ingest_body(entry).quarantine:
            if (not reasons or piece.reason in reasons) and _addressed(piece.topic, asked):
                yield entry.at, piece


def _addressed(topic: str, asked: Asked) -> bool:
    if not asked.rooms and not asked.points:
        return True
    levels = (topic.split("/") + [""] * 4)[:4]
    return matches(levels[2], asked.rooms) and matches(levels[3], asked.points)


def _cells(received: int, piece: Quarantined) -> list[Any]:
    try:
        payload, encoding = piece.payload.decode(), "text"
    except UnicodeDecodeError:
        payload, encoding = base64.b64encode(piece.payload).decode(), "base64"
    return [received, piece.reason, piece.topic, piece.detail, payload, encoding]


def _summed(pieces: Iterator[tuple[int, Quarantined]]) -> list[list[Any]]:
    counts: Counter[str] = Counter()
    first: dict[str, int] = {}
    newest: dict[str, int] = {}
    for received, piece in pieces:
        counts[piece.reason] += 1
        first.setdefault(piece.reason, received)
        newest[piece.reason] = received
    return [[reason, count, first[reason], newest[reason]] for reason, count in counts.most_common()]
