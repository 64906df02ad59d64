"""`renrum simulate`: the cleanroom simulator, into a recording or over MQTT."""

from __future__ import annotations

import json
import signal
import sys
import threading
from pathlib import Path
from zoneinfo import ZoneInfo

import click

from facility.facility_file import load_facility
from facility.site import Facility
from facility.times import format_time, parse_time
from service.cli.options import PASSWORD, Refusal, Span, Url, json_option
from service.clock import SystemClock
from simulators.broker import Broker, BrokerUnreachable
from simulators.cleanroom import Simulation
from simulators.outlet import Outlet
from simulators.publish import publish
from simulators.record import write_recording, write_truth
from simulators.scenario import Scenario, load_scenario, shipped_scenarios

EXAMPLE_FACILITY = Path(__file__).parent.parent / "example" / "facility.yaml"
RECORDING_START = "2026-01-01T00:00:00Z"


@click.command()
@click.option("--scenario", "scenario_name", default="demo", show_default=True, metavar="NAME",
              help=f"A shipped scenario ({', '.join(shipped_scenarios())}), or a YAML file.")  # fmt: skip
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed gives the same readings.")
@click.option("--duration", "duration_ns", type=Span(), default="1h", show_default=True, help="How long to simulate.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a recording: time,point,value,quality.")
@click.option("--truth", type=click.Path(dir_okay=False, path_type=Path), help="Write what was done: start,end,kind,places,points,rules.")
@click.option("--mqtt", "broker", type=Url(), help=f"Publish over MQTT, in real time. ${PASSWORD} has the password.")
@click.option("--speed", type=click.FloatRange(min=0, min_open=True), help="With --mqtt: so many times as fast.  [default: 1]")
@click.option("--facility", "facility_path", type=click.Path(path_type=Path), default=EXAMPLE_FACILITY,
              help="The facility to simulate.  [default: the example site]")  # fmt: skip
@click.option("--start", metavar="TIME", help=f"Time of the first reading.  [default: {RECORDING_START}; with --mqtt so that it ends now]")
@json_option
def simulate(
    scenario_name: str, seed: int, duration_ns: int, out: Path | None, truth: Path | None, broker: Broker | None, speed: float | None,
    facility_path: Path, start: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Simulate a cleanroom facility: its air, its instruments, its people and its faults.

    Writes a recording that `renrum replay` reads, or publishes as instruments do. What it publishes is marked as simulated: a production
    service puts it into quarantine.

    \b
    Examples:
      renrum simulate --scenario demo --seed 1 --duration 2h --out rec.csv --truth truth.csv
      renrum simulate --scenario normal --facility facility.yaml --duration 1d --out rec.csv
      renrum simulate --scenario demo --duration 10m --mqtt mqtt://127.0.0.1:1883
      renrum simulate --scenario my.yaml --duration 2h --mqtt mqtts://sim@broker.example.org --speed 60
    """
    if (out is None) == (broker is None):
        raise click.UsageError("give either --out FILE (a recording) or --mqtt URL (publish).")
    if broker is None and speed is not None:
        raise click.UsageError("--speed goes with --mqtt; a recording is written as fast as possible.")
    facility, scenario = load_facility(facility_path), load_scenario(scenario_name)
    try:
        if out is not None:
            said = _record(facility, scenario, seed, _start(start, facility, RECORDING_START), duration_ns, out, truth)
        else:
            assert broker is not None
            said = _publish(facility, scenario, seed, start, duration_ns, broker, speed or 1.0, truth)
    except (BrokerUnreachable, OSError) as error:
        raise Refusal(str(error)) from error
    click.echo(json.dumps(said) if as_json else _sentence(said))


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
    hidden = not sys.stderr.isatty()
    with (
        out.open("w", encoding="utf-8", newline="") as file,
        click.progressbar(length=duration_ns // 10**9, label="Simulating", file=sys.stderr, hidden=hidden) as bar,
    ):

        def progress(at_ns: int) -> None:
            bar.update((at_ns - start_ns) // 10**9 - bar.pos)

        readings = write_recording(file, facility, simulation.until(end_ns), progress)
    return {"readings": readings, "out": str(out)} | _extent(facility, start_ns, end_ns) | _write_truth(simulation, end_ns, truth)


def _publish(
    facility: Facility, scenario: Scenario, seed: int, start: str | None, duration_ns: int, broker: Broker, speed: float, truth: Path | None
) -> dict[str, object]:
    clock = SystemClock()
    begun_ns = clock.now_ns() // 10**6 * 10**6
    # Faster than time the readings must begin in the past: none may be ahead of the clock when it arrives.
    start_ns = _start(start, facility, "") if start else begun_ns - max(duration_ns - round(duration_ns / speed), 0)
    end_ns = start_ns + duration_ns
    simulation = Simulation(facility, scenario, seed, start_ns)
    stopped = threading.Event()
    before = signal.signal(signal.SIGINT, lambda _signal, _frame: stopped.set())
    try:
        with Outlet(broker, clock) as outlet:
            told = publish(simulation.until(end_ns), outlet, facility, clock, start_ns=start_ns, speed=speed, stop=stopped.is_set)
    finally:
        signal.signal(signal.SIGINT, before)
    if stopped.is_set():
        end_ns = min(end_ns, start_ns + round((clock.now_ns() - begun_ns) * speed))
    said: dict[str, object] = {"published": told.readings, "mqtt": str(broker)}
    return said | _extent(facility, start_ns, end_ns) | _write_truth(simulation, end_ns, truth)


def _extent(facility: Facility, start_ns: int, end_ns: int) -> dict[str, object]:
    return {"points": len(facility.points), "start": format_time(start_ns), "end": format_time(end_ns)}


def _write_truth(simulation: Simulation, end_ns: int, truth: Path | None) -> dict[str, object]:
    if truth is None:
        return {}
    with truth.open("w", encoding="utf-8", newline="") as file:
        return {"events": write_truth(file, simulation.truth(end_ns)), "truth": str(truth)}


def _sentence(said: dict[str, object]) -> str:
    if "out" in said:
        text = f"Wrote {said['readings']} readings of {said['points']} points to {said['out']}"
    else:
        text = f"Published {said['published']} readings of {said['points']} points to {said['mqtt']}"
    text += f", from {said['start']} to {said['end']}"
    return text + (f"; {said['events']} events in {said['truth']}." if "truth" in said else ".")
