"""`renrum oncall who`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from alerts.duty.roster import Roster
from alerts.duty.rotation import FOREVER, Override  # fmt: skip
from alerts.duty.rotation import who as on_duty
from service.cli.listing import Column, Listing, out_option
from service.cli.lookups import time_of
from service.cli.options import config_option, json_option
from service.clock import SystemClock
from service.configuration.configuration import load_configuration
from service.duty.overrides import overrides_in

COLUMNS = (
    Column("rotation", shown=1),
    Column("person", shown=1),
    Column("name", shown=3),
    Column("until", "time", shown=2),
    Column("instead_of", shown=4),
    Column("next", shown=5),
)


@click.command()
@config_option
@click.option("--at", "at_text", metavar="TIME", help="At this time: RFC 3339, or local at the site (2026-12-24T20:00); now unless given.")
@out_option
@json_option
def who(config: Path, at_text: str | None, out: Path | None, as_json: bool) -> None:
    """Show who has the duty in each rotation, until when, and who follows.

    Swaps that were made in the console count, where the data_dir can be read.

    \b
    Examples:
      renrum oncall who
      renrum oncall who --at 2026-12-24T20:00
      renrum oncall who --json
    """
    configuration = load_configuration(config, os.environ)
    zone = ZoneInfo(configuration.facility.site.timezone)
    at = SystemClock().now_ns() if at_text is None else time_of("--at", at_text, zone)
    rows = _rows(configuration.oncall.roster, at, overrides_in(configuration.settings.data_dir))
    empty = "There is no rotation: docs/on-call.md shows how to write one."
    Listing("duties", COLUMNS, zone, rows, empty).give(out, as_json)


def _rows(roster: Roster, at: int, overrides: tuple[Override, ...]) -> Iterator[tuple[Any, ...]]:
    made = (*roster.overrides, *overrides)
    for rotation in roster.rotations.values():
        duty = on_duty(rotation, at, made)
        name = roster.people[duty.person].name if duty.person is not None else "nobody"
        until = None if duty.until == FOREVER else duty.until
        following = None if until is None else on_duty(rotation, until, made).person or "nobody"
        yield rotation.id, duty.person, name, until, duty.instead_of, following
