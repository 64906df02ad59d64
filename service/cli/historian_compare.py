"""`renrum historian compare`."""

from __future__ import annotations

import json
from dataclasses import asdict

import click

from facility.problems import so_many
from facility.times import format_time
from historian.influx import Influx, InfluxFault
from historian.progress import ProgressUnavailable
from service.cli.historian import settings_of
from service.cli.lookups import Asked, lookup_options
from service.cli.options import Refusal, fraction_bar, json_option
from service.clock import SystemClock
from service.historian.comparing import Comparing

SHOWN = 50


@click.command()
@lookup_options
@json_option
def compare(asked: Asked, as_json: bool) -> None:
    """Compare the readings of the journal with those in InfluxDB by point and UTC day: how many, and a sum over what each says.

    A reading that is missing, too many, or changed in value, quality or time of arrival is found. What is older than the bucket keeps is
    not compared. Works beside a running service. Exit code 1 when anything differs.

    \b
    Examples:
      renrum historian compare
      renrum historian compare --last 7d --point 'cp1.*'
      renrum historian compare --start 2026-11-01 --end 2026-12-01 --json
    """
    _, target = settings_of(asked.config)
    clock = SystemClock()
    try:
        with asked.archive() as archive, Influx(target, reading=True) as influx, fraction_bar("Comparing") as told:
            comparing = Comparing(archive, influx, asked.wanted(archive), archive.facility.site.id, clock.sleep)
            found = comparing.run(clock.now_ns(), told)
    except (InfluxFault, ProgressUnavailable) as error:
        raise Refusal(str(error)) from None
    if as_json:
        document = asdict(found) | {"equal": not found.differences}
        document["start"] = None if found.start is None else format_time(found.start)
        document["differences"] = [asdict(row) | {"day": format_time(row.day)[:10]} for row in found.differences]
        click.echo(json.dumps(document))
    else:
        for row in found.differences[:SHOWN]:
            what = ", ".join(row.fields)
            click.echo(f"{format_time(row.day)[:10]} {row.point}: {row.journal} in the journal, {row.influxdb} in InfluxDB; {what} differ")
        if len(found.differences) > SHOWN:
            click.echo(f"… and {len(found.differences) - SHOWN} more; --json has all of them")
        since = "" if found.start is None else f" since {format_time(found.start)}"
        verdict = f"{so_many(len(found.differences), 'day')} of points with differences" if found.differences else "equal"
        click.echo(f"{so_many(found.readings, 'reading')}{since} compared with {target.name}: {verdict}.")
        if found.behind:
            click.echo(f"The feed is behind by {so_many(found.behind, 'entry')} of the journal, which were not compared.", err=True)
        if found.refused:
            click.echo(f"InfluxDB refused {so_many(found.refused, 'line')}: `renrum historian status` shows them.", err=True)
    if found.differences:
        if not as_json:
            click.echo(
                "`renrum historian backfill` writes what is missing or changed; what is too much can be deleted in InfluxDB.", err=True
            )
        raise SystemExit(1)
