"""`renrum check`."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from facility.document import one_of
from facility.own import without_own
from facility.problems import ConfigurationError, so_many
from ingest.journal.journal import JournalUnavailable
from rules.coverage import Coverage, coverage_of
from rules.rule_checks import Unspecified
from service.applied import in_force, waiting
from service.cli.listing import Column, Listing
from service.cli.options import config_option, json_option
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.duty.on_duty import warnings_of


@click.command()
@config_option
@click.option("--coverage", "with_coverage", is_flag=True, help="Show which rules look after each point, and where none does.")
@json_option
def check(config: Path, with_coverage: bool, as_json: bool) -> None:
    """Check a configuration: every problem of every file at once.

    Exit code 0 when it can be used, 2 when not. Warnings, and what no limit table specifies, are shown and change nothing.

    \b
    Examples:
      renrum check
      renrum check --coverage
      renrum check --config site/renrum.yaml --json
    """
    try:
        configuration = load_configuration(config, os.environ)
    except ConfigurationError as error:
        if not as_json:
            click.echo(f"{config}: {so_many(len(error.problems), 'problem')}", err=True)
            raise
        click.echo(json.dumps({"ok": False, "problems": [asdict(problem) for problem in error.problems]}, indent=2, ensure_ascii=False))
        raise SystemExit(2) from None
    configuration = replace(configuration, warnings=(*configuration.warnings, *warnings_of(configuration, SystemClock().now_ns())))
    if as_json:
        document = _document(configuration)
        if with_coverage:
            document["coverage"] = [asdict(one) | {"holes": one.holes} for one in _coverage(configuration)]
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    for warning in configuration.warnings:
        click.echo(f"warning: {warning}", err=True)
    if not_in_force := _waiting(config, configuration):
        click.echo(f"note: {not_in_force}", err=True)
    for line in unspecified_lines(configuration.unspecified):
        click.echo(line)
    if with_coverage:
        _show_coverage(_coverage(configuration))
    counts = ", ".join(f"{count} {name if count != 1 else name.removesuffix('s')}" for name, count in counted(configuration).items())
    click.echo(f"{config}: ok: {counts}")
    click.echo(f"judging configuration {configuration.judging_hash}")


def _coverage(configuration: Configuration) -> tuple[Coverage, ...]:
    return coverage_of(configuration.facility, configuration.rules, configuration.tables)


def _show_coverage(coverage: Iterable[Coverage]) -> None:
    """Point by point: which rules look for what, and the holes in words."""
    columns = [
        Column(name, shown=rank) for name, rank in (("point", 1), ("alert", 3), ("action", 2), ("stale", 2), ("quality", 2), ("", 1))
    ]
    rows = (
        (one.point, *map(" ".join, (one.alert, one.action, one.stale, one.quality)),
         f"unmonitored: {one.unmonitored}" if one.unmonitored else ", ".join(f"no {hole}" for hole in one.holes))
        for one in coverage
    )  # fmt: skip
    Listing("points", columns, ZoneInfo("UTC"), rows).give(None, as_json=False)


def _waiting(config: Path, configuration: Configuration) -> str:
    """Which files are not in force, by the journal of the data_dir where there is one that may be read."""
    try:
        history = in_force(configuration.settings.data_dir)
        return waiting(config, os.environ, history[-1][1].entry) if history else ""
    except (JournalUnavailable, ConfigurationError, OSError, sqlite3.Error):
        return ""


def counted(configuration: Configuration) -> dict[str, int]:
    """How much of each a configuration has."""
    facility = without_own(configuration.facility)
    places = facility.places
    return {
        "rooms": sum(place.parent is None for place in places),
        "zones": sum(place.parent is not None for place in places),
        "points": len(facility.points),
        "rules": len(configuration.rules),
        "channels": len(configuration.oncall.channels),
        "warnings": len(configuration.warnings),
    }


def unspecified_lines(unspecified: Iterable[Unspecified]) -> list[str]:
    """Where no limit table says anything, a line for each rule and set of states; `--json` names every point."""
    points: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for one in unspecified:
        points.setdefault((one.rule, one.states), []).append(one.point)
    return [f"not judged by {rule}, no limit specified: {', '.join(states)} at {one_of(ids)}" for (rule, states), ids in points.items()]


def _document(configuration: Configuration) -> dict[str, Any]:
    return {
        "ok": True,
        "environment": configuration.settings.environment,
        "site": configuration.facility.site.id,
        "hash": configuration.judging_hash,
        "counts": counted(configuration),
        "problems": [],
        "warnings": [asdict(warning) for warning in configuration.warnings],
        "unspecified": [asdict(one) for one in configuration.unspecified],
    }
