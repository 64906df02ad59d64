"""`renrum demo`: the whole pipeline with the simulator, nothing to install."""

from __future__ import annotations

import json
import logging
import signal
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from facility.own import without_own
from facility.problems import so_many
from service.cli.options import Refusal, Span
from service.cli.run import for_us_alone, log_to_stderr
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from simulators.broker import parse_broker
from simulators.cleanroom import Simulation
from simulators.outlet import Outlet
from simulators.publish import publish
from simulators.scenario import load_scenario

if TYPE_CHECKING:
    from service.pipeline import Pipeline

EXAMPLE = Path(__file__).parent.parent / "example" / "renrum.yaml"
ACCOUNTED = ("stored", "duplicates", "quarantined")
SETTLE_S = 15.0
"""How long the end of a demo waits for what is still under way."""


@click.command()
@click.option("--duration", "duration_ns", type=Span(), help="End by itself, with one last line of JSON.  [default: until Ctrl-C]")
@click.option("--scenario", "scenario_name", default="demo", show_default=True, help="What happens: demo, normal, or a YAML file.")
@click.option("--seed", type=click.IntRange(min=0), default=1, show_default=True, help="The same seed gives the same readings.")
@click.option("--data-dir", type=click.Path(file_okay=False, path_type=Path), help="Keep the journal here.  [default: thrown away]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the console.  [default: 8480, or a free one]")
@click.option("--verbose", is_flag=True, help="Log what happens in detail.")
def demo(duration_ns: int | None, scenario_name: str, seed: int, data_dir: Path | None, port: int | None, verbose: bool) -> None:
    """Run it all on embedded defaults: simulated cleanrooms, broker, journal, rules, alarms, console.

    The last line counts what happened: readings published, stored, duplicates, quarantined, excursions, notifications, and lost (0).

    \b
    Examples:
      renrum demo
      renrum demo --duration 30s
      renrum demo --scenario normal --data-dir ./demo-data
    """
    for_us_alone()
    log_to_stderr(verbose)
    if not verbose:
        logging.disable(logging.INFO)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    with ExitStack() as stack:
        folder = data_dir or Path(stack.enter_context(TemporaryDirectory(prefix="renrum-demo-")))
        said = _run(_configuration(folder, port), scenario_name, seed, duration_ns, stop)
    click.echo(json.dumps(said))
    if said["lost"]:
        raise SystemExit(1)


def _configuration(folder: Path, port: int | None) -> Configuration:
    configuration = load_configuration(EXAMPLE, {})
    http = replace(configuration.settings.http, port=_free(configuration.settings.http.port) if port is None else port)
    settings = replace(configuration.settings, data_dir=folder, http=http)
    from alerts.channels import Local

    sink = Local(folder / "pages.jsonl")
    return replace(configuration, settings=settings, oncall=replace(configuration.oncall, channels={"sink": sink}))


def _free(port: int) -> int:
    """The port when it can be had, else 0 for any."""
    import socket

    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return 0
    return port


def _run(configuration: Configuration, scenario_name: str, seed: int, duration_ns: int | None, stop: threading.Event) -> dict[str, int]:
    from service.pipeline import CANNOT_START, Pipeline  # slow to load

    clock = SystemClock()
    scenario = load_scenario(scenario_name)
    pipeline = Pipeline(configuration, clock)
    try:
        pipeline.start()
    except CANNOT_START as error:
        raise Refusal(f"cannot start: {error}") from error
    facility = without_own(configuration.facility)
    click.echo(f"Renrum demo: {facility.site.name}, {so_many(len(facility.points), 'point')} in {len(facility.places)} rooms and zones.")
    click.echo(f"  console  {pipeline.url}")
    click.echo(f"  broker   {pipeline.mqtt_url}")
    click.echo(f"  data     {configuration.settings.data_dir}")
    click.echo("  stop     Ctrl-C" + (f", or by itself after {duration_ns / 1e9:g} s" if duration_ns else ""))
    earlier = _counted(pipeline)  # of a data folder that was kept
    begun = clock.now_ns()
    simulation = Simulation(facility, scenario, seed, begun)
    end_ns = begun + (duration_ns if duration_ns is not None else 365 * 86_400 * 10**9)
    with Outlet(parse_broker(pipeline.mqtt_url, None), clock) as outlet:
        told = publish(simulation.until(end_ns), outlet, facility, clock, start_ns=begun, stop=stop.is_set)
    expected = sum(earlier[name] for name in ACCOUNTED) + told.readings
    _wait(lambda: pipeline.intake.sums.received >= expected, clock)
    _wait(lambda: pipeline.stepper.ledger.cursor >= pipeline.intake.cursor and not pipeline.unsent(), clock)
    said = {name: count - earlier[name] for name, count in _counted(pipeline).items()}
    pipeline.stop()
    return {"published": told.readings, **said, "lost": told.readings - sum(said[name] for name in ACCOUNTED)}


def _counted(pipeline: Pipeline) -> dict[str, int]:
    sums = pipeline.intake.sums
    return {
        "stored": sums.stored,
        "duplicates": sums.duplicates,
        "quarantined": sums.in_quarantine.total(),
        "excursions": pipeline.count("excursions"),
        "notifications": pipeline.count("outbox where sent_at is not null"),
    }


def _wait(done: Callable[[], bool], clock: SystemClock) -> None:
    for _ in range(int(SETTLE_S / 0.05)):
        if done():
            return
        clock.sleep(0.05)
