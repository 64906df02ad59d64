"""`renrum run`: the service."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from pathlib import Path

import click

from alerts.people.office import FIRST
from ingest.journal.journal import JournalUnavailable
from service.applied import starting
from service.cli.lookups import data_dir_of
from service.cli.options import Refusal, config_option
from service.clock import SystemClock
from service.configuration.configuration import load_configuration


@click.command()
@config_option
@click.option("--verbose", is_flag=True, help="Log what happens in detail.")
def run(config: Path, verbose: bool) -> None:
    """Run the service: ingest, rules, alarms, pages and the console.

    It logs to standard error, and stops cleanly on SIGTERM or Ctrl-C. Whatever stops it, no acknowledged reading is lost.

    \b
    Examples:
      renrum run --config /etc/renrum/renrum.yaml
      renrum run
    """
    for_us_alone()
    log_to_stderr(verbose)
    try:
        found = starting(config, os.environ, data_dir_of(config))
    except JournalUnavailable as error:
        raise Refusal(f"cannot start: {error}") from error
    configuration = found.configuration
    if found.waiting:
        click.echo(f"warning: it starts with the configuration last applied: {found.waiting}", err=True)
    for warning in configuration.warnings:
        click.echo(f"warning: {warning}", err=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())

    from service.pipeline import CANNOT_START, Pipeline  # slow to load
    from service.supervised import ALIVE, BEAT_S, READY, STOPPING, is_stuck, tell

    if configuration.settings.mqtt.embedded:
        click.echo("warning: the embedded broker is for demonstration: give mqtt.url a broker that keeps a queue on disk.", err=True)
    clock = SystemClock()
    pipeline = Pipeline(configuration, clock, lambda: load_configuration(config, os.environ))
    try:
        pipeline.start()
    except CANNOT_START as error:
        raise Refusal(f"cannot start: {error}") from error
    public = configuration.settings.http.public_url
    console = f"{pipeline.url}, opened as {public}" if public else pipeline.url
    click.echo(f"Renrum monitors {configuration.facility.site.name}: console at {console}, broker {pipeline.mqtt_url}", err=True)
    if pipeline.first_password is not None:
        told = f"  user      {FIRST}\n  password  {pipeline.first_password.reveal()}\n"
        click.echo(f"There were no users: sign in as the administrator, once, within 72 hours, and choose a password.\n{told}", err=True)
    tell(READY, os.environ)
    while not stop.wait(BEAT_S):
        if not is_stuck(pipeline, clock.monotonic_ns()):
            tell(ALIVE, os.environ)
    tell(STOPPING, os.environ)
    pipeline.stop()
    failure = pipeline.stepper.vitals.failure
    judged = f"; the last of it is judged at the next start: {failure}" if failure else " and judged"
    click.echo(f"stopped; everything that was received is stored{judged}", err=True)


def for_us_alone() -> None:
    """What this process writes, other users of the machine may not read; its group may where the system says so."""
    os.umask(os.umask(0o077) | 0o007)


def log_to_stderr(verbose: bool) -> None:
    """Lines for people on standard error; libraries speak up only when something is wrong."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("alerts", "dashboards", "ingest", "service"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
