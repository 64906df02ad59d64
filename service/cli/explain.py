"""`renrum explain`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from dashboards.monitor import MonitorUnavailable
from facility.document import did_you_mean, one_of
from facility.files import Files, Unreadable
from facility.problems import ConfigurationError
from facility.site import SECOND_NS
from service.cli.lookups import Asked, place_options, time_of
from service.cli.options import Refusal, configuration_path, json_option
from service.configuration.judging import judging_from_entry
from service.explanation import places as explaining_places
from service.explanation.explaining import explain as explained
from service.explanation.places import explain_place
from service.explanation.report import document, lines
from service.settings.settings import read_settings
from service.stored.archive import Archive


@click.command()
@click.argument("point", metavar="POINT|PLACE")
@click.option("--at", "moment", metavar="TIME", help="The time in question: RFC 3339, or local at the site.  [default: newest]")
@click.option("--readings", type=click.IntRange(1, 10_000), default=12, show_default=True, help="Show so many readings up to then.")
@place_options
@json_option
def explain(point: str, moment: str | None, readings: int, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Explain why there was, or was not, an alarm at a point, or of the state of a room or zone.

    Which rules apply, with which limits in which state of the room; how each stood at that time, from the readings one by one; what is on
    record, and whom it reached when; and how long it takes at worst from a breach to the first page. Of a room or zone: which state since
    when, how long that may last (at_most), and when an alarm tells of it. It reads only, also beside a service.

    \b
    Examples:
      renrum explain cp1.dp1.dp
      renrum explain cp1.dp1.dp --at 2026-11-21T03:10 --config site/renrum.yaml
      renrum explain cp1/occupancy
    """
    with Asked(config, data_dir).archive() as archive:
        place = None if point in archive.number_of else _place(archive, point)
        at = int(archive.state.get("clock", archive.head.at)) if moment is None else time_of("--at", moment, archive.zone)
        try:
            every_ns = _evaluate_every_ns(config)
            if place is None:
                told = explained(archive, point, at, readings, every_ns)
                text, program = lines(told, archive.zone), document(told)
            else:
                of_place = explain_place(archive, place, at, readings, every_ns)
                text, program = explaining_places.lines(of_place, archive.zone), explaining_places.document(of_place)
        except MonitorUnavailable as error:
            raise Refusal(str(error)) from None
        if as_json:
            click.echo(json.dumps(program, indent=2, ensure_ascii=False, allow_nan=False))
        else:
            for line in text:
                click.echo(line)


def _place(archive: Archive, asked: str) -> str:
    """The room or zone that is meant, also by the point of its states."""
    places = {place.id: None for _, body in archive.configurations for place in judging_from_entry(body.entry)[0].places}
    id_ = asked.removesuffix("/occupancy")
    if id_ not in places:
        known = (*archive.number_of, *places)
        hint = did_you_mean(asked, known) or f"There are {one_of(known)}."
        raise Refusal(f"there is no point, room or zone {asked!r}. {hint}")
    return id_


def _evaluate_every_ns(config: Path | None) -> int:
    """How often the service judges: of the configuration, or what it is unless given."""
    try:
        files, name = Files.around(configuration_path(config, os.environ))
        return read_settings(files, name, os.environ).settings.evaluate_every_ns
    except (ConfigurationError, Unreadable):
        return SECOND_NS
