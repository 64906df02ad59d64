"""`renrum doctor`."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click

from facility.files import AS_THE_SERVICE
from facility.problems import ConfigurationError, so_many
from ingest.journal.files import there_is
from service.cli.lookups import data_dir_of
from service.cli.options import GIVEN_PATH, configuration_path, json_option
from service.clock import Clock, SystemClock
from service.configuration.configuration import Configuration
from service.doctor import backup as diagnosis_backup
from service.doctor import data as diagnosis_data
from service.doctor import historian as diagnosis_historian
from service.doctor import installation as diagnosis
from service.doctor import live as diagnosis_live
from service.doctor import tls as diagnosis_tls
from service.doctor.installation import Finding
from service.stored.archive import JOURNAL

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "red"}


@click.command()
@click.option("--config", type=GIVEN_PATH, help="The renrum.yaml to examine.")
@click.option("--data-dir", type=GIVEN_PATH, help="Examine this data_dir instead of the one of the configuration.")
@json_option
def doctor(config: Path | None, data_dir: Path | None, as_json: bool) -> None:
    """Examine the installation, the configuration, the data_dir, a running service and its broker.

    One line a check: ok, warning or problem, and what to do. Exit code 0 without a problem, else 1. Changes nothing, prints no secret.

    \b
    Examples:
      renrum doctor
      renrum doctor --config /etc/renrum/renrum.yaml --json
    """
    findings = []
    for finding in examined(config, data_dir):
        findings.append(finding)
        if not as_json:
            _print(finding)
    problems = sum(finding.verdict == "problem" for finding in findings)
    if as_json:
        document = {"ok": not problems, "checks": [asdict(finding) for finding in findings]}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        warnings = sum(finding.verdict == "warning" for finding in findings)
        click.echo(f"{so_many(len(findings), 'check')}: {warnings} to look at, {problems} to be put right")
    sys.exit(1 if problems else 0)


def examined(config: Path | None, given: Path | None) -> Iterator[Finding]:
    """Every check in order; one that needs what an earlier one did not find is left out."""
    clock = SystemClock()
    yield from diagnosis.installation()
    configuration: Configuration | None = None
    folder = given
    try:
        path = configuration_path(config, os.environ)
        configuration, findings = diagnosis.configured(path, os.environ)
        yield from findings
        if configuration is not None:
            yield from diagnosis_tls.certificates(configuration, clock.now_ns())
        folder = given or data_dir_of(path)
    except ConfigurationError as error:
        if given is None or config is not None:
            yield from (Finding("configuration", "problem", str(problem), problem.hint) for problem in error.problems)
    if folder is not None:
        try:
            yield from _in_data_dir(folder, configuration, clock)
        except PermissionError as error:
            yield Finding("data_dir", "problem", f"{error.filename}: {error.strerror}", AS_THE_SERVICE)
    if configuration is not None:
        yield from diagnosis_live.broker(configuration, clock)
        settings = configuration.settings
        yield from diagnosis_historian.historian(settings.historian, given or settings.data_dir, clock.now_ns())


def _in_data_dir(folder: Path, configuration: Configuration | None, clock: Clock) -> Iterator[Finding]:
    yield diagnosis_data.data_dir(folder)
    yield from diagnosis_live.service_on(folder, configuration.settings if configuration is not None else None)
    yield from diagnosis_data.holdings(folder, configuration, clock.now_ns())
    if there_is(folder / JOURNAL):
        environment = configuration.settings.environment if configuration is not None else ""
        yield from diagnosis_backup.backups(folder, environment, clock.now_ns())


def _print(finding: Finding) -> None:
    verdict = click.style(f"{finding.verdict:<8}", fg=_COLOURS[finding.verdict])
    click.echo(f"{verdict} {finding.check:<14} {finding.words}")
    if finding.remedy:
        click.echo(f"{'':24}{finding.remedy}")
