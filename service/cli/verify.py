"""`renrum verify`."""

from __future__ import annotations

import getpass
import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import msgspec

from facility.problems import so_many
from ingest.journal.flaw import KEPT_MAX, Flaw, Progress
from ingest.journal.sealing import CannotSeal
from service.cli.lookups import data_dir_of, place_options
from service.cli.options import Refusal, configuration_path, json_option
from service.cli.progress import progress_bar
from service.clock import SystemClock
from service.continuity.manifest import BackupUnusable
from service.continuity.restore import restore
from service.lock import turn_in
from service.proof.sealing import seal_what_is_due
from service.proof.verification import Check, verify_and_leave
from service.proof.verification import verify as verified
from service.stored.archive import Archive, ArchiveUnavailable, JournalUnavailable
from service.verified import Verified, keep, words_in

SHOWN_MAX = 20


@click.command()
@place_options
@click.option("--backup", type=click.Path(path_type=Path), help="Prove a backup: restore it into $TMPDIR, and verify what comes out.")
@click.option("--all", "everything", is_flag=True, help="Evaluate every step again, not only those since the last checkpoint.")
@click.option("--leave-checkpoint", is_flag=True, hidden=True, help="As the service's nightly verify does, which journals what was left.")
@click.option("--seal", is_flag=True, hidden=True, help="As the service does when all is well: seal days that are due.")
@json_option
def verify(
    config: Path | None, data_dir: Path | None, backup: Path | None, everything: bool, leave_checkpoint: bool, seal: bool, as_json: bool
) -> None:
    """Prove that the journal is whole, and that excursions and alarms are what the rules say of it.

    \b
    journal       every entry by its hash chain, every byte of the file
    audit         the audit trail by its hash chain, and as evaluated again
    excursions    the recorded steps since the last checkpoint (--all: since the first) evaluated again, all excursions and alarms compared
    completeness  received = stored + duplicate + quarantined; series.db against the journal

    Changes nothing, and runs beside a service, whose console shows who ran it and what it found. What it computes lies in $TMPDIR
    meanwhile, as much as series.db and state.db have; with --backup the journal, too. With a new version on a backup it is the upgrade
    test: does it judge as the one before did?
    Exit code 0 when all is well, 1 when something is not, 2 when there is nothing to verify.

    \b
    Examples:
      renrum verify --config site/renrum.yaml
      renrum verify --all --config site/renrum.yaml
      renrum verify --data-dir /mnt/copy/data --json
      renrum verify --backup /mnt/backup/renrum
    """
    if backup is not None and (data_dir or config):
        raise Refusal("--backup goes with neither --data-dir nor --config: a backup has all that is needed.")
    folder = backup or data_dir or data_dir_of(configuration_path(config, os.environ))
    began_ns = SystemClock().now_ns()
    try:
        with progress_bar() as watch:
            checks, left = (_of_backup(folder, watch), None) if backup else _of_data_dir(folder, watch, everything, leave_checkpoint)
    except (ArchiveUnavailable, JournalUnavailable, BackupUnusable) as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(f"{error.filename or folder}: {error.strerror}. $TMPDIR names another place for what is computed.") from None
    if not leave_checkpoint and not backup:
        _keep(folder, began_ns, checks)
    sealed = _sealed(folder) if seal and all(check.ok for check in checks) else []
    if as_json:
        click.echo(json.dumps(_document(folder, checks, left) | {"sealed_now": sealed}, indent=2, ensure_ascii=False))
    else:
        for check in checks:
            click.echo("\n".join(lines_of(check)))
    sys.exit(0 if all(check.ok for check in checks) else 1)


def _keep(folder: Path, began_ns: int, checks: list[Check]) -> None:
    """So that console and `doctor` show it; a folder that may only be read is left alone."""
    ok = all(check.ok for check in checks)
    words = words_in(_document(folder, checks, None))
    with suppress(OSError):
        keep(folder, Verified(began_ns, SystemClock().now_ns(), ok, 0 if ok else 1, words, _who()))


def _who() -> str:
    """Who runs the command, as the machine knows them."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def _sealed(folder: Path) -> list[dict[str, object]]:
    """Seal what is due; what the service is to journal of it."""
    try:
        return [msgspec.to_builtins(body) for body in seal_what_is_due(folder)]
    except (CannotSeal, ArchiveUnavailable, JournalUnavailable, OSError) as error:
        raise Refusal(f"a day cannot be sealed: {error}") from None


def _of_data_dir(
    folder: Path, watch: Callable[[str], Progress], everything: bool, leave: bool
) -> tuple[list[Check], tuple[int, str] | None]:
    with Archive(folder):
        pass  # there is a journal
    if leave:
        click.get_current_context().with_resource(turn_in(folder))
    return verify_and_leave(folder, SystemClock(), watch, all=everything, leave=leave)


def _of_backup(backup: Path, watch: Callable[[str], Progress]) -> list[Check]:
    """A backup is proven by what a restore makes of it."""
    backup = backup.parent if backup.is_file() else backup
    with TemporaryDirectory(prefix="renrum-verify-") as folder:
        restored = restore(backup, Path(folder), partial=True, progress=watch("restore"))
        checks = verified(Path(folder), SystemClock(), watch)
    for words in restored.warnings:
        checks[0].flaws.add(Flaw(words, file=str(backup)))
    return checks


def lines_of(check: Check) -> list[str]:
    """One line when all is well; else what is wrong, and what to do, below it."""
    if check.ok:
        return [f"{check.name}: {check.verdict}: {'; '.join(filter(None, (check.checked, check.showed)))}"]
    total = check.flaws.total
    found = [f"  {flaw}" for flaw in check.flaws.kept[:SHOWN_MAX]]
    if total > len(found):
        found.append(f"  … and {total - len(found):,} more: --json lists the first {KEPT_MAX:,}")
    return [f"{check.name}: WRONG in {so_many(total, 'place')}; checked: {check.checked}", *found, f"  Do: {check.remedy}"]


def _document(folder: Path, checks: list[Check], left: tuple[int, str] | None) -> dict[str, object]:
    """`left` is the checkpoint that was left: its entry and the SHA-256 of its file."""
    return {"ok": all(check.ok for check in checks), "data_dir": str(folder), "left": left} | {
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
