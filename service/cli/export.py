"""`renrum export`: stored readings as a recording."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from facility.recording.writer import RecordingWriter
from facility.times import format_time
from historian.export import exported
from service.cli.lookups import Asked, Refusal, lookup_options, nothing
from service.cli.options import json_option

SUFFIXES = (".csv", ".csv.gz", ".csv.xz", ".parquet")


@click.command()
@lookup_options
@click.option("--out", required=True, type=click.Path(dir_okay=False, path_type=Path), help=f"The file to write: {', '.join(SUFFIXES)}.")
@json_option
def export(asked: Asked, out: Path, as_json: bool) -> None:
    """Write the stored readings to a recording file.

    Columns time,point,value,received,quality,unit, in the order in which readings were received, and the states of rooms and zones as
    <room>/occupancy: `renrum replay` judges the file as the service judged the readings. Values are in the point's unit, the quality is
    the received one. With --start the states that it finds come first.

    \b
    Examples:
      renrum export --out all.parquet
      renrum export --last 2h --room cp1 --out cp1.csv
      renrum export --start 2026-11-20 --end 2026-11-21 --out day.csv.gz --data-dir /mnt/backup/data
    """
    if not out.name.endswith(SUFFIXES):
        raise Refusal(f"--out: found {str(out)!r}; allowed: a name that ends in {', '.join(SUFFIXES)}.")
    with asked.archive() as archive:
        entries, states = archive.to_export(asked.wanted(archive))
        chunks = exported(entries, archive.facility_of, asked.wanted(archive), states)
        first = next(chunks, None)
        if first is None:
            click.echo(nothing("readings", asked, archive), err=True)
            raise SystemExit(1)
        written = {"readings": 0, "states": 0}
        span = first.received_span
        head = archive.head
        with (
            RecordingWriter(out) as writer,
            click.progressbar(length=head.at - span[0] if span else 1, label="Exporting", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar,
        ):
            chunk: object
            while first is not None:
                chunk, first = first, next(chunks, None)
                writer.write(chunk)
        said = written | {"out": str(out), "upto": format_time(head.at)}
    click.echo(json.dumps(said) if as_json else f"Wrote {said['readings']} readings to {out}.")
