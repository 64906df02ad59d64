"""`renrum apply`: the files of the configuration's folder put in force, shown before and recorded value by value."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args
from zoneinfo import ZoneInfo

import click

from alerts.people.register import PeopleUnavailable
from alerts.record.signing import digest_of
from alerts.record.store import StateUnavailable
from dashboards.configuration_api import AppliedAnswer
from dashboards.monitor import MOVED_ON, SHOWN, UNCHANGED, UNSIGNED, ApplyAnswered, ApplyAsked, MonitorUnavailable
from dashboards.record_api import Meaning
from facility.files import Files
from facility.problems import so_many
from facility.times import format_time, local_time, parse_time
from ingest.journal.entries import Changed
from ingest.journal.journal import JournalUnavailable
from rules.excursion import Excursion
from service.applied import in_force
from service.applying import apply_stopped, there_are_people
from service.cli.lookups import DOCTOR, span_of
from service.cli.options import Refusal, actor, config_option, json_option
from service.cli.progress import progress_bar
from service.cli.readmit import TOKEN, token_of
from service.cli.signing import APPROVAL, PASSWORD, Signer, proven, signed_in
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.configuration.judging import judging_from_entry
from service.configuration.values import line_of
from service.impact.consequences import Consequences, consequences
from service.lock import DataDirInUse, holder_of
from service.running import NotDone, Running, running_service
from service.settings.settings import Settings, read_settings
from service.stored.archive import Archive, ArchiveUnavailable

LISTED = 40
EXCURSIONS_LISTED = 10


@dataclass(frozen=True, slots=True)
class _Way:
    """How it is put in force, by the running service or in the data_dir of a stopped one: looked at, then done as it was seen."""

    look: Callable[[], AppliedAnswer]
    put: Callable[[AppliedAnswer], AppliedAnswer]
    running: bool


@click.command()
@config_option
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the journal and in the audit trail.")
@click.option("--change", default="", metavar="ID", help="Of the change request or deviation.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@click.option("--yes", is_flag=True, help="Do not ask, for programs.")
@click.option("--last", default="90d", show_default=True, metavar="SPAN", help="So far back excursions are judged again to be compared.")
@click.option("--no-excursions", is_flag=True, help="Do not judge again what was recorded.")
@click.option("--url", metavar="URL", help="Address of the running service, when it is not the one of the configuration.")
@click.option("--user", metavar="NAME", help="Who signs: the user id. Asked for unless given.")
@click.option("--meaning", type=click.Choice(get_args(Meaning)), help=f"What the signature means.  [default: {APPROVAL}]")
@click.option("--password-file", type=click.Path(path_type=Path), help=f"File with the password; or the variable {PASSWORD}.")
@click.option("--token-file", type=click.Path(path_type=Path), help=f"File with a token, where nobody signs; or {TOKEN}.")
@json_option
def apply(config: Path, reason: str, change: str, dry_run: bool, yes: bool, as_json: bool, **others: Any) -> None:
    """Put changed files in force, without a restart: facility, rules, limits, sources, on-call.

    Shows every value that changes, and which excursions of the last 90 days it adds or removes; then it asks. A running service follows
    from that moment on; earlier readings, however late, are judged by what was in force at their time. A configuration that `renrum check`
    refuses is refused whole. While the service is stopped, its next start judges by it, from the moment of this command.

    Where there are users and `apply: signed` is in force, a supervisor or an administrator signs it, with the password again.

    Exit code 0 when it is in force, also when it was before; 1 when it was not confirmed; 2 when it cannot be.

    \b
    Examples:
      renrum apply --dry-run
      renrum apply --reason "limits after requalification" --change CR-2026-017
      renrum apply --reason "limits after requalification" --user karin --meaning approval
      renrum apply --reason "new room cp4" --yes --json
    """
    reason, change = reason.strip(), change.strip()
    if not reason and not dry_run:
        raise Refusal("--reason: say why, in words; or --dry-run to only look.")
    if not dry_run and not yes and (as_json or not sys.stdin.isatty()):
        raise Refusal("There is nobody to ask: give --yes, or --dry-run to only look.")
    configuration = load_configuration(config, os.environ)
    data_dir = configuration.settings.data_dir
    with _explained(data_dir), ExitStack() as opened:
        way = _way(opened, config, configuration, ApplyAsked(actor(), reason or "dry run", change, dry_run=dry_run), others)
        found = way.look()
        if found.digest != digest_of(configuration.as_entry()):
            raise Refusal(f"{config}: the service reads other files than these. Run this where it runs, with its --config.")
        impact = None
        if found.result == SHOWN and not others["no_excursions"]:
            impact = _impact(data_dir, configuration, span_of("--last", others["last"]))
        if not as_json:
            _show(found, impact, others["last"], configuration)
        if found.result != UNCHANGED and not dry_run:
            if not yes and not click.confirm("Put this in force?"):
                click.echo("Nothing was applied.")
                sys.exit(1)
            found = way.put(found)
            if not as_json:
                click.echo(_done(found, way.running))
    if as_json:
        document = found.model_dump() | {"excursions": None if impact is None else _document(impact)}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))


def _way(opened: ExitStack, config: Path, configuration: Configuration, asked: ApplyAsked, others: dict[str, Any]) -> _Way:
    data_dir = configuration.settings.data_dir
    signer = Signer(others["user"], others["password_file"], others["meaning"])
    if others["url"] is None and holder_of(data_dir) is None:
        return _stopped(data_dir, configuration, asked, signer)
    settings = _settings_in_force(config, data_dir, others["url"])
    service = running_service(settings, others["url"], token_of(others["token_file"]))
    if signer.user is not None or (service.token is None and settings is not None and settings.http.users):
        service = opened.enter_context(signed_in(service, signer))
    return _running(service, asked, signer)


def _stopped(data_dir: Path, configuration: Configuration, asked: ApplyAsked, signer: Signer) -> _Way:
    clock = SystemClock()
    if signer.offered and not there_are_people(data_dir):
        raise Refusal("--user, --meaning: nobody can sign here, as there are no users yet. Leave these out, or `renrum users` adds some.")

    def look() -> AppliedAnswer:
        return answer_of(apply_stopped(data_dir, configuration, clock, replace(asked, dry_run=True)))

    def put(seen: AppliedAnswer) -> AppliedAnswer:
        done = replace(asked, expect=seen.digest)
        with proven(data_dir, clock, signer) if seen.signature or signer.offered else nullcontext() as who:
            if who is not None:
                done = replace(done, by=who.label, meaning=signer.meaning or APPROVAL, signed_at=clock.now_ns())
            return answer_of(apply_stopped(data_dir, configuration, clock, done))

    return _Way(look, put, False)


def _running(service: Running, asked: ApplyAsked, signer: Signer) -> _Way:
    body: dict[str, Any] = {"reason": asked.reason, "change": asked.change}
    if service.token is None and service.session is None:
        body["by"] = asked.by

    def post(**more: Any) -> AppliedAnswer:
        return AppliedAnswer.model_validate(service.post("/api/v1/configuration/apply", body | more))

    def look() -> AppliedAnswer:
        found = post(dry_run=True)
        if found.signature and service.session is None and not asked.dry_run:
            raise Refusal("A program cannot sign, and `apply: signed` is in force: --user NAME signs, a supervisor or an administrator.")
        return found

    def put(seen: AppliedAnswer) -> AppliedAnswer:
        if service.session is None or not (seen.signature or signer.meaning):
            return post(expect=seen.digest)
        password = signer.password(f"Password again, {signer.to_sign}")
        return post(expect=seen.digest, password=password.reveal(), meaning=signer.meaning or APPROVAL)

    return _Way(look, put, True)


def _settings_in_force(config: Path, data_dir: Path, url: str | None) -> Settings | None:
    """Of the service as it was configured when it started, which the files may say otherwise now."""
    history = in_force(data_dir)
    if not history and url is None:
        raise ArchiveUnavailable(f"{data_dir}: no configuration is in force yet. Try again when the service has started.")
    if not history:
        return None
    kept = history[-1][1].entry
    return read_settings(Files(config.parent, kept["files"]), str(kept["main"]), os.environ).settings


def answer_of(found: ApplyAnswered) -> AppliedAnswer:
    """As the service would answer."""
    if found.result == MOVED_ON:
        raise NotDone("The files were changed since they were shown. Look at what they say now, then apply that.")
    if found.result == UNSIGNED:
        raise NotDone("Meanwhile it takes a signature. Nothing was applied: do this again.")
    return AppliedAnswer.of(found)


@contextmanager
def _explained(data_dir: Path) -> Iterator[None]:
    try:
        yield
    except (
        NotDone, ArchiveUnavailable, DataDirInUse, JournalUnavailable, StateUnavailable, MonitorUnavailable, PeopleUnavailable,
    ) as error:  # fmt: skip
        raise Refusal(str(error)) from None
    except sqlite3.Error as error:
        raise Refusal(f"{data_dir} cannot be read: {error}. {DOCTOR}") from None
    except OSError as error:
        raise Refusal(f"{data_dir}: {error.strerror or error}. Run this as the service's user.") from None


def _impact(data_dir: Path, configuration: Configuration, span_ns: int) -> Consequences:
    with Archive(data_dir) as archive, progress_bar() as progress:
        told = progress("Judging again")
        old = judging_from_entry(archive.configurations[-1][1].entry)
        start = SystemClock().now_ns() - span_ns
        return consequences(archive, old, configuration.judge, start, lambda done: told(round(done * 1000), 1000))


# What people see


def _show(found: AppliedAnswer, impact: Consequences | None, last: str, configuration: Configuration) -> None:
    if found.result == UNCHANGED:
        click.echo(f"Nothing to apply: the files say what is in force, {found.config[:12]}.")
        return
    count = len(found.changes)
    click.echo(f"{so_many(count, 'value')} {'changes' if count == 1 else 'change'}:")
    for change in found.changes[:LISTED]:
        click.echo(f"  {line_of(Changed(change.what, change.old, change.new))}")
    if count > LISTED:
        click.echo(f"  … and {count - LISTED} more; --json names all")
    if impact is not None:
        for line in impact_lines(impact, last, ZoneInfo(configuration.facility.site.timezone)):
            click.echo(line)


def impact_lines(impact: Consequences, last: str, zone: ZoneInfo) -> Iterator[str]:
    """What it would have done, in words."""
    if not impact.points:
        yield f"Excursions of the last {last}: none of them depends on it."
    else:
        counts = f"{len(impact.removed)} removed, {len(impact.added)} added, {len(impact.moved)} moved"
        places = so_many(impact.points, "point")
        yield f"Excursions of the last {last} at {places} judged otherwise: {impact.before} → {impact.after}: {counts}"
    told = [("removed", [(row, _peak(row)) for row in impact.removed]), ("added", [(row, _peak(row)) for row in impact.added])]
    told.append(("moved", [(before, _moved(before, after, zone)) for before, after in impact.moved]))
    for word, rows in told:
        for row, what in rows[:EXCURSIONS_LISTED]:
            yield f"  {word:<8} {local_time(row.onset, zone)}  {row.rule} {row.point}{what}"
        if len(rows) > EXCURSIONS_LISTED:
            yield f"  … and {len(rows) - EXCURSIONS_LISTED} more {word}; --json names all"


def _moved(before: Excursion, after: Excursion, zone: ZoneInfo) -> str:
    times = (("begins", before.onset, after.onset), ("raised", before.raised, after.raised), ("ends", before.ended, after.ended))
    return "".join(
        f", {word} {'not yet' if now is None else local_time(now, zone)} instead of {'not yet' if then is None else local_time(then, zone)}"
        for word, then, now in times
        if then != now
    )


def _peak(row: Excursion) -> str:
    return "" if row.peak is None else f", worst {row.peak:.6g} {row.unit}"


def _done(found: AppliedAnswer, running: bool) -> str:
    since = "" if found.at is None else f" since {format_time(parse_time(found.at))}"
    signed = f"Signed, {found.signed[:16]}…" if found.signed else "Nobody signed it"
    if running:
        return f"In force{since}: {found.config[:12]}. {signed}. `renrum history POINT` shows it."
    return f"Journalled: it is in force{since}; the next start judges by it. {signed}."


def _document(impact: Consequences) -> dict[str, Any]:
    def rows(excursions: Sequence[Excursion]) -> list[dict[str, Any]]:
        return [
            {
                "rule": row.rule, "point": row.point, "onset": format_time(row.onset),
                "ended": None if row.ended is None else format_time(row.ended), "peak": row.peak, "unit": row.unit,
            }
            for row in excursions
        ]  # fmt: skip

    return {
        "before": impact.before,
        "after": impact.after,
        "points": impact.points,
        "removed": rows(impact.removed),
        "added": rows(impact.added),
        "moved": [{"before": before, "after": after} for moved in impact.moved for before, after in [rows(moved)]],
    }
