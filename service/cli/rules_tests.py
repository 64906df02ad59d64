"""`renrum rules test`."""

from __future__ import annotations

import json
import os
from fnmatch import fnmatchcase
from pathlib import Path

import click

from facility.problems import ConfigurationError, Problem
from facility.whole_file import whole_file
from rules.packs import PREFIX
from service.cli.options import Refusal, configuration_path, json_option
from service.configuration.judging_files import JudgingFiles
from service.rule_tests.files import Case, Outcome, judged, read_rule_tests, shipped_tests
from service.rule_tests.report import document, failure_lines, junit

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=FILE)
@click.option("--config", type=FILE, help="The renrum.yaml of the site whose rules are tested.  [default: as for the other commands]")
@click.option("--only", metavar="GLOB", multiple=True, help="Only the tests with such a name; may be given several times.")
@click.option("--junit", "junit_path", type=click.Path(dir_okay=False, path_type=Path), help="Write the outcome here, as JUnit XML.")
@json_option
def test(files: tuple[Path, ...], config: Path | None, only: tuple[str, ...], junit_path: Path | None, as_json: bool) -> None:
    """Test rules: files that say what happens, and which excursions must come of it and no others.

    FILE is YAML (docs/rule-tests.md), or pack:NAME@VERSION for the tests that ship with a pack. The engine that judges live judges it.
    Facility, rules and limits are those that the file names or holds, else the site's. Exit code 0 when every test
    holds, 1 when one does not, 2 when a file cannot be used.

    \b
    Examples:
      renrum rules test tests/*.yaml --config site/renrum.yaml
      renrum rules test pack:pipeline@1
      renrum rules test tests/pressure.yaml --only "*door*" --junit report.xml
    """
    site, why = _site(config)
    cases: list[Case] = []
    problems: list[Problem] = []
    for path in (shipped_tests(str(path)) if str(path).startswith(PREFIX) else path for path in files):
        try:
            cases += read_rule_tests(path, site)
        except ConfigurationError as error:
            problems += [*error.problems, *(why.problems if why is not None and any(not one.line for one in error.problems) else ())]
    if problems:
        raise ConfigurationError(dict.fromkeys(problems))
    chosen = [case for case in cases if not only or any(fnmatchcase(case.name, glob) for glob in only)]
    if not chosen:
        raise Refusal(f"--only: no test has such a name. There are: {', '.join(repr(case.name) for case in cases[:20])}.")
    outcomes = [_judged(case, as_json) for case in chosen]
    failed = sum(not outcome.ok for outcome in outcomes)
    unraised = _unraised(outcomes)
    if junit_path is not None:
        _write(junit_path, junit(outcomes))
    if as_json:
        told = {"tests": len(outcomes), "failed": failed, "rules_not_raised": unraised, "outcomes": document(outcomes)}
        click.echo(json.dumps(told, indent=2, ensure_ascii=False))
    else:
        if unraised:
            click.echo(f"raised by no test: {', '.join(unraised)}")
        click.echo(f"{len(outcomes)} test{'s' if len(outcomes) != 1 else ''}, {failed or 'none'} failed")
    if failed:
        raise SystemExit(1)


def _site(config: Path | None) -> tuple[JudgingFiles | None, ConfigurationError | None]:
    """The site's own files; a site that is not there, or is wrong, matters only to files that need it."""
    try:
        return JudgingFiles.configured(configuration_path(config, os.environ), os.environ), None
    except ConfigurationError as error:
        if config is not None:
            raise
        return None, error


def _judged(case: Case, silent: bool) -> Outcome:
    try:
        outcome = judged(case)
    except OSError as error:
        raise Refusal(f"the temporary folder cannot be written ({error.strerror or error}). Name one with room in $TMPDIR.") from None
    if not silent:
        verdict = click.style("ok  ", fg="green") if outcome.ok else click.style("FAIL", fg="red", bold=True)
        click.echo(f"{verdict} {case.file}:{case.line}: {case.name}")
        for line in () if outcome.ok else failure_lines(outcome):
            click.echo(line)
    return outcome


def _unraised(outcomes: list[Outcome]) -> list[str]:
    """The rules that were there to be tested and that no test saw raise anything."""
    known = {rule: None for outcome in outcomes for rule in outcome.case.plan.rule_by_id}
    raised = {row.rule for outcome in outcomes for row in outcome.found}
    return [rule for rule in known if rule not in raised]


def _write(path: Path, content: bytes) -> None:
    try:
        with whole_file(path) as file:
            file.write(content)
    except OSError as error:
        raise Refusal(f"{path} cannot be written ({error.strerror or error}). Check the path and the permissions.") from None
