"""What `renrum doctor` looks at first: the installation and the configuration. Each check says what to do; none prints a secret."""

from __future__ import annotations

import platform
import re
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, packages_distributions, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import service
from alerts.channels import Local
from facility.document import Document, parse_document
from facility.own import without_own
from facility.problems import ConfigurationError, so_many
from facility.secret import exposed
from service.configuration.configuration import Configuration, load_configuration

Verdict = Literal["ok", "warning", "problem"]
PACKAGES = ("facility", "ingest", "historian", "rules", "alerts", "dashboards", "simulators", "service")
_SECRET_KEYS = ("password_file", "url_file", "token_file", "key_file")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found; `remedy` says what to do, and is empty when all is well."""

    check: str
    verdict: Verdict
    words: str
    remedy: str = ""


def installation() -> Iterator[Finding]:
    """Packages, versions and SQLite: what is needed before any configuration."""
    yield _packages()
    yield _versions()
    yield _sqlite()


def configured(path: Path, environment: Mapping[str, str]) -> tuple[Configuration | None, list[Finding]]:
    """The configuration, None when it cannot be used, and what there is to say of it."""
    remedy = "Correct it; `renrum check` shows the same."
    try:
        configuration = load_configuration(path, environment)
    except ConfigurationError as error:
        return None, [Finding("configuration", "problem", str(problem), remedy) for problem in error.problems]
    points = len(without_own(configuration.facility).points)
    counts = f"{so_many(points, 'point')}, {so_many(len(configuration.rules), 'rule')}, environment {configuration.settings.environment}"
    found = [Finding("configuration", "ok", f"{path}: {counts}")]
    for warning in configuration.warnings:
        if not warning.key.endswith(_SECRET_KEYS):  # told by `secrets`
            found.append(Finding("configuration", "warning", str(warning), remedy))
    return configuration, [*found, _time_zone(configuration), _secrets(configuration), _channels(configuration)]


# The installation


def _packages() -> Finding:
    """Another distribution with a top-level `rules` overwrites ours without a word."""
    home = Path(service.__file__ or "").resolve().parent.parent
    foreign = []
    for name in PACKAGES:
        spec = find_spec(name)
        place = Path(spec.origin).resolve().parent if spec is not None and spec.origin else None
        if place != home / name:
            foreign.append(f"{name} from {place or 'nowhere'}")
    if foreign:
        words = f"not ours: {', '.join(foreign)}; the others are in {home}"
        return Finding("packages", "problem", words, "Install Renrum in an environment of its own: another package has the same names.")
    shipped = packages_distributions()
    others = sorted({owner for name in PACKAGES for owner in shipped.get(name, ()) if owner != "renrum"})
    if others:
        return Finding(
            "packages", "warning", f"{', '.join(others)} ships packages named as ours", "Install Renrum in an environment of its own."
        )
    return Finding("packages", "ok", f"all {len(PACKAGES)} of ours are loaded from {home}")


def _versions() -> Finding:
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    try:
        own = version("renrum")
    except PackageNotFoundError:
        return Finding(
            "versions", "warning", f"{python}; renrum is not installed", "Install it with pip, so that its libraries are the tested ones."
        )
    names = [re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0] for line in requires("renrum") or () if "extra ==" not in line]
    known, missing = [], []
    for name in sorted(names):
        try:
            known.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding(
            "versions", "problem", f"not installed: {', '.join(missing)}", "Install Renrum again: pip install --force-reinstall renrum."
        )
    return Finding("versions", "ok", f"renrum {own}, {python}; {', '.join(known)}")


def _sqlite() -> Finding:
    """The journal needs a database that writes ahead and waits for the disk."""
    with tempfile.TemporaryDirectory() as folder, closing(sqlite3.connect(Path(folder) / "try.db")) as connection:
        mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
        connection.execute("pragma synchronous = full")
        synchronous = connection.execute("pragma synchronous").fetchone()[0]
    words = f"SQLite {sqlite3.sqlite_version}, journal mode {mode}, synchronous {'full' if synchronous == 2 else synchronous}"
    if (mode, synchronous) != ("wal", 2):
        return Finding("sqlite", "problem", words, "A commit would not be safe: use a Python whose SQLite has write-ahead logging.")
    return Finding("sqlite", "ok", words)


# The configuration


def _time_zone(configuration: Configuration) -> Finding:
    name = configuration.facility.site.timezone
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        return Finding("time zone", "problem", f"nothing is known here of {name}", "Install the package tzdata.")
    try:
        source = f"tzdata {version('tzdata')}"
    except PackageNotFoundError:
        source = "the system's data"
    return Finding("time zone", "ok", f"{name}, by {source} where the system has none")


def _secrets(configuration: Configuration) -> Finding:
    """Every file with a secret that a file of the configuration names."""
    paths = []
    for name, text in configuration.files.items():
        if name.endswith((".yaml", ".yml")):
            document, _ = parse_document(name, text)
            paths += [(configuration.settings.folder / name).parent / value for value in _secret_files(document)]
    there = [path for path in paths if path.is_file()]
    bare = [str(path) for path in there if exposed(path)]
    if bare:
        return Finding("secrets", "warning", f"every user may read {', '.join(bare)}", f"Take that right away: chmod o= {' '.join(bare)}")
    return Finding("secrets", "ok", f"{so_many(len(there), 'file')}, none of which every user may read" if there else "none in files")


def _secret_files(document: Document) -> Iterator[str]:
    waiting: list[object] = [document.value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, Mapping):
            yield from (item for key, item in value.items() if key in _SECRET_KEYS and isinstance(item, str))
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _channels(configuration: Configuration) -> Finding:
    channels = configuration.oncall.channels
    if not channels:
        return Finding("channels", "problem", "no channel: an alarm would tell nobody", "Add one to the file that `oncall` names.")
    if all(isinstance(channel, Local) for channel in channels.values()):
        production = configuration.settings.environment == "production"
        words = f"{', '.join(channels)}: only into a file, which wakes nobody"
        return Finding(
            "channels", "problem" if production else "warning", words, "Add a channel that reaches people: email, webhook, apprise."
        )
    return Finding("channels", "ok", ", ".join(channels))
