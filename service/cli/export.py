"""`renrum export`: stored readings as a recording."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import click

from facility.problems import so_many
from facility.recording.chunk import Chunk, RecordingError
from facility.recording.writer import COLUMNS, RecordingWriter, csv_rows
from facility.times import format_time
from historian.export import exported
from service.cli.lookups import Asked, lookup_options, nothing
from service.cli.options import Refusal, json_option

SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".parquet")


@click.command()
@lookup_options
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help=f"The file to write: {', '.join(SUFFIXES)}. Without it CSV.")
@json_option
def export(asked: Asked, out: Path | None, as_json: bool) -> None:
    """Write the stored readings to a recording file, or as CSV to standard output.

    Columns time,point,value,received,quality,unit, in the order in which readings were received, and the states of rooms and zones as
    <room>/occupancy: `renrum replay` judges the file as the service judged the readings. Values are in the point's unit, the quality is
    the received one. With --start the states that it finds come first.

    \b
    Examples:
      renrum export --last 5m
      renrum export --out all.parquet
      renrum export --last 2h --room cp1 --out cp1.csv
      renrum export --start 2026-11-20 --end 2026-11-21 --out day.csv.gz --data-dir /mnt/backup/data
    """
    if out is None and as_json:
        raise Refusal("--json tells what was written to a file: give --out FILE.")
    if out is not None and not out.name.endswith(SUFFIXES):
        raise Refusal(f"--out: found {str(out)!r}; allowed: a name that ends in {', '.join(SUFFIXES)}.")
    with asked.archive() as archive:
        wanted = asked.wanted(archive)
        chunks = exported(*archive.to_export(wanted), archive.facility_of, wanted)
        first = next(chunks, None)
        if first is None:
            click.echo(nothing("readings", asked, archive), err=True)
            raise SystemExit(1)
        if out is None:
            click.echo(",".join(COLUMNS))
            for chunk in chain([first], chunks):
                click.echo(csv_rows(chunk), nl=False)
            return
        try:
            readings, states = _write(chain([first], chunks), out, archive.head.at)
        except RecordingError as error:
            raise Refusal(str(error)) from None
        until = format_time(archive.head.at)
    if as_json:
        click.echo(json.dumps({"readings": readings, "states": states, "received_until": until, "out": str(out)}))
    else:
        click.echo(f"Wrote {so_many(readings, 'reading')} and {so_many(states, 'state')} of rooms, received until {until}, to {out}.")


def _write(chunks: Iterable[Chunk], out: Path, until: int) -> tuple[int, int]:
    """Write the file; how many readings and states it holds."""
    readings = states = 0
    begun: int | None = None
    with (
        RecordingWriter(out) as writer,
        click.progressbar(length=100, label="Exporting", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar,
    ):
        for chunk in chunks:
            writer.write(chunk)
            readings += len(chunk)
            states += len(chunk.states)
            if chunk.received_span is not None:
                begun = chunk.received_span[0] if begun is None else begun
                bar.update(100 * (chunk.received_span[1] - begun) // max(until - begun, 1) - bar.pos)
        bar.update(100 - bar.pos)
    return readings, states
