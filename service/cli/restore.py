"""`renrum restore`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import click

from facility.document import read_document
from facility.files import Files, Unreadable
from facility.problems import so_many
from facility.secret import Secret, read_secret
from facility.times import format_time
from historian.influx import Influx
from historian.target import Target
from ingest.journal.flaw import Progress
from service.cli.options import GIVEN_PATH, Refusal, Span, configuration_path, json_option, unwritable
from service.cli.progress import progress_bar
from service.clock import SystemClock
from service.continuity.manifest import BackupUnusable, put
from service.continuity.recovery import Recovery, recover
from service.continuity.restore import REPORT, Restored, finish, restore_configuration
from service.continuity.restore import restore as restored_from
from service.lock import DataDirInUse, DataDirLock
from service.settings.historian import READ_TOKEN, TOKEN
from service.stored.archive import ArchiveUnavailable, JournalUnavailable

SPANS_SHOWN, NAMED = 20, 4


@dataclass(frozen=True, slots=True)
class InfluxAsked:
    """What the command line says of InfluxDB; what it does not say the configuration does."""

    url: str | None
    org: str | None
    bucket: str | None
    token_file: Path | None
    ca_file: Path | None

    def target(self, config: Path | None) -> Target:
        """Where to look; raises Refusal that names what is missing."""
        known = _historian_of(config)
        folder = config.parent if config is not None else Path()
        found = {name: getattr(self, name) or known.get(name) for name in ("url", "org", "bucket")}
        missing = [f"--influx-{name}" for name, value in found.items() if not value]
        if missing:
            raise Refusal(f"--from-influx: {', '.join(missing)} is neither given nor in `historian.influxdb` of a renrum.yaml (--config).")
        named = known.get("read_token_file") or known.get("token_file")
        path = self.token_file or (folder / str(named) if named else None)
        ca_file = self.ca_file or (folder / str(known["ca_file"]) if known.get("ca_file") else None)
        return Target(str(found["url"]), str(found["org"]), str(found["bucket"]), _token(path), ca_file=ca_file)


@click.command()
@click.argument("backup", metavar="BACKUP", type=click.Path(path_type=Path))
@click.option("--data-dir", type=GIVEN_PATH, required=True, help="The data_dir to make: a new or an empty folder.")
@click.option("--config-dir", type=click.Path(path_type=Path), help="Where the configuration goes: a new or an empty folder.")
@click.option("--from-influx", is_flag=True, help="Fill the time since the backup from InfluxDB.")
@click.option(
    "--late", type=Span(), default="1d", show_default=True, help="Look for readings that were measured so long before the backup."
)
@click.option("--config", type=GIVEN_PATH, help="The renrum.yaml that says where InfluxDB is.  [default: the restored one]")
@click.option("--influx-url", help="Where InfluxDB is.")
@click.option("--influx-org", help="Its organisation.")
@click.option("--influx-bucket", help="Its bucket.")
@click.option("--influx-token-file", type=click.Path(path_type=Path), help=f"A file with a token that may read it, else ${TOKEN}.")
@click.option("--influx-ca-file", type=click.Path(path_type=Path), help="The authority of its certificate, if it is your own.")
@click.option("--partial", is_flag=True, help="Of a damaged backup, restore what is whole before the damage.")
@json_option
def restore(
    backup: Path, data_dir: Path, config_dir: Path | None, from_influx: bool, late: int, config: Path | None, influx_url: str | None,
    influx_org: str | None, influx_bucket: str | None, influx_token_file: Path | None, influx_ca_file: Path | None, partial: bool,
    as_json: bool,
) -> None:  # fmt: skip
    """Make a data_dir, and a configuration, from a backup. Nothing that exists is overwritten.

    The journal's chain is checked while it is read and again in what was written. What InfluxDB has of the time since goes through
    admission like everything that arrives, marked as recovered. The report says what stays unknown; it is kept in the data_dir, too.
    Stop or switch off the old service first.

    Exit code 0: restored; 1: restored, but something in the backup is to be looked at, or InfluxDB could not be read; 2: nothing was.

    \b
    Examples:
      renrum restore /mnt/backup/renrum --data-dir /var/lib/renrum --config-dir /etc/renrum
      renrum restore /mnt/backup/renrum --data-dir /var/lib/renrum --from-influx --config /etc/renrum/renrum.yaml
    """
    backup = backup.parent if backup.is_file() else backup
    os.umask(0o077)
    clock = SystemClock()
    begun = clock.monotonic_ns()
    asked = InfluxAsked(influx_url, influx_org, influx_bucket, influx_token_file, influx_ca_file)
    try:
        with progress_bar() as watch, DataDirLock(data_dir, clock, to_restore=True):
            target = asked.target(_config_of(config, backup)) if from_influx else None
            restored = restored_from(backup, data_dir, partial=partial, progress=watch("restore"))
            names = restore_configuration(backup, restored.manifest, config_dir) if config_dir is not None else []
            recovery = _recovered(data_dir, target, clock, late, watch("InfluxDB"))
            report = _report(backup, restored, recovery, (clock.monotonic_ns() - begun) / 1e9)
            put(data_dir / REPORT, json.dumps(report, indent=1, ensure_ascii=False).encode())
            finish(data_dir, clock, _for_the_record(backup, restored, recovery))
    except (BackupUnusable, ArchiveUnavailable, JournalUnavailable, DataDirInUse) as error:
        raise Refusal(str(error)) from None
    except OSError as error:
        raise Refusal(unwritable(error, data_dir)) from None
    click.echo(
        json.dumps(report, indent=2, ensure_ascii=False) if as_json else "\n".join(_lines(data_dir, restored, recovery, report, names))
    )
    sys.exit(1 if restored.warnings or recovery.fault else 0)


def _recovered(data_dir: Path, target: Target | None, clock: SystemClock, late_ns: int, told: Progress) -> Recovery:
    if target is None:
        return recover(data_dir, None, clock)
    with Influx(target, reading=True) as influx:
        return recover(data_dir, influx, clock, late_ns=late_ns, progress=lambda count: told(count, count))


def _report(backup: Path, restored: Restored, recovery: Recovery, took_s: float) -> dict[str, object]:
    return {
        "backup": str(backup.absolute()),
        "backup_written": restored.manifest.written,
        "written_by": restored.manifest.renrum,
        "entries": restored.head.seq,
        "readings": restored.readings,
        "newest": format_time(restored.head.at),
        "head": restored.head.hash.hex(),
        "judged_entries": restored.state_entries,
        "warnings": list(restored.warnings),
        "seconds": round(took_s, 1),
        "gap": recovery.document(),
    }


def _for_the_record(backup: Path, restored: Restored, recovery: Recovery) -> str:
    """One sentence for the journal and the audit trail."""
    gap = recovery.sums
    filled = f"{so_many(gap.stored, 'reading')} and states recovered from {recovery.source}" if recovery.source else "nothing recovered"
    return (
        f"from {backup}, entries up to {restored.head.seq} of {format_time(restored.head.at)}, head {restored.head.hash.hex()}; "
        f"{filled}{f', then it failed: {recovery.fault}' if recovery.fault else ''}; "
        f"{so_many(len(recovery.unknown), 'span')} unknown, see {REPORT}"
    )


def _lines(data_dir: Path, restored: Restored, recovery: Recovery, report: dict[str, object], names: list[str]) -> list[str]:
    gap = recovery.sums
    lines = [
        f"{data_dir}: {so_many(restored.head.seq, 'entry')}, {so_many(restored.readings, 'reading')} "
        f"up to {format_time(restored.head.at)}, chain checked twice; {report['seconds']} s",
        *(f"look at this: {words}" for words in restored.warnings),
    ]
    if names:
        lines.append(f"configuration: {', '.join(names)}")
    if restored.manifest.left_out:
        lines.append(
            f"not in the backup, as they are secret: {', '.join(restored.manifest.left_out)}. Put them back from where you keep them."
        )
    if recovery.source:
        lines.append(
            f"recovered from {recovery.source}: {so_many(gap.stored, 'reading')} and states of {so_many(recovery.points, 'point')}, "
            f"{gap.duplicates:,} were there already, {gap.quarantined.total():,} in quarantine"
        )
    if recovery.fault:
        lines.append(f"not all was recovered: {recovery.fault}. Restore into another folder when that is mended, or go on without.")
    lines += _unknown(recovery)
    if not restored.state_entries:
        lines.append("No state.db came with the backup: the service judges the whole journal again when it starts.")
    lines.append(f"Next: see that the old service does not run any more, then start this one. The report is in {data_dir / REPORT}.")
    return lines


def _unknown(recovery: Recovery) -> list[str]:
    """What stays unknown, in words; points with the same span stand together."""
    spans: dict[tuple[int, int], list[str]] = {}
    for span in recovery.unknown:
        spans.setdefault((span.start, span.end), []).append(span.point)
    lines = ["unknown, but for what the broker has queued:" if spans else "unknown:"]
    for (start, end), points in sorted(spans.items())[:SPANS_SHOWN]:
        named = ", ".join(points) if len(points) <= NAMED else f"{so_many(len(points), 'point')} ({', '.join(points[:NAMED])}, …)"
        lines.append(f"  {format_time(start)} to {format_time(end)}: {named}")
    if len(spans) > SPANS_SHOWN:
        lines.append(f"  … and {len(spans) - SPANS_SHOWN:,} more spans, in the report")
    lines.append(
        "  since the backup: states of rooms that InfluxDB has not, what lay in quarantine, values as instruments sent them, pages"
    )
    if recovery.actions:
        lines += ["done by people since, and to be done again:", *(f"  {words}" for words in recovery.actions)]
    else:
        lines.append("  since the backup: acknowledgements and whatever else people did")
    return lines


def _config_of(config: Path | None, backup: Path) -> Path | None:
    """The renrum.yaml that names InfluxDB: the one given, else the backup's."""
    if config is not None:
        return configuration_path(config, os.environ)
    found = backup / "configuration" / "renrum.yaml"
    return found if found.is_file() else None


def _historian_of(config: Path | None) -> dict[str, object]:
    """`historian.influxdb` of a renrum.yaml, also where its secrets are missing."""
    if config is None:
        return {}
    try:
        document, _ = read_document(*Files.around(config))
    except Unreadable as error:
        raise Refusal(f"{config}: {error}") from None
    historian = document.value.get("historian") if document.value else None
    known = historian.get("influxdb") if isinstance(historian, dict) else None
    return dict(known) if isinstance(known, dict) else {}


def _token(path: Path | None) -> Secret:
    if text := os.environ.get(READ_TOKEN) or os.environ.get(TOKEN):
        return Secret(text)
    if path is None:
        raise Refusal(f"--from-influx: no token; give --influx-token-file FILE, or ${TOKEN} in the environment.")
    try:
        return read_secret(path)
    except Unreadable as error:
        raise Refusal(f"--from-influx: the token is {error}; give --influx-token-file FILE, or ${TOKEN} in the environment.") from None
