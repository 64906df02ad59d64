"""`renrum historian`: InfluxDB made ready, filled, compared."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

import click

from facility.document import read_document
from facility.files import Files, Unreadable
from facility.problems import ConfigurationError, Problem, so_many
from facility.times import format_time
from historian.progress import FILE, Progress, ProgressUnavailable
from historian.target import Target
from service.cli.lazy import LazyGroup
from service.cli.options import Refusal, config_option, configuration_path, json_option
from service.settings.settings import Settings, read_settings

COMMANDS = {
    "setup": ("service.cli.historian_setup:setup", "Make the bucket and its tokens, and check them."),
    "status": ("service.cli.historian:status", "How far InfluxDB has what the journal has, and what it refused."),
    "backfill": ("service.cli.historian_backfill:backfill", "Write a period from the journal once more."),
    "compare": ("service.cli.historian_compare:compare", "Journal against InfluxDB, by point and day."),
}


@click.group(cls=LazyGroup, commands_at=COMMANDS)
def historian() -> None:
    """The InfluxDB that `historian` of renrum.yaml names: made ready, filled, compared with the journal.

    \b
    Examples:
      renrum historian setup --retention 730d
      renrum historian compare --last 7d
    """


def settings_of(config: Path | None, *, tokens: bool = True) -> tuple[Settings, Target]:
    """The settings of a renrum.yaml and the bucket in it; `tokens`: that they can be read, too. Raises Refusal, ConfigurationError."""
    path = configuration_path(config, os.environ)
    files, name = Files.around(path)
    try:
        read = read_settings(files, name, os.environ)
        document, problems = read_document(files, name)
    except Unreadable as error:
        raise ConfigurationError([Problem(str(path), 0, "", str(error), "a renrum.yaml")]) from None
    if problems:
        raise ConfigurationError(problems)
    ours = [problem for problem in read.problems if problem.key.startswith("historian")]
    if ours and (tokens or not all(problem.key.endswith("token_file") for problem in ours)):
        raise ConfigurationError(ours)
    if read.settings.historian is None:
        if "historian" not in document.value:
            raise Refusal(f"{path} names no InfluxDB. Add `historian: {{influxdb: {{url, org, bucket, token_file}}}}` to it.")
        raise ConfigurationError(read.problems)
    if tokens:
        try:
            for reading in (False, True):
                read.settings.historian.right(reading=reading)
        except Unreadable as error:
            raise Refusal(f"{path}: historian.influxdb: found {error}. `renrum historian setup` makes the tokens.") from None
    return read.settings, read.settings.historian


def token_files(config: Path | None) -> tuple[Path | None, Path | None]:
    """The files that `token_file` and `read_token_file` name, there or not."""
    files, name = Files.around(configuration_path(config, os.environ))
    document, _ = read_document(files, name)
    section = document.value["historian"]["influxdb"]
    folder = (files.folder or Path()).absolute()
    write, read = (folder / section[key] if section.get(key) else None for key in ("token_file", "read_token_file"))
    return write, read


@click.command()
@config_option
@click.option("--forget", is_flag=True, help="Empty the list of refused lines, once their cause is mended and backfill has been run.")
@json_option
def status(config: Path, forget: bool, as_json: bool) -> None:
    """How far InfluxDB has what the journal has, and the lines that it refused, with its words.

    \b
    Examples:
      renrum historian status
      renrum historian status --json
    """
    settings, target = settings_of(config, tokens=False)
    path = settings.data_dir / FILE
    if not path.is_file():
        hint = "It begins when it is restarted with `historian` in its renrum.yaml."
        raise Refusal(f"{settings.data_dir}: there is no {FILE} in it: the service has not fed InfluxDB yet. {hint}")
    try:
        with closing(Progress(path, readonly=not forget)) as progress:
            kept, refusals = progress.all(), progress.refusals()
            forgotten = progress.forget() if forget else 0
    except ProgressUnavailable as error:
        raise Refusal(str(error)) from None
    if as_json:
        rows = [{"at": format_time(row.at), "line": row.line, "words": row.words} for row in refusals]
        until = format_time(int(kept["at"])) if "at" in kept else None
        click.echo(json.dumps({"target": target.name, "cursor": int(kept.get("cursor", 0)), "until": until, "refusals": rows}))
        return
    click.echo(f"{target.name}: has the journal up to entry {kept.get('cursor', 0)}")
    for row in refusals:
        click.echo(f"refused {format_time(row.at)}: {row.line}\n  {row.words}")
    if refusals:
        click.echo(
            f"{so_many(len(refusals), 'line')} refused; the journal has what they were made of." + (" Forgotten." if forgotten else "")
        )
