"""`renrum quarantine readmit`: through admission again, after the mapping or the facility file was mended."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import click

from alerts.record.store import StateUnavailable
from dashboards.quarantine_api import SHOWN, ReadmittedAnswer
from facility.files import Unreadable
from facility.problems import ConfigurationError, so_many
from facility.secret import Secret, read_secret
from facility.times import format_time
from ingest.admission.readmission import DUPLICATE, REFUSED, STORED, wanted_of
from ingest.journal.journal import JournalUnavailable
from ingest.series.series import SeriesUnavailable
from service.cli.lookups import DOCTOR, data_dir_of, span_of, time_of
from service.cli.options import GIVEN_PATH, Refusal, actor, configuration_path, json_option
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.lock import DataDirInUse, holder_of
from service.readmitting import readmit_stopped
from service.running import NotDone, Running, running_service
from service.stored.archive import Archive, ArchiveUnavailable

TOKEN = "RENRUM_TOKEN"  # the name of a variable
TOKEN_NEEDED = (
    f"Make a token, once: renrum users token add NAME --role supervisor --expires 1d; give it with --token-file FILE or in {TOKEN}."
)
LISTED = 20


@click.command()
@click.argument("terms", metavar="FILTER", nargs=-1)
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the audit trail.")
@click.option("--start", metavar="TIME", help="Received from this time on: RFC 3339, or local at the site.")
@click.option("--end", metavar="TIME", help="Received before this time.")
@click.option("--last", metavar="SPAN", help="Received in the last 90s, 15m, 2h, 7d.")
@click.option("--dry-run", is_flag=True, help="Only show what would be taken in.")
@click.option("--config", type=GIVEN_PATH, help="The renrum.yaml of the service.")
@click.option("--data-dir", type=GIVEN_PATH, help="The data_dir of a stopped service; no configuration is needed then.")
@click.option("--url", metavar="URL", help="Address of the running service, when it is not the one of the configuration.")
@click.option("--token-file", type=click.Path(path_type=Path), help=f"File with a token of the service; or the variable {TOKEN}.")
@json_option
def readmit(terms: tuple[str, ...], reason: str, dry_run: bool, as_json: bool, **where: Any) -> None:
    """Put records in quarantine through admission again, as late data.

    What FILTER names goes through the mapping and the points that are in force now: what is understood is stored and judged as readings
    that came late; what is not stays in quarantine. The records themselves are kept, and the audit trail says who had them taken in, and
    why. To do it twice is harmless: what is stored already is a duplicate.

    A running service does it; a token is needed where it has users. On a stopped one it is done in its data_dir, and judged at its next
    start.

    \b
    FILTER is one or more of, where of different kinds all must match:
      reason=REASON   or a bare reason, such as point_unknown
      topic=FILTER    an MQTT topic filter, or a glob
      point=GLOB      of the points that the records give now
      id=ENTRY.INDEX  or a bare id, as `renrum quarantine` lists them
      all

    \b
    Examples:
      renrum quarantine readmit point_unknown topic='scada/#' --reason "table of tags completed" --dry-run
      renrum quarantine readmit 'point=cp1.*' --start 2026-11-20 --reason "room cp1 was missing in facility.yaml"
      renrum quarantine readmit 48211.0 --reason "clock of counter 3 was an hour ahead, see DEV-112"
    """
    if not reason.strip():
        raise Refusal("--reason: say why, in words.")
    config, data_dir = where["config"], where["data_dir"]
    folder = data_dir or data_dir_of(configuration_path(config, os.environ))
    asked = {name: where[name] for name in ("start", "end", "last")}
    try:
        if where["url"] or holder_of(folder) is not None:
            service = _running(config, data_dir, where["url"], where["token_file"])
            answer = _by_service(service, terms, asked, reason, dry_run)
        else:
            answer = _stopped(folder, None if data_dir else configuration_path(config, os.environ), terms, asked, reason, dry_run)
    except OSError as error:
        raise Refusal(f"{folder}: {error.strerror or error}. Run this as the service's user.") from None
    if as_json:
        click.echo(answer.model_dump_json(indent=2))
        return
    for line in _lines(answer):
        click.echo(line)


def token_of(token_file: Path | None) -> Secret | None:
    """The token for a running service: from the file, else from the environment."""
    try:
        return read_secret(token_file) if token_file else Secret(os.environ[TOKEN]) if os.environ.get(TOKEN) else None
    except Unreadable as error:
        raise Refusal(f"--token-file: found {error}") from None


def _running(config: Path | None, data_dir: Path | None, url: str | None, token_file: Path | None) -> Running:
    token = token_of(token_file)
    if data_dir is not None and url is None:
        raise Refusal("A service runs on this data_dir: name its --config, or its --url.")
    configuration = None if data_dir is not None else load_configuration(configuration_path(config, os.environ), os.environ)
    return running_service(configuration.settings if configuration else None, url, token)


def _by_service(service: Running, terms: tuple[str, ...], asked: dict[str, str | None], reason: str, dry_run: bool) -> ReadmittedAnswer:
    body: dict[str, Any] = {"filter": list(terms), "reason": reason, "dry_run": dry_run}
    if asked["last"] is not None:
        body["start"] = _since(asked)
    body |= {name: text for name, text in asked.items() if name != "last" and text is not None}
    if service.token is None:
        body["by"] = actor()
    try:
        return ReadmittedAnswer.model_validate(service.post("/api/v1/quarantine/readmit", body))
    except NotDone as error:
        if error.status == HTTPStatus.UNAUTHORIZED and service.token is None:
            raise Refusal(f"{service.url} wants to know who asks. {TOKEN_NEEDED}") from None
        raise Refusal(str(error)) from None


def _since(asked: dict[str, str | None]) -> str:
    """The start that --last means, for a service that knows no such word."""
    if asked["start"] is not None:
        raise Refusal("--last and --start: give one of them.")
    if asked["end"] is not None:
        raise Refusal("--last counts back from now: give --start with --end.")
    return format_time(SystemClock().now_ns() - span_of("--last", asked["last"] or ""))


def _stopped(
    folder: Path, config: Path | None, terms: tuple[str, ...], asked: dict[str, str | None], reason: str, dry_run: bool
) -> ReadmittedAnswer:
    """In the data_dir, by the configuration in force, whose site's time zone also reads the times."""
    configuration: Configuration | None = None if config is None else load_configuration(config, os.environ)
    try:
        with Archive(folder) as archive:
            zone = archive.zone
        start = _since(asked) if asked["last"] is not None else asked["start"]
        start_ns = None if start is None else time_of("--start", start, zone)
        end_ns = None if asked["end"] is None else time_of("--end", asked["end"], zone)
        wanted = wanted_of(terms, start_ns, end_ns)
        by = actor()
        return ReadmittedAnswer.of(readmit_stopped(folder, configuration, SystemClock(), wanted, by, reason.strip(), dry_run), dry_run)
    except ValueError as error:
        raise Refusal(f"FILTER: {error}") from None
    except (ArchiveUnavailable, DataDirInUse, JournalUnavailable, SeriesUnavailable, StateUnavailable, ConfigurationError) as error:
        raise Refusal(str(error)) from None
    except sqlite3.Error as error:
        raise Refusal(f"{folder} cannot be read: {error}. {DOCTOR}") from None


def _lines(answer: ReadmittedAnswer) -> Iterator[str]:
    would = "would be " if answer.dry_run else ""
    counts = answer.records
    total = sum(counts.values())
    if not total:
        yield "No record in quarantine matches FILTER. `renrum quarantine --summary` shows what there is."
        return
    for outcome in answer.outcomes[:LISTED]:
        became = {STORED: f"{would}stored", DUPLICATE: f"{would}duplicate"}.get(outcome.result, f"stays: {outcome.reason}")
        words = ", ".join(outcome.points) if outcome.points and outcome.result != REFUSED else outcome.detail
        yield f"{outcome.id}  {outcome.was}  {became}  {words}{'  (taken in before)' if outcome.again else ''}"
    if total > LISTED:
        yield f"… and {total - LISTED} more; --json names {min(total, SHOWN)}"
    again = f", {answer.again:,} of them taken in before" if answer.again else ""
    refused = f" ({', '.join(f'{count:,} {reason}' for reason, count in answer.refused.items())})" if answer.refused else ""
    left = f"{counts[REFUSED]:,} {'stays' if counts[REFUSED] == 1 else 'stay'} in quarantine{refused}"
    yield f"{so_many(total, 'record')}{again}: {counts[STORED]:,} {would}stored, {counts[DUPLICATE]:,} {would}duplicate, {left}"
    if answer.entries:
        where = f"entry {answer.entries[0]}" if len(answer.entries) == 1 else f"entries {answer.entries[0]} to {answer.entries[-1]}"
        sums = f"{answer.stored:,} stored + {answer.duplicates:,} duplicate + {answer.quarantined:,} quarantined again"
        yield f"{where} of the journal: {sums}"
