"""`renrum explain`."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import click

from dashboards.monitor import MonitorUnavailable
from facility.document import did_you_mean, one_of
from facility.files import Files, Unreadable
from facility.problems import ConfigurationError
from facility.site import SECOND_NS
from service.cli.lookups import Asked, time_of
from service.cli.options import Refusal, configuration_path, json_option
from service.explaining import explain as explained
from service.explanation_report import document, lines
from service.settings import read_settings


@click.command()
@click.argument("point")
@click.option("--at", "moment", metavar="TIME", help="The time in question: RFC 3339, or local at the site.  [default: newest]")
@click.option("--readings", type=click.IntRange(1, 10_000), default=12, show_default=True, help="Show so many readings up to then.")
@click.option("--config", type=click.Path(path_type=Path), help="The renrum.yaml that names the data_dir.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The data_dir itself, such as a copy.")
@json_option
def explain(point: str, moment: str | None, readings: int, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Explain why there was, or was not, an alarm at POINT.

    Which rules apply, with which limits in which state of the room; how each stood at that time, from the readings one by one; what is on
    record, and whom it reached when; and how long it takes at worst from a breach to the first page. It reads only, also beside a service.

    \b
    Examples:
      renrum explain cp1.dp
      renrum explain cp1.dp --at 2026-11-21T03:10 --config site/renrum.yaml
    """
    asked = Asked(config, data_dir, None, None, None, (), ())
    with asked.archive() as archive:
        if point not in archive.number_of:
            known = tuple(archive.number_of)
            hint = did_you_mean(point, known) or f"There are {one_of(known)}."
            raise Refusal(f"there is no point {point!r}. {hint}")
        at = int(archive.state.get("clock", archive.head.at)) if moment is None else time_of("--at", moment, archive.zone)
        try:
            told = explained(archive, point, at, readings, _evaluate_every_ns(config))
        except MonitorUnavailable as error:
            raise Refusal(str(error)) from None
        except sqlite3.Error as error:
            raise Refusal(f"{archive.data_dir} cannot be read: {error}. `renrum doctor` looks for the cause.") from None
        if as_json:
            click.echo(json.dumps(document(told), indent=2, ensure_ascii=False, allow_nan=False))
        else:
            for line in lines(told, archive.zone):
                click.echo(line)


def _evaluate_every_ns(config: Path | None) -> int:
    """How often the service judges: of the configuration, or what it is unless given."""
    try:
        files, name = Files.around(configuration_path(config, os.environ))
        return read_settings(files, name, os.environ).settings.evaluate_every_ns
    except (ConfigurationError, Unreadable):
        return SECOND_NS
