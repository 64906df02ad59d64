"""`renrum rules list`: the master alarm list."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from rules.rule import Bound, Rule
from rules.selecting import Selector, watched
from service.cli.listing import Column, Listing, out_option
from service.cli.options import config_option, json_option
from service.configuration.configuration import Configuration, load_configuration

LIST_COLUMNS = (
    Column("rule", shown=1),
    Column("level", shown=2),
    Column("priority", shown=2),
    Column("kind", shown=4),
    Column("breaching", shown=2),
    Column("on_delay", shown=5),
    Column("off_delay", shown=6),
    Column("points", "count", shown=3),
    Column("cause", "prose", shown=7),
    Column("consequence", "prose", shown=8),
    Column("response", "prose", shown=7),
    Column("sop", shown=6),
    Column("pack", shown=9),
    Column("point_ids"),
)


@click.command(name="list")
@config_option
@click.option("--language", type=click.Choice(["en", "sv"]), default="en", show_default=True, help="Of causes, consequences and responses.")
@out_option
@json_option
def list_rules(config: Path, language: str, out: Path | None, as_json: bool) -> None:
    """List every rule in force here: the master alarm list.

    What is breaching, at how many points, how urgent it is, what leads to it, what comes of it, what to do. CSV, Parquet and JSON name
    every point.

    \b
    Examples:
      renrum rules list --config site
      renrum rules list --language sv --out alarms.csv
    """
    configuration = load_configuration(config, os.environ)
    rows = _rows(configuration, language)
    Listing("rules", LIST_COLUMNS, ZoneInfo(configuration.facility.site.timezone), rows, empty="There is no rule.").give(out, as_json)


def _rows(configuration: Configuration, language: str) -> Iterator[tuple[Any, ...]]:
    facility = configuration.facility
    selector = Selector(point for point in facility.points if point.retired_ns is None)
    for rule in configuration.rules:
        points = [point.id for point in selector.judged(rule, facility)]
        if rule.kind == "state":
            points = [facility.state_points[place.id].id for place in watched(rule, facility)]
        texts = (texts.get(language) or texts.get("en", "") for texts in (rule.cause, rule.consequence, rule.text))
        yield (
            rule.id, rule.level, rule.priority, rule.kind, breaching(rule), str(rule.on_delay), str(rule.off_delay), len(points), *texts,
            rule.sop or "", rule.pack, " ".join(points),
        )  # fmt: skip


def breaching(rule: Rule) -> str:
    """What a rule looks for, in a few words; numbers are in the unit of the point."""
    sides = " or ".join(_side(name, side) for name, side in (("above", rule.above), ("below", rule.below)) if side is not None)
    if rule.kind == "rate":
        return f"changes by more than {rule.change:g} within {rule.window}"
    if rule.kind == "flatline":
        return f"stands still for {rule.duration}"
    if rule.kind == "count":
        return f"{rule.k} of {rule.n} readings {sides}"
    if rule.kind == "mean":
        return f"mean over {rule.window} {sides}"
    if rule.kind == "recovery":
        return f"not back from {sides} within {rule.within or 'clean_up'} of the change to at_rest"
    if rule.kind == "stale":
        return f"nothing received for {rule.after}"
    if rule.kind == "state":
        return "a state lasts longer than its at_most"
    return "bad quality" if rule.kind == "quality" else sides


def _side(name: str, side: Bound) -> str:
    value = side.value if isinstance(side.value, str) else f"{side.value:g}"
    return f"at or {name} {value}" if side.inclusive else f"{name} {value}"
