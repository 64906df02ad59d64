"""`renrum run`: the service."""

from __future__ import annotations

import logging
import os
import signal
import sqlite3
import sys
import threading
from pathlib import Path

import click

from service.cli.options import Refusal, config_option
from service.clock import SystemClock
from service.configuration import load_configuration


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
    log_to_stderr(verbose)
    configuration = load_configuration(config, os.environ)
    for warning in configuration.warnings:
        click.echo(f"warning: {warning}", err=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())

    from alerts.store import StateUnavailable  # slow to load
    from ingest.broker import BrokerFailed
    from ingest.journal import JournalUnavailable
    from ingest.series import SeriesUnavailable
    from service.lock import DataDirInUse
    from service.pipeline import Pipeline

    if configuration.settings.mqtt.embedded:
        click.echo("warning: the embedded broker is for demonstration: give mqtt.url a broker that keeps a queue on disk.", err=True)
    pipeline = Pipeline(configuration, SystemClock())
    try:
        pipeline.start()
    except (DataDirInUse, JournalUnavailable, StateUnavailable, SeriesUnavailable, BrokerFailed, OSError, sqlite3.Error) as error:
        raise Refusal(f"cannot start: {error}") from error
    click.echo(f"Renrum monitors {configuration.facility.site.name}: console at {pipeline.url}, broker {pipeline.mqtt_url}", err=True)
    stop.wait()
    pipeline.stop()
    click.echo("stopped; everything that was received is stored and judged", err=True)


def log_to_stderr(verbose: bool) -> None:
    """Lines for people on standard error; libraries speak up only when something is wrong."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    for name in ("alerts", "dashboards", "ingest", "service"):
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else logging.INFO)
