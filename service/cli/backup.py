"""`renrum backup`."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path

import click
import msgspec

from facility.problems import ConfigurationError, so_many
from ingest.journal.copy import ChainBroken
from service.cli.lookups import data_dir_of
from service.cli.options import GIVEN_PATH, Refusal, Span, configuration_path, json_option, unwritable
from service.cli.progress import progress_bar
from service.clock import SystemClock
from service.continuity.backup import Source
from service.continuity.manifest import BackupUnusable, Manifest
from service.continuity.shipping import Follower, back_up_once
from service.stored.archive import Archive, ArchiveUnavailable, JournalUnavailable


@click.command()
@click.argument("target", metavar="TARGET", type=click.Path(path_type=Path, file_okay=False))
@click.option("--follow", is_flag=True, help="Go on until stopped, and ship what is new.")
@click.option("--every", default="2s", show_default=True, type=Span(), help="How often, with --follow.")
@click.option("--new", is_flag=True, help="Begin anew in a TARGET that had a backup and has none any more.")
@click.option("--with-secrets", is_flag=True, help="Take passwords, tokens, private keys and users along.")
@click.option("--config", type=GIVEN_PATH, help="The renrum.yaml whose folder and data_dir are backed up.")
@click.option("--data-dir", type=GIVEN_PATH, help="Another data_dir, or one without a configuration.")
@json_option
def backup(
    target: Path, follow: bool, every: int, new: bool, with_secrets: bool, config: Path | None, data_dir: Path | None, as_json: bool
) -> None:
    """Back up the journal, the configuration and what makes a restart quick into the folder TARGET, beside a running service.

    A TARGET that has a backup of this journal gets what is new since. Each entry is checked against the chain. Secrets stay at home unless
    asked for. With --follow the copy is some seconds behind, survives a kill at any moment, and waits for a share that is away;
    `renrum doctor` says how far behind it is.

    Exit code 0: all is there; 1: the journal is broken at an entry, or the target was away when --follow was stopped; 2: it cannot be done.

    \b
    Examples:
      renrum backup /mnt/backup/renrum
      renrum backup --follow /mnt/backup/renrum
    """
    source = _source(config, data_dir, with_secrets)
    target = target.absolute()
    os.umask(0o077)
    try:
        with Archive(source.data_dir):
            pass  # there is a journal
        if follow:
            sys.exit(0 if _follow(source, target, every) else 1)
        with progress_bar() as watch:
            manifest = back_up_once(source, target, SystemClock(), new=new, progress=watch("journal"))
    except ChainBroken as error:
        click.echo(
            f"The journal is broken: {error}. What stands before it is in {target}. `renrum verify` names all that is wrong.", err=True
        )
        sys.exit(1)
    except (BackupUnusable, ArchiveUnavailable, JournalUnavailable) as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(unwritable(error, target)) from None
    click.echo(json.dumps(msgspec.to_builtins(manifest), indent=2, ensure_ascii=False) if as_json else _words(target, manifest))


def _source(config: Path | None, data_dir: Path | None, with_secrets: bool) -> Source:
    try:
        path = configuration_path(config, os.environ)
    except ConfigurationError:
        if data_dir is None or config is not None:
            raise
        return Source(data_dir.absolute(), None, with_secrets)
    if data_dir is not None and config is None:
        return Source(data_dir.absolute(), None, with_secrets)  # the configuration that happens to lie here is not known to be its
    return Source(data_dir or data_dir_of(path), path.absolute().parent, with_secrets)


def _follow(source: Source, target: Path, every_ns: int) -> bool:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    follower = Follower(source, target, SystemClock(), every_ns / 1e9, lambda words: click.echo(words, err=True))
    return follower.run(stop)


def _words(target: Path, manifest: Manifest) -> str:
    journal = manifest.journal
    lines = [
        f"{target}: {so_many(journal.entries, 'entry')} up to {journal.at or 'none yet'}, head {journal.head[:16]}…; "
        f"{so_many(len(manifest.files), 'file')}"
    ]
    if manifest.left_out:
        lines.append(f"left out, as they are secret: {', '.join(manifest.left_out)}. --with-secrets takes them along.")
    return "\n".join(lines)
