"""`renrum replay`: a recording judged offline, or published over MQTT."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NoReturn
from zoneinfo import ZoneInfo

import click

from alerts.judging.excursion_file import SUFFIXES, write_excursions
from alerts.judging.replay import Replay
from facility.facility_file import load_facility
from facility.problems import ConfigurationError, so_many
from facility.recording import Chunk, RecordingError, load_mapping, read_recording, span_of
from facility.sections import ID_ALLOWED, is_id
from facility.site import Facility
from ingest.admission.recorded import RecordedSums, refused_file
from rules.plan import Plan, plan_of
from service.cli.options import PASSWORD, Refusal, Url, configuration_path, fraction_bar, json_option
from service.clock import SystemClock
from service.configuration.judging import judging_hash, load_judging
from simulators.broker import Broker, BrokerUnreachable

if TYPE_CHECKING:
    from simulators.playback import Played

FILE = click.Path(path_type=Path)
OUT = click.Path(dir_okay=False, path_type=Path)
Read = Callable[[], Iterator[Chunk]]


@click.command()
@click.argument("recordings", nargs=-1, metavar="REC...", type=FILE)
@click.option("--from-influx", is_flag=True, help="Instead of REC: readings and states out of the InfluxDB of --config.")
@click.option("--start", metavar="TIME", help="With --from-influx: from this time on, RFC 3339 or local at the site.")
@click.option("--end", metavar="TIME", help="With --from-influx: before this time.  [default: now]")
@click.option("--facility", "facility_path", type=FILE, help="What is monitored: a facility.yaml.")
@click.option("--rules", "rules_paths", type=FILE, multiple=True, help="The rules that judge; may be given several times.")
@click.option("--limits", "limits_path", type=FILE, help="The limits.csv that the rules name.")
@click.option("--config", "config", type=FILE, help="Instead of these: a renrum.yaml.  [default: as for the other commands]")
@click.option("--mapping", "mapping_path", type=FILE, help="How to read a table that is no recording (docs/recordings.md).")
@click.option("--out", type=OUT, help="Write the excursions here: .csv or .parquet.")
@click.option("--all", "everything", is_flag=True, help="Revised and superseded ones too; offline nothing is late: there are none.")
@click.option("--quarantine", "refused_path", type=OUT, help="Write the rows that were refused here, with the reason: .csv.")
@click.option("--mqtt", "broker", type=Url(), help=f"Publish the recording instead. ${PASSWORD} has the password.")
@click.option("--site", help="With --mqtt: the site's id in the topics.  [default: the facility's]")
@click.option("--speed", type=click.FloatRange(min=0), help="With --mqtt: so many times as fast, 0 as fast as it goes.  [default: 1]")
@click.option("--batch", type=click.IntRange(1, 10_000), help="With --mqtt: up to so many readings of a point in a message.  [default: 1]")
@click.option("--retime", is_flag=True, help="With --mqtt: move all times, as if it happened now.")
@json_option
def replay(
    recordings: tuple[Path, ...], from_influx: bool, start: str | None, end: str | None,
    facility_path: Path | None, rules_paths: tuple[Path, ...], limits_path: Path | None, config: Path | None,
    mapping_path: Path | None, out: Path | None, everything: bool, refused_path: Path | None, broker: Broker | None, site: str | None,
    speed: float | None, batch: int | None, retime: bool, as_json: bool,
) -> None:  # fmt: skip
    """Judge a recording with the engine that judges live, or publish it over MQTT.

    REC is CSV (.gz, .xz) or Parquet with the columns time,point,value and, if you have them, received,quality,unit; several files are one
    recording. What was read, and what was refused, is counted on standard error; with --json also on standard output.

    \b
    Examples:
      renrum replay rec.csv --facility facility.yaml --rules rules.yaml --out excursions.csv
      renrum replay 2026-0*.csv.gz --config site/renrum.yaml --out excursions.parquet --quarantine refused.csv
      renrum replay logger.txt --mapping logger.yaml --config site/renrum.yaml --out excursions.csv --json
      renrum replay rec.csv --config site/renrum.yaml --mqtt mqtt://127.0.0.1:1883 --speed 60 --retime
      renrum replay --from-influx --start 2026-11-01 --end 2026-12-01 --config site/renrum.yaml --out excursions.csv
    """
    if (out is None) == (broker is None):
        raise click.UsageError("give either --out FILE (judge the recording) or --mqtt URL (publish it).")
    judged_only = {"--rules": rules_paths, "--limits": limits_path, "--quarantine": refused_path, "--all": everything}
    published_only = {"--site": site, "--speed": speed, "--batch": batch, "--retime": retime}
    given_files = {"--facility": facility_path, "--rules": rules_paths, "--limits": limits_path}
    if config is not None:
        _refuse(given_files, "--config has these in its renrum.yaml: leave out")
    if from_influx == bool(recordings):
        raise click.UsageError("give either REC... or --from-influx.")
    if from_influx:
        _refuse(given_files | {"--mapping": mapping_path}, "--from-influx takes --config, and no")
    else:
        _refuse({"--start": start, "--end": end}, "a recording is replayed whole; only with --from-influx:")
    mapping = None if mapping_path is None else load_mapping(mapping_path)

    def reader(facility: Facility) -> Read:
        if from_influx:
            from service.cli.replay_influx import influx_reader  # its client takes half a second to load

            return influx_reader(config, facility, start, end)
        return lambda: read_recording(recordings, mapping, ZoneInfo(facility.site.timezone))

    try:
        if out is not None:
            _refuse(published_only, "with --out nothing is published: leave out")
            _check_outputs(out, refused_path, recordings)
            plan = _plan(config, facility_path, rules_paths, limits_path)
            said = _judge(reader(plan.facility), plan, out, refused_path)
        else:
            assert broker is not None
            _refuse(judged_only, "with --mqtt nothing is judged: leave out")
            facility = _at_site(_facility(config, facility_path), site)
            said = _publish(reader(facility), facility, broker, 1.0 if speed is None else speed, batch or 1, retime)
    except (RecordingError, BrokerUnreachable) as error:
        raise Refusal(str(error)) from None
    if as_json:
        click.echo(json.dumps(said))


def _refuse(options: Mapping[str, object], why: str) -> None:
    given = [name for name, value in options.items() if value not in (None, (), False)]
    if given:
        raise click.UsageError(f"{why} {', '.join(given)}.")


def _check_outputs(out: Path, refused: Path | None, recordings: Sequence[Path]) -> None:
    """What would only be found out after hours of reading."""
    if out.suffix not in SUFFIXES:
        raise click.UsageError(f"--out: found {str(out)!r}; allowed: a name that ends in {' or '.join(SUFFIXES)}.")
    read = [path.resolve() for path in recordings]
    outputs = [("--out", out)] if refused is None else [("--out", out), ("--quarantine", refused)]
    for option, path in outputs:
        folder = path.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            found = "cannot be written" if folder.is_dir() else "does not exist"
            raise click.UsageError(f"{option}: the folder {folder} {found}. Make it, or choose another one.")
        if path.resolve() in read:
            raise click.UsageError(f"{option}: {path} is the recording itself. Choose another name.")
    if refused is not None and refused.resolve() == out.resolve():
        raise click.UsageError("--quarantine: the same file as --out. Choose another name.")


def _plan(config: Path | None, facility: Path | None, rules: tuple[Path, ...], limits: Path | None) -> Plan:
    """The rules laid over the facility's points, which are numbered in their order."""
    if facility is None and not rules and limits is None:
        from service.configuration.configuration import load_configuration  # loads what pages people

        configuration = load_configuration(_configured(config, "--facility F --rules R"), os.environ)
        site, judges, tables = configuration.facility, configuration.rules, configuration.tables
    elif facility is None or not rules:
        raise click.UsageError("--facility and --rules go together (with --limits where rules name it), or give --config instead.")
    else:
        judging = load_judging(facility, rules, limits)
        site, judges, tables = judging.facility, judging.rules, judging.tables
    numbers = {point.id: number for number, point in enumerate(site.points)}
    return plan_of(site, judges, tables, numbers, judging_hash(site, judges, tables))


def _facility(config: Path | None, facility: Path | None) -> Facility:
    if facility is not None:
        return load_facility(facility)
    from service.configuration.configuration import load_configuration

    return load_configuration(_configured(config, "--facility F"), os.environ).facility


def _configured(config: Path | None, instead: str) -> Path:
    try:
        return configuration_path(config, os.environ)
    except ConfigurationError:
        raise click.UsageError(f"give {instead}, or --config with the renrum.yaml to use.") from None


def _at_site(facility: Facility, site: str | None) -> Facility:
    if site is None:
        return facility
    if not is_id(site):
        raise click.UsageError(f"--site: found {site!r}; allowed: {ID_ALLOWED}.")
    return replace(facility, site=replace(facility.site, id=site))


def _judge(read: Read, plan: Plan, out: Path, refused: Path | None) -> dict[str, object]:
    with ExitStack() as stack:
        stack.enter_context(_ended_tidily())
        try:
            chunks = read()
            refuse = stack.enter_context(refused_file(refused)) if refused is not None else None
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="renrum-replay-")))
            replayed = Replay(plan, folder, refuse)
            stack.callback(replayed.close)
            with fraction_bar("Reading") as progress:
                for chunk in chunks:
                    replayed.take(chunk)
                    progress(chunk.done)
            with fraction_bar("Judging") as progress:
                replayed.judge(progress)
            excursions = write_excursions(out, replayed.excursions())
        except (OSError, sqlite3.Error) as error:
            _explain(error, out)
    sums = replayed.sums
    click.echo(f"{_sentence(sums)}; {so_many(excursions, 'excursion')} in {out}", err=True)
    if sums.quarantined and refused is None:
        click.echo("--quarantine FILE writes the rows in quarantine, each with its reason.", err=True)
    counts = {"rows": sums.rows, "stored": sums.stored, "duplicates": sums.duplicates, "without_value": sums.without_value}
    quarantined = dict(sorted(sums.quarantined.items()))
    return counts | {"quarantined": quarantined, "excursions": excursions, "out": str(out), "config": plan.config}


def _explain(error: OSError | sqlite3.Error, out: Path) -> NoReturn:
    if isinstance(error, OSError) and error.filename is not None and Path(error.filename).name.startswith(out.name):
        raise Refusal(f"{out}: cannot be written ({error.strerror}). Check the path, the permissions and the free space.") from None
    cause = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
    remedy = "Make room, or name a folder with room for the recording in $TMPDIR."
    raise Refusal(f"{out.parent} or the temporary folder: cannot be written ({cause}). {remedy}") from None


def _sentence(sums: RecordedSums) -> str:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in sorted(sums.quarantined.items()))
    quarantined = f"{sums.quarantined.total():,} quarantined" + (f" ({reasons})" if reasons else "")
    duplicates = so_many(sums.duplicates, "duplicate")
    return f"read {so_many(sums.rows, 'row')}: {sums.stored:,} stored, {duplicates}, {quarantined}, {sums.without_value:,} without value"


def _publish(read: Read, facility: Facility, broker: Broker, speed: float, batch: int, retime: bool) -> dict[str, object]:
    from simulators.outlet import Outlet  # these load the MQTT library
    from simulators.playback import play, retiming

    clock = SystemClock()
    chunks, shift_ns = read(), 0
    if retime:
        with fraction_bar("Reading") as progress:
            span = span_of(_watched(read(), progress))
        shift_ns = retiming(span, clock.now_ns(), speed) if span is not None else 0
    with Outlet(broker, clock) as outlet, fraction_bar("Playing") as progress:
        told = play(
            chunks, outlet, facility, clock, speed=speed, shift_ns=shift_ns, batch=batch, progress=lambda now: progress(now.done)
        )  # fmt: skip
    click.echo(_told(told, broker), err=True)
    counts = {"published": told.readings, "messages": told.messages, "states": told.states, "unheard": told.unheard}
    return counts | {"unknown": told.unknown, "refused": told.rejected, "reconnects": told.reconnects, "mqtt": str(broker)}


def _told(told: Played, broker: Broker) -> str:
    said = f"published {so_many(told.readings, 'reading')} and {so_many(told.states, 'state')} to {broker}"
    if told.unknown:
        names = ", ".join(sorted(told.unknown)[:5]) + (", …" if len(told.unknown) > 5 else "")
        said += f"; not published, the facility lacks the point: {sum(told.unknown.values()):,} ({names})"
    if told.rejected:
        said += f"; refused: {so_many(told.rejected, 'row')}"
    if told.unheard:
        said += f"; nobody subscribes to {so_many(told.unheard, 'message')}"
    return said


def _watched(chunks: Iterator[Chunk], progress: Callable[[float], None]) -> Iterator[Chunk]:
    for chunk in chunks:
        yield chunk
        progress(chunk.done)


@contextmanager
def _ended_tidily() -> Iterator[None]:
    """SIGTERM ends the command as Ctrl-C does, so that no temporary file stays."""

    def end(number: int, _frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    except SystemExit as ended:
        if ended.code != 128 + signal.SIGTERM:
            raise
        # What was opened is closed. Arrow's threads may still be at work, and the process aborts when they are taken down.
        sys.stderr.flush()
        os._exit(ended.code)
    finally:
        signal.signal(signal.SIGTERM, before)
