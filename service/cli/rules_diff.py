"""`renrum rules diff`."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from zoneinfo import ZoneInfo

import click

from dashboards.monitor import MonitorUnavailable
from facility.recording import Chunk, RecordingError, load_mapping, read_recording
from facility.site import Facility
from facility.whole_file import whole_text
from service.cli.lookups import Asked, lookup_options
from service.cli.options import Refusal, configuration_path, fraction_bar, json_option
from service.configuration.changing import Change, Setting
from service.configuration.judging_files import JudgingFiles
from service.impact.impact import Impact, from_journal, from_recording
from service.impact.report import document, lines
from service.impact.strips import picture

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("recordings", nargs=-1, metavar="[REC...]", type=FILE)
@click.option("--from-influx", is_flag=True, help="Instead of REC: what the InfluxDB of --config has from --start to --end.")
@click.option("--rules", "rules_paths", type=FILE, multiple=True, help="The change: these rules files in place of those there are.")
@click.option("--set", "settings", metavar="RULE.KEY=VALUE", multiple=True, help="The change: a key of a rule, or limits:POINT.LEVEL.SIDE.")
@click.option("--delays", metavar="RULE", multiple=True, help="Show what longer delays of this rule would spare, and hide.")
@click.option("--facility", "facility_path", type=FILE, help="With REC: the facility.yaml, instead of --config's.")
@click.option("--old", "old_paths", type=FILE, multiple=True, help="With --facility: the rules before the change.")
@click.option("--limits", "limits_path", type=FILE, help="With --facility: the limits.csv.")
@click.option("--mapping", "mapping_path", type=FILE, help="With REC: how to read a table that is no recording.")
@click.option("--picture", "picture_path", type=click.Path(dir_okay=False, path_type=Path), help="Draw both sides along time: .svg.")
@json_option
@lookup_options
def diff(
    asked: Asked, recordings: tuple[Path, ...], from_influx: bool,
    rules_paths: tuple[Path, ...], settings: tuple[str, ...], delays: tuple[str, ...],
    facility_path: Path | None, old_paths: tuple[Path, ...], limits_path: Path | None, mapping_path: Path | None,
    picture_path: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Show what a change of rules would have done: excursions that it adds, removes and moves.

    On a recording REC, or on what the service has in its journal, also while it runs: before is then what is on record, after is the change
    laid over each configuration in its time. Nothing is changed by it. docs/changing-rules.md tells how to read the outcome.

    \b
    Examples:
      renrum rules diff --set dp-cascade.action.below=12 --last 90d --config site/renrum.yaml
      renrum rules diff --rules new-rules.yaml --start 2026-09-01 --picture change.svg
      renrum rules diff rec.parquet --facility facility.yaml --old rules.yaml --set limits:cp1.dp1.dp.action.below=12
      renrum rules diff --delays dp-cascade --last 30d
    """
    change = _change(rules_paths, settings)
    if not (change.rules or change.settings or delays):
        raise click.UsageError("say what changes: --rules FILE, --set RULE.KEY=VALUE, or --delays RULE for longer delays.")
    if picture_path is not None and picture_path.suffix != ".svg":
        raise click.UsageError(f"--picture: found {str(picture_path)!r}; allowed: a name that ends in .svg, which browsers and Word show.")
    with _explained(), TemporaryDirectory(prefix="renrum-diff-") as folder:
        if recordings or from_influx:
            sources = _sources(asked, facility_path, old_paths, limits_path)
            _check_asked(asked, recordings, from_influx, {"--facility": facility_path, "--mapping": mapping_path})
            read = _influx(asked) if from_influx else _files(recordings, mapping_path)
            with fraction_bar("Judging") as progress:
                impact = from_recording(sources, change, delays, read, Path(folder), progress)
        else:
            given = {"--facility": facility_path, "--old": old_paths, "--limits": limits_path, "--mapping": mapping_path}
            if used := [name for name, value in given.items() if value]:
                raise click.UsageError(f"{', '.join(used)}: only with a recording REC; without one the journal says what judged.")
            impact = _of_journal(asked, change, delays, Path(folder))
        words = change.words
        if picture_path is not None:
            with whole_text(picture_path) as text:
                text.write(picture(impact, words or "No change"))
        if as_json:
            click.echo(json.dumps(document(impact, words), indent=2, ensure_ascii=False))
        else:
            for line in lines(impact, words):
                click.echo(line)
        impact.found.close()


def _change(rules: tuple[Path, ...], settings: tuple[str, ...]) -> Change:
    try:
        return Change(rules, tuple(Setting.parsed(text) for text in settings))
    except ValueError as error:
        raise click.UsageError(f"--set: allowed: {error}.") from None


def _sources(asked: Asked, facility: Path | None, old: tuple[Path, ...], limits: Path | None) -> JudgingFiles:
    """What judged before, beside a recording."""
    if facility is None and not old and limits is None:
        return JudgingFiles.configured(configuration_path(asked.config, os.environ), os.environ)
    if asked.config is not None or facility is None or not old:
        raise click.UsageError("before the change: give --facility and --old (and --limits, if the rules name it), or --config.")
    return JudgingFiles.named(facility, old, limits)


def _check_asked(asked: Asked, recordings: tuple[Path, ...], from_influx: bool, own: Mapping[str, object]) -> None:
    if from_influx and recordings:
        raise click.UsageError("give either REC... or --from-influx.")
    if from_influx and (used := [name for name, value in own.items() if value]):
        raise click.UsageError(f"--from-influx takes --config, and no {', '.join(used)}.")
    named: dict[str, object] = {"--data-dir": asked.data_dir, "--last": asked.last, "--room": asked.rooms, "--point": asked.points}
    if not from_influx:
        named |= {"--start": asked.start, "--end": asked.end}
    if used := [name for name, value in named.items() if value]:
        raise click.UsageError(f"{', '.join(used)}: only for the journal; what is read from elsewhere is judged whole.")


def _files(recordings: tuple[Path, ...], mapping_path: Path | None) -> Callable[[Facility], Iterator[Chunk]]:
    mapping = None if mapping_path is None else load_mapping(mapping_path)
    return lambda facility: read_recording(recordings, mapping, ZoneInfo(facility.site.timezone))


def _influx(asked: Asked) -> Callable[[Facility], Iterator[Chunk]]:
    from service.cli.replay_influx import influx_reader  # its client takes half a second to load

    return lambda facility: influx_reader(asked.config, facility, asked.start, asked.end)()


def _of_journal(asked: Asked, change: Change, delays: tuple[str, ...], folder: Path) -> Impact:
    with asked.archive() as archive:
        if not archive.configurations:
            raise Refusal(f"{archive.data_dir}: its journal holds no configuration yet, so nothing was judged.")
        wanted = asked.wanted(archive)
        with fraction_bar("Judging") as progress:
            return from_journal(archive, change, delays, wanted, folder, progress)


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (RecordingError, MonitorUnavailable) as error:
        raise Refusal(str(error)) from None
    except BrokenPipeError:
        raise  # nobody reads on
    except (OSError, sqlite3.Error) as error:
        cause = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise Refusal(f"a file cannot be written ({cause}). Make room, or name a folder with room in $TMPDIR.") from None
