"""`renrum history`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from alerts.record.signing import as_signed
from facility.document import did_you_mean, one_of
from facility.times import format_time, local_time
from service.applied import in_force
from service.cli.lookups import Asked, place_options, time_of
from service.cli.options import Refusal, json_option
from service.configuration.values import line_of
from service.history import Chapter, chapter_at, history_of


@click.command()
@click.argument("point")
@click.option("--at", "moment", metavar="TIME", help="What judged at this time: RFC 3339, or local at the site.")
@place_options
@json_option
def history(point: str, moment: str | None, config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Show every change of what judges a point: each value, who changed it, when and why.

    Told by the configurations in the journal: limits, delays, rules that select the point, its range and unit, its room. Readings are
    judged by what was in force at their time, however late they came.

    \b
    Examples:
      renrum history cp1.dp1.dp
      renrum history cp1.dp1.dp --at 2026-03-01
      renrum history inc1.temp --json
    """
    with Asked(config, data_dir).archive() as archive:
        configurations = in_force(archive.data_dir)
        chapters = history_of(point, configurations)
        if not chapters:
            known = tuple(dict.fromkeys(id_ for _, body in configurations for id_ in body.points))
            hint = did_you_mean(point, known) or f"There are {one_of(known)}."
            raise Refusal(f"There never was a point {point!r}. {hint}")
        zone = archive.zone
    if moment is not None:
        chapters = [chapter_at(chapters, time_of("--at", moment, zone))]
    if as_json:
        click.echo(json.dumps({"point": point, "changes": [_document(one) for one in chapters]}, indent=2, ensure_ascii=False))
        return
    for number, chapter in enumerate(chapters):
        for line in _lines(point, chapter, zone, whole=moment is not None or not number):
            click.echo(line)


def _lines(point: str, chapter: Chapter, zone: ZoneInfo, whole: bool) -> Iterator[str]:
    change = f"{chapter.change}: " if chapter.change else ""
    by = chapter.by or "renrum"
    reason = as_signed(chapter.reason or "no reason given", chapter.meaning, chapter.digest)
    yield f"{local_time(chapter.at, zone)}  {by}  {change}{reason}  ({chapter.config[:12]})"
    if not chapter.values:
        yield f"  nothing judges {point} any more"
    elif whole:
        yield from (f"  {name} {text}" for name, text in chapter.values.items())
    else:
        yield from (f"  {line_of(changed)}" for changed in chapter.changes)


def _document(chapter: Chapter) -> dict[str, Any]:
    return {
        "at": format_time(chapter.at),
        "entry": chapter.entry,
        "config": chapter.config,
        "by": chapter.by or "renrum",
        "reason": chapter.reason,
        "change": chapter.change,
        "meaning": chapter.meaning,
        "signature": chapter.digest,
        "changes": [{"what": changed.what, "old": changed.old, "new": changed.new} for changed in chapter.changes],
        "values": chapter.values,
    }
