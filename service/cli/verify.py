"""`renrum verify`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from ingest.flaw import KEPT_MAX, unwatched
from ingest.flaw import Progress as Told
from service.archive import Archive, ArchiveUnavailable, JournalUnavailable
from service.cli.lookups import data_dir_of
from service.cli.options import Refusal, configuration_path, json_option
from service.clock import SystemClock
from service.verification import Check, Watch
from service.verification import verify as verified

SHOWN_MAX = 20


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="The renrum.yaml that names the data_dir; only that is read of it.")
@click.option("--data-dir", type=click.Path(path_type=Path), help="The data_dir itself, such as a copy; no configuration is needed then.")
@json_option
def verify(config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Prove that the journal is whole, and that excursions and alarms are what the rules say of it.

    \b
    journal       every entry by its hash chain, every byte of the file
    audit         the audit trail by its hash chain, and as evaluated again
    excursions    every recorded step evaluated again, all excursions and alarms compared
    completeness  received = stored + duplicate + quarantined; series.db against the journal

    Changes nothing, and runs beside a service. What it computes lies in $TMPDIR meanwhile, as much as series.db and state.db have.
    Exit code 0 when all is well, 1 when something is not, 2 when there is nothing to verify.

    \b
    Examples:
      renrum verify --config site/renrum.yaml
      renrum verify --data-dir /mnt/backup/data --json
    """
    folder = data_dir or data_dir_of(configuration_path(config, os.environ))
    try:
        with Archive(folder):
            pass  # there is a journal
        with _progress() as watch:
            checks = verified(folder, SystemClock(), watch)
    except (ArchiveUnavailable, JournalUnavailable) as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{error.filename or folder}: {error.strerror}. $TMPDIR names another place for what is computed.") from None
    if as_json:
        click.echo(json.dumps(_document(folder, checks), indent=2, ensure_ascii=False))
    else:
        for check in checks:
            click.echo("\n".join(lines_of(check)))
    sys.exit(0 if all(check.ok for check in checks) else 1)


def lines_of(check: Check) -> list[str]:
    """One line when all is well; else what is wrong, and what to do, below it."""
    if check.ok:
        return [f"{check.name}: {check.verdict}: {'; '.join(filter(None, (check.checked, check.showed)))}"]
    total = check.flaws.total
    found = [f"  {flaw}" for flaw in check.flaws.kept[:SHOWN_MAX]]
    if total > len(found):
        found.append(f"  … and {total - len(found):,} more: --json lists the first {KEPT_MAX:,}")
    places = "place" if total == 1 else "places"
    return [f"{check.name}: WRONG in {total:,} {places}; checked: {check.checked}", *found, f"  Do: {check.remedy}"]


def _document(folder: Path, checks: list[Check]) -> dict[str, object]:
    return {"ok": all(check.ok for check in checks), "data_dir": str(folder)} | {
        check.name: {
            "ok": check.ok,
            "checked": check.checked,
            **check.counts,
            "wrong": check.flaws.total,
            "flaws": [found.document() for found in check.flaws],
            "remedy": "" if check.ok else check.remedy,
        }
        for check in checks
    }


@contextmanager
def _progress() -> Iterator[Watch]:
    """A bar on standard error when that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda name: unwatched
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:

        def watch(name: str) -> Told:
            task = bar.add_task(name, total=None)
            return lambda done, total: bar.update(task, completed=done, total=total)

        yield watch
