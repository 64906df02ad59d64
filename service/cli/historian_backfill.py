"""`renrum historian backfill`."""

from __future__ import annotations

import json
from contextlib import ExitStack, closing
from pathlib import Path

import click

from alerts.record.store import StateUnavailable
from facility.problems import so_many
from historian.backfill import Backfill
from historian.influx import Influx, InfluxFault
from historian.progress import FILE, Progress, ProgressUnavailable
from historian.sender import Sender
from ingest.series.series import SeriesUnavailable
from service.cli.historian import settings_of
from service.cli.lookups import Asked
from service.cli.options import Refusal, config_option, fraction_bar, json_option
from service.clock import SystemClock
from service.historian.feeding import DataDir


@click.command()
@config_option
@click.option("--start", metavar="TIME", help="From this time on: RFC 3339, or local at the site (2026-11-21, 2026-11-21T08:30).")
@click.option("--end", metavar="TIME", help="Before this time.")
@click.option("--last", metavar="SPAN", help="The last 90s, 15m, 2h, 7d before --end, else before now.")
@json_option
def backfill(config: Path, start: str | None, end: str | None, last: str | None, as_json: bool) -> None:
    """Write what was measured in a period from the journal into InfluxDB once more, with minutes, hours, excursions and alarms.

    What is there already stays the same, so it may be repeated at will, beside a running service or without one. The service itself fills
    a new bucket from the journal's beginning; this is for what was lost in InfluxDB, or refused, and for data that came before a mend.

    \b
    Examples:
      renrum historian backfill --start 2026-11-01 --end 2026-11-08
      renrum historian backfill --last 2d --json
    """
    settings, target = settings_of(config)
    clock = SystemClock()
    asked = Asked(config, None, start, end, last)
    with asked.archive() as archive:
        period = asked.period(archive.zone)
        upto = archive.head.seq
    try:
        with ExitStack() as opened:
            sources = opened.enter_context(closing(DataDir(settings.data_dir)))
            progress = opened.enter_context(closing(Progress(settings.data_dir / FILE)))
            influx = opened.enter_context(Influx(target))
            sender = Sender(influx, progress, clock.now_ns)
            with fraction_bar("Writing") as told:
                Backfill(sources, sender, upto, *period).run(clock.now_ns(), told)
    except (InfluxFault, ProgressUnavailable, StateUnavailable, SeriesUnavailable) as error:
        raise Refusal(f"{error}. What was written so far stays; run it again when that is mended.") from None
    if as_json:
        click.echo(json.dumps({"lines": sender.written, "refused": sender.refused, "beyond_retention": sender.beyond}))
        return
    click.echo(f"Wrote {so_many(sender.written, 'line')} to {target.name}.")
    if sender.beyond:
        click.echo(f"{so_many(sender.beyond, 'line')} older than the bucket keeps.")
    if sender.refused:
        click.echo(f"{so_many(sender.refused, 'line')} refused: `renrum historian status` shows them.", err=True)
        raise SystemExit(1)
