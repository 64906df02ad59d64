"""`renrum simulate`: the cleanroom simulator, into a recording or over MQTT."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from facility.facility_file import load_facility
from facility.recording.chunk import RecordingError
from facility.site import Facility
from facility.times import format_time, parse_time
from service.cli.options import PASSWORD, Refusal, Span, Url, json_option
from service.clock import SystemClock
from simulators.broker import Broker, BrokerUnreachable
from simulators.cleanroom import Simulation
from simulators.load import facility_text, load_site, publish_load
from simulators.outlet import Outlet
from simulators.publish import publish
from simulators.record import TruthWriter, tee_truth, write_recording
from simulators.scenario import Scenario, load_scenario, shipped_scenarios
from simulators.script import Truth

EXAMPLE_FACILITY = Path(__file__).parent.parent / "example" / "facility.yaml"
RECORDING_START = "2026-01-01T00:00:00Z"


class Rate(click.ParamType[int]):
    """How often each point sends: ns between its readings."""

    name = "rate"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*/\s*(s|m|h)", str(value).strip())
        if match is None or float(match[1]) <= 0:
            self.fail(f"found {value!r}; allowed: a rate such as 1/s, 0.5/s, 6/m.", param, ctx)
        return round({"s": 1, "m": 60, "h": 3600}[match[2]] * 10**9 / float(match[1]))


@click.command()
@click.option("--scenario", "scenario_name", default="demo", show_default=True, metavar="NAME",
              help=f"A shipped scenario ({', '.join(shipped_scenarios())}), or a YAML file.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed gives the same readings.")
@click.option("--duration", "duration_ns", type=Span(), default="1h", show_default=True, help="How long to simulate.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path),
              help="Write a recording: time,point,value,received,quality; Parquet by its ending .parquet, else CSV (.gz, .xz)")  # fmt: skip
@click.option("--truth", type=click.Path(dir_okay=False, path_type=Path), help="Write what was done: start,end,kind,rooms,points,rules.")
@click.option("--mqtt", "broker", type=Url(), help=f"Publish over MQTT, in real time. ${PASSWORD} has the password.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="With --mqtt: so many times as fast.  [default: 1]")
@click.option("--facility", "facility_path", type=click.Path(path_type=Path),
              help="The facility to simulate.  [default: the example site]")  # fmt: skip
@click.option("--start", metavar="TIME", help=f"Time of the first reading.  [default: {RECORDING_START}; with --mqtt so that it ends now]")
@click.option("--rate", "gap_ns", type=Rate(), help="Load instead of cleanrooms: each point sends so often, whatever its value (1/s, 6/m).")
@click.option("--points", type=click.IntRange(1, 1_000_000), help="With --rate: a facility of so many points, instead of --facility.")
@click.option("--batch", type=click.IntRange(1, 1000), help="With --rate: so many readings of a point to a message.  [default: 10]")
@click.option("--facility-out", type=click.Path(dir_okay=False, path_type=Path), help="With --points: write its facility.yaml.")
@json_option
def simulate(
    scenario_name: str, seed: int, duration_ns: int, out: Path | None, truth: Path | None, broker: Broker | None, speed: float | None,
    facility_path: Path | None, start: str | None, gap_ns: int | None, points: int | None, batch: int | None, facility_out: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Simulate a cleanroom facility: its air, its instruments, its people and its faults.

    Writes a recording that `renrum replay` reads, or publishes as instruments do. What it publishes is marked as simulated: a production
    service puts it into quarantine.

    With --rate it makes load: many points, each at that rate, and in the end an account of what was sent.

    \b
    Examples:
      renrum simulate --scenario demo --seed 1 --duration 2h --out rec.csv --truth truth.csv
      renrum simulate --scenario workday --facility facility.yaml --duration 365d --out year.parquet
      renrum simulate --scenario demo --duration 10m --mqtt mqtt://127.0.0.1:1883
      renrum simulate --scenario my.yaml --duration 2h --mqtt mqtts://sim@broker.example.org --speed 60
      renrum simulate --points 10000 --rate 1/s --duration 5m --mqtt mqtt://127.0.0.1:1883 --facility-out load.yaml
    """
    _fit(out, broker, speed, gap_ns, points, batch, facility_out, facility_path, truth)
    if gap_ns is not None:
        assert broker is not None
        facility = load_site(points, gap_ns) if points else load_facility(facility_path or EXAMPLE_FACILITY).as_measured
        said = _load(facility, gap_ns, duration_ns, batch or 10, broker, facility_out)
        click.echo(json.dumps(said) if as_json else _account(said))
        return
    facility, scenario = load_facility(facility_path or EXAMPLE_FACILITY).as_measured, load_scenario(scenario_name)
    try:
        if out is not None:
            said = _record(facility, scenario, seed, _start(start, facility, RECORDING_START), duration_ns, out, truth)
        else:
            assert broker is not None
            said = _publish(facility, scenario, seed, start, duration_ns, broker, speed or 1.0, truth)
    except (BrokerUnreachable, OSError, RecordingError) as error:
        raise Refusal(str(error)) from error
    click.echo(json.dumps(said) if as_json else _sentence(said))


def _fit(
    out: Path | None, broker: Broker | None, speed: float | None, gap_ns: int | None, points: int | None, batch: int | None,
    facility_out: Path | None, facility_path: Path | None, truth: Path | None,
) -> None:  # fmt: skip
    """Options that do not go together."""
    if (out is None) == (broker is None):
        raise click.UsageError("give either --out FILE (a recording) or --mqtt URL (publish).")
    if broker is None and speed is not None:
        raise click.UsageError("--speed goes with --mqtt; a recording is written as fast as possible.")
    if gap_ns is None:
        alone = next((name for name, given in (("--points", points), ("--batch", batch), ("--facility-out", facility_out)) if given), None)
        if alone:
            raise click.UsageError(f"{alone} goes with --rate, such as --rate 1/s.")
        return
    if broker is None or speed is not None or truth is not None:
        raise click.UsageError(
            "--rate makes load over --mqtt, in real time, and nothing happens in it: without --out, --speed and --truth."
        )
    if points and facility_path:
        raise click.UsageError("give either --points N or --facility FILE.")
    if facility_out and not points:
        raise click.UsageError("--facility-out goes with --points N.")


def _load(facility: Facility, gap_ns: int, duration_ns: int, batch: int, broker: Broker, facility_out: Path | None) -> dict[str, object]:
    clock = SystemClock()
    cpu_s = time.process_time()
    try:
        if facility_out is not None:
            facility_out.write_text(facility_text(facility), "utf-8")
        with _interruptible() as stopped, Outlet(broker, clock, in_flight=1000) as outlet:
            start_ns = clock.now_ns() // 10**6 * 10**6
            sent = publish_load(outlet, facility, clock, start_ns=start_ns, gap_ns=gap_ns, duration_ns=duration_ns, batch=batch,
                                stop=stopped.is_set)  # fmt: skip
    except (BrokerUnreachable, OSError) as error:
        raise Refusal(str(error)) from error
    return {
        "published": sent.readings,
        "mqtt": str(broker),
        "points": sent.points,
        "each": sent.each,
        "messages": sent.messages,
        "start": format_time(sent.first_ns),
        "end": format_time(sent.first_ns + (sent.each - 1) * sent.gap_ns),
        "seconds": round(sent.seconds, 3),
        "per_second": round(sent.readings / sent.seconds, 1),
        "cpu_seconds": round(time.process_time() - cpu_s, 3),
        "late_seconds": round(sent.late_ns / 1e9, 3),
        "reconnects": sent.reconnects,
    }


@contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Ctrl-C sets the event."""
    stopped = threading.Event()
    before = signal.signal(signal.SIGINT, lambda _signal, _frame: stopped.set())
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _start(text: str | None, facility: Facility, default: str) -> int:
    try:
        return parse_time(text or default, ZoneInfo(facility.site.timezone))
    except ValueError as error:
        raise click.BadParameter(f"found {text!r}; allowed: {error}.", param_hint="--start") from None


def _record(
    facility: Facility, scenario: Scenario, seed: int, start_ns: int, duration_ns: int, out: Path, truth: Path | None
) -> dict[str, object]:
    simulation = Simulation(facility, scenario, seed, start_ns)
    end_ns = start_ns + duration_ns
    said: dict[str, object] = {"out": str(out)} | _extent(facility, start_ns, end_ns)
    with (
        click.progressbar(length=duration_ns // 10**9, label="Simulating", file=sys.stderr, hidden=not sys.stderr.isatty()) as bar,
        _truth_file(truth) as writer,
    ):

        def progress(at_ns: int) -> None:
            bar.update((at_ns - start_ns) // 10**9 - bar.pos)

        def told() -> list[Truth]:
            return simulation.truth(end_ns)

        said["readings"] = write_recording(out, facility, tee_truth(simulation.until(end_ns), told, writer), progress)
    return said | ({"events": writer.written, "truth": str(truth)} if truth else {})


@contextmanager
def _truth_file(truth: Path | None) -> Iterator[TruthWriter]:
    if truth is None:
        yield TruthWriter(io.StringIO())
        return
    with truth.open("w", encoding="utf-8", newline="") as file:
        yield TruthWriter(file)


def _publish(
    facility: Facility, scenario: Scenario, seed: int, start: str | None, duration_ns: int, broker: Broker, speed: float, truth: Path | None
) -> dict[str, object]:
    clock = SystemClock()
    begun_ns = clock.now_ns() // 10**6 * 10**6
    # Faster than time the readings must begin in the past: none may be ahead of the clock when it arrives.
    start_ns = _start(start, facility, "") if start else begun_ns - max(duration_ns - round(duration_ns / speed), 0)
    end_ns = start_ns + duration_ns
    simulation = Simulation(facility, scenario, seed, start_ns)
    with _interruptible() as stopped, Outlet(broker, clock) as outlet:
        told = publish(simulation.until(end_ns), outlet, facility, clock, start_ns=start_ns, speed=speed, stop=stopped.is_set)
    if stopped.is_set():
        end_ns = min(end_ns, start_ns + round((clock.now_ns() - begun_ns) * speed))
    said: dict[str, object] = {"published": told.readings, "mqtt": str(broker)}
    said |= _extent(facility, start_ns, end_ns)
    if truth is None:
        return said
    with _truth_file(truth) as writer:
        writer.write(simulation.truth(end_ns))
    return said | {"events": writer.written, "truth": str(truth)}


def _extent(facility: Facility, start_ns: int, end_ns: int) -> dict[str, object]:
    return {"points": len(facility.points), "start": format_time(start_ns), "end": format_time(end_ns)}


def _sentence(said: dict[str, object]) -> str:
    if "out" in said:
        text = f"Wrote {said['readings']} readings of {said['points']} points to {said['out']}"
    else:
        text = f"Published {said['published']} readings of {said['points']} points to {said['mqtt']}"
    text += f", from {said['start']} to {said['end']}"
    return text + (f"; {said['events']} events in {said['truth']}." if "truth" in said else ".")


def _account(said: dict[str, object]) -> str:
    return (
        f"Published {said['published']} readings in {said['messages']} messages to {said['mqtt']}, all acknowledged: "
        f"{said['each']} of each of {said['points']} points, with seq 0 to {int(str(said['each'])) - 1}, "
        f"times from {said['start']} to {said['end']}. "
        f"It took {said['seconds']} s ({said['per_second']} readings/s) and {said['cpu_seconds']} s of CPU; "
        f"the latest message was {said['late_seconds']} s behind."
    )
