"""`renrum score`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

from alerts.judging.excursion_file import NoExcursionFile, read_excursions
from facility.times import format_time
from facility.whole_file import whole_text
from rules.excursion import CURRENT, Excursion
from service.cli.options import GIVEN_PATH, Refusal, Span, configuration_path, json_option
from service.configuration.judging_files import JudgingFiles
from service.score.gate import CEILINGS, FLOORS, Demand, breaches
from service.score.picture import picture
from service.score.report import COLUMNS, LISTED, cells, delay_text, document, false_alarms, missed, rows
from simulators.record import NoTruthFile, read_truth
from simulators.score import AFTER_NS, WEEK_NS, Found, Run, scored
from simulators.script import Truth

FILE = click.Path(dir_okay=False, path_type=Path)


@click.command()
@click.argument("truth", type=FILE)
@click.argument("excursions", type=FILE)
@click.option("--config", type=GIVEN_PATH, help="The renrum.yaml that judged: its rules, also those that raised nothing, and its points.")
@click.option("--points", type=click.IntRange(min=1), help="How many points were judged.  [default: those of --config, else those named]")
@click.option("--duration", "duration_ns", type=Span(), help="How long it ran.  [default: from the first to the last time in both files]")
@click.option("--after", "after_ns", type=Span(), default=AFTER_NS, help="So long what a fault leaves behind is its own.  [default: 20m]")
@click.option("--floor", "floors", multiple=True, metavar="FIGURE=VALUE", help="Exit 1 below it: recall or precision, also recall:KIND.")
@click.option("--ceiling", "ceilings", multiple=True, metavar="FIGURE=VALUE",
              help="Exit 1 above it: delay_median, delay_p95, false_per_point_week; also of a KIND of fault or a RULE.")  # fmt: skip
@click.option("--picture", "picture_path", type=FILE, help="Draw the scores: .svg.")
@json_option
def score(
    truth: Path, excursions: Path, config: Path | None, points: int | None, duration_ns: int | None, after_ns: int,
    floors: tuple[str, ...], ceilings: tuple[str, ...], picture_path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Score rules: how many faults they found, how soon, and how many alarms were false.

    TRUTH is what `renrum simulate --truth` wrote, EXCURSIONS what `renrum replay --out` or `renrum excursions --out` did.
    docs/simulator.md says which excursion finds which fault. Exit code 1 when a floor or a ceiling does not hold.

    \b
    Examples:
      renrum score truth.csv excursions.csv --config site/renrum.yaml --duration 5h
      renrum score truth.csv excursions.csv --floor recall=0.9 --floor recall:supply_loss=1 --ceiling delay_p95=20m
      renrum score truth.csv excursions.csv --picture scores.svg --json
    """
    if picture_path is not None and picture_path.suffix != ".svg":
        raise click.UsageError(f"--picture: found {str(picture_path)!r}; allowed: a name that ends in .svg, which browsers and Word show.")
    demands = [*_demands("--floor", floors, FLOORS), *_demands("--ceiling", ceilings, CEILINGS)]
    truths, found = _read(truth, excursions)
    known, points = _judged_by(config, truths, found, points)
    duration_ns = duration_ns or _span_ns(truths, found)
    run = scored(
        truths, [Found(one.rule, one.point, one.onset, one.raised) for one in found], known, points * duration_ns / WEEK_NS, after_ns
    )
    try:
        broken = list(breaches(demands, [run]))
    except ValueError as error:
        raise click.UsageError(f"--floor, --ceiling: {error}") from None
    if picture_path is not None:
        _draw(picture_path, picture([run], f"{excursions.name} against {truth.name}: {points} points, {delay_text(duration_ns)}"))
    if as_json:
        click.echo(json.dumps(document([run], points, duration_ns) | {"broken": broken}, indent=2, ensure_ascii=False))
    else:
        _show(run, points, duration_ns)
    for sentence in broken:
        click.echo(sentence, err=True)
    if broken:
        raise SystemExit(1)


def _demands(option: str, texts: Sequence[str], figures: tuple[str, ...]) -> list[Demand]:
    try:
        return [Demand.parsed(text, figures) for text in texts]
    except ValueError as error:
        raise click.UsageError(f"{option}: {error}.") from None


def _read(truth: Path, excursions: Path) -> tuple[list[Truth], list[Excursion]]:
    try:
        return read_truth(truth), [one for one in read_excursions(excursions) if one.status == CURRENT]
    except (NoTruthFile, NoExcursionFile) as error:
        raise Refusal(str(error)) from None
    except (OSError, UnicodeDecodeError) as error:
        _refuse(error)


def _refuse(error: OSError | UnicodeDecodeError) -> NoReturn:
    if isinstance(error, OSError):
        raise Refusal(f"{error.filename}: {error.strerror}. Check the path and the permissions.") from None
    raise Refusal(f"a file is not UTF-8 text (byte {error.start}). Give files that Renrum wrote.") from None


def _judged_by(config: Path | None, truths: list[Truth], found: list[Excursion], points: int | None) -> tuple[tuple[str, ...], int]:
    """The rules that there were, and the number of points; without a configuration, as far as the files name them."""
    if config is not None:
        judging = JudgingFiles.configured(configuration_path(config, {}), {}).judging()
        return tuple(rule.id for rule in judging.rules), points or len(judging.facility.points)
    plain = {rule for truth in truths for rule in truth.rules if not set(rule) & set("*?[")}
    named = {point for truth in truths for point in truth.points} | {one.point for one in found}
    return tuple(sorted(plain | {one.rule for one in found})), points or max(len(named), 1)


def _span_ns(truths: list[Truth], found: list[Excursion]) -> int:
    times = [at for truth in truths for at in (truth.start_ns, truth.end_ns) if at is not None]
    times += [at for one in found for at in (one.onset, one.raised, one.cleared) if at is not None]
    return max(times) - min(times) if times else 0


def _draw(path: Path, drawing: str) -> None:
    try:
        with whole_text(path) as text:
            text.write(drawing)
    except OSError as error:
        raise Refusal(f"{path} cannot be written ({error.strerror or error}). Check the path and the permissions.") from None


def _show(run: Run, points: int, duration_ns: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold", title=f"{points} points, {delay_text(duration_ns)}", title_justify="left")
    table.add_column("")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    group = "all"
    for now, name, figures in rows([run]):
        if now != group:
            table.add_section()
            table.add_row(f"[bold]by {now}[/bold]")
        group = now
        table.add_row(name or "all", *cells(figures))
    console = Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=160)
    console.print(table)
    for fault in missed([run])[:LISTED]:
        where = ", ".join((fault.truth.points or fault.truth.places)[:3])
        click.echo(f"missed  {format_time(fault.truth.start_ns)}  {fault.truth.kind}  {where}")
    for one in false_alarms([run])[:LISTED]:
        click.echo(f"false   {format_time(one.raised)}  {one.rule}  {one.point}")
    left = len(missed([run])) + len(false_alarms([run])) - 2 * LISTED
    if left > 0:
        click.echo("… more: --json has them all")
