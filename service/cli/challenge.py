"""`renrum challenge`: the OQ protocol of every rule, on an instance of its own."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from fnmatch import fnmatchcase
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from facility.problems import so_many
from ingest.journal.journal import JournalUnavailable
from service.applied import in_force, waiting
from service.cli.lookups import data_dir_of
from service.cli.options import Refusal, Span, actor, config_option, json_option, unwritable
from service.cli.run import for_us_alone
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.continuity.inventory import machine, own_files, prove
from service.doctor.installation import PACKAGES

OUT = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, exists=True, path_type=Path)
NAME = "challenge"


@click.command()
@config_option
@click.option("--files", "as_files", is_flag=True, help="Challenge what the files say, in force or not: before `renrum apply`.")
@click.option("--requirements", "requirements_path", type=FILE, help="A requirements.csv (id,text,rules), traced to tests.")
@click.option("--rule", "globs", multiple=True, metavar="GLOB", help="Only rules with such an id; may be given several times.")
@click.option("--sample", type=click.IntRange(min=1), help="At most so many points per rule.  [default: every point]")
@click.option("--tolerance", "tolerance_ns", type=Span(), default="100ms", show_default=True, help="How far tests stay from each delay.")
@click.option("--title", default="Operational qualification of the alarm rules", show_default=True, help="Of the protocol.")
@click.option("--out", type=OUT, default=Path(), help="The folder for challenge.html, .pdf and .json.  [default: here]")
@click.option("--keep", type=OUT, help="Keep the instance's data here: journal, state, pages.  [default: thrown away]")
@json_option
def challenge(
    config: Path, as_files: bool, requirements_path: Path | None, globs: tuple[str, ...], sample: int | None, tolerance_ns: int, title: str,
    out: Path, keep: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Challenge every rule on an instance of its own, and write the OQ protocol: HTML, PDF/A, JSON.

    The configuration in force is started beside the running system: own folder, broker, journal and recipient; nothing real is touched,
    nobody is told. Each rule is driven below, at and above its limit, across its delays, through deadband, dropout, bad quality and late
    arrival, over the broker. What must come of it is computed from the rule's text, not by the engine.

    Exit code 0 when every test that applies passed; 1 when one failed or could not be made (NOT TESTED); 2 when it cannot be done.

    \b
    Examples:
      renrum challenge --config /etc/renrum/renrum.yaml --requirements requirements.csv --out oq-2026
      renrum challenge --sample 2 --rule "dp-*"
    """
    from service.challenge.requirements import load_requirements

    for_us_alone()
    logging.basicConfig(level=logging.ERROR, format="%(levelname)s %(name)s: %(message)s")
    requirements = None if requirements_path is None else load_requirements(requirements_path)
    configuration, source = applied(config, as_files)
    wanted = [rule.id for rule in configuration.rules if not globs or any(fnmatchcase(rule.id, glob) for glob in globs)]
    if not wanted:
        raise Refusal(f"--rule: no rule has such an id. There are: {', '.join(rule.id for rule in configuration.rules[:20])}.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if keep is not None and keep.exists() and any(keep.iterdir()):
            raise Refusal(f"--keep: {keep} is not empty. Name a new folder: the instance begins with an empty journal.")
        with ExitStack() as stack:
            folder = keep or Path(stack.enter_context(TemporaryDirectory(prefix="renrum-challenge-")))
            protocol = _conducted(configuration, source, folder, frozenset(wanted), sample, tolerance_ns, title, keep, requirements)
        written = _write(out, protocol)
    except OSError as error:
        raise Refusal(unwritable(error, out)) from None
    if as_json:
        click.echo(json.dumps(protocol, indent=1, ensure_ascii=False))
    else:
        _tell(protocol, written)
    raise SystemExit(0 if protocol["verdict"] == "PASS" else 1)


def applied(config: Path, as_files: bool) -> tuple[Configuration, str]:
    """The configuration in force by the journal, in words where it is from; else, or if asked for, that of the files."""
    try:
        history = [] if as_files else in_force(data_dir_of(config))
    except JournalUnavailable as error:
        raise Refusal(f"what is in force cannot be read: {error}. --files challenges what the files say.") from None
    if not history:
        return load_configuration(config, os.environ), f"the files of {config}" + ("" if as_files else "; nothing was applied yet")
    kept = history[-1][1].entry
    said = f"in force since journal entry {history[-1][0].seq} of {config}"
    if words := waiting(config, os.environ, kept):
        click.echo(f"warning: {words}. What is in force is challenged; --files challenges the files.", err=True)
        said += f"; {words}"
    return load_configuration(config, os.environ, kept), said


def _conducted(
    configuration: Configuration, source: str, folder: Path, wanted: frozenset[str], sample: int | None, tolerance_ns: int, title: str,
    keep: Path | None, requirements: Any,
) -> dict[str, Any]:  # fmt: skip
    from service.challenge.conduct import choose, conduct  # slow to load
    from service.challenge.instance import Hangs
    from service.challenge.protocol import Circumstances, document
    from service.pipeline import CANNOT_START

    clock = SystemClock()
    chosen = choose(configuration, sample, clock.now_ns(), lambda rule: rule.id in wanted)
    say = lambda words: click.echo(f"  {words}", err=True)  # noqa: E731
    points = sum(len(one.points) for one in chosen)
    click.echo(
        f"Challenging {so_many(len(chosen), 'rule')} at {so_many(points, 'pair')} of rule and point; the running system is not touched.",
        err=True,
    )
    try:
        record = conduct(configuration, folder, clock, chosen, tolerance_ns=tolerance_ns, say=say)
    except (*CANNOT_START, Hangs) as error:
        raise Refusal(f"the instance: {error}") from error
    kept = "" if keep is None else str(keep)
    circumstances = Circumstances(title, actor(), _program(), _files(configuration), source, sample, tolerance_ns, kept)
    return document(configuration, record, circumstances, requirements)


def _program() -> dict[str, str]:
    proof = prove(packages=PACKAGES)
    try:
        ours = version("renrum")
    except PackageNotFoundError:
        ours = "not installed"
    if proof.why_not:
        words = f"not proven: {proof.why_not}"
    else:
        words = f"{so_many(proof.checked, 'file')} as in the wheel" if proof.ok else f"WRONG: {'; '.join(proof.wrong)}"
    digest = hashlib.sha256()
    for name, value in own_files(PACKAGES, Path(__file__).resolve().parent.parent.parent).items():
        digest.update(f"{name} {value}\n".encode())
    system = machine()
    return {
        "program": f"renrum {ours}",
        "installation": words,
        "hash of its files": digest.hexdigest(),
        "runs on": ", ".join(f"{name} {value}" for name, value in system.items()),
    }


def _files(configuration: Configuration) -> dict[str, str]:
    texts = dict(configuration.files) | {f"{name} (shipped)": text for name, text in configuration.shipped.items()}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in sorted(texts.items())}


def _write(folder: Path, protocol: Mapping[str, Any]) -> list[Path]:
    """JSON first: the others carry its hash."""
    from service.challenge.shown import html, pdf

    data = (json.dumps(protocol, indent=1, ensure_ascii=False) + "\n").encode()
    digest = hashlib.sha256(data).hexdigest()
    files = {".json": data, ".html": html(protocol, digest).encode(), ".pdf": pdf(protocol, digest)}
    for suffix, content in files.items():
        (folder / f"{NAME}{suffix}").write_bytes(content)
    return [folder / f"{NAME}{suffix}" for suffix in files]


def _tell(protocol: Mapping[str, Any], written: list[Path]) -> None:
    for one in protocol["outcomes"]:
        if one["result"] in ("FAIL", "NOT TESTED"):
            why = "; ".join(filter(None, [one["reason"], *one["differences"]]))
            click.echo(f"{one['result']} {one['rule']} {one['point']}: {one['title']}: {why}")
    if protocol["requirements"] is not None and protocol["requirements"]["untraced"]:
        click.echo(f"requirements without a rule: {', '.join(protocol['requirements']['untraced'])}")
    counts = ", ".join(f"{count} {status}" for status, count in protocol["counts"].items())
    click.echo(f"{protocol['verdict']}: {counts}, in {protocol['lasted_s']:g} s")
    click.echo(f"protocol: {', '.join(str(path) for path in written)}")
