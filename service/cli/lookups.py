"""What the look-up commands share: where to look, which rows, and errors that say what to do."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import wraps
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click

from alerts.record.store import StateUnavailable
from facility.document import did_you_mean, one_of, read_document
from facility.durations import parse_duration
from facility.files import AS_THE_SERVICE, Files, Forbidden, Unreadable
from facility.problems import ConfigurationError, Problem
from facility.site import Facility
from facility.times import format_time, parse_time
from historian.wanted import Wanted
from service.cli.options import GIVEN_PATH, Command, Refusal, configuration_path
from service.clock import SystemClock
from service.stored.archive import Archive, ArchiveUnavailable, JournalUnavailable

EARLIEST_NS = -(2**63)
"""No time in a database is before it; more is no integer of SQLite's."""
DOCTOR = "`renrum doctor` looks for the cause."
WITHOUT = "`renrum init DIR` writes an example; look-ups with --data-dir DIR need none."
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_MINUTE = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(?=$|[Zz+-])")
_GLOB = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for on the command line."""

    config: Path | None
    data_dir: Path | None
    start: str | None = None
    end: str | None = None
    last: str | None = None
    rooms: tuple[str, ...] = ()
    points: tuple[str, ...] = ()

    @contextmanager
    def archive(self) -> Iterator[Archive]:
        """The data_dir, opened; whatever is wrong with it ends the command with a sentence."""
        folder = self.data_dir or data_dir_of(configuration_path(self.config, os.environ))
        try:
            with Archive(folder) as archive:
                yield archive
        except ArchiveUnavailable as error:
            raise Refusal(str(error)) from None
        except (JournalUnavailable, StateUnavailable) as error:
            raise Refusal(f"{error}. {DOCTOR}") from None
        except sqlite3.Error as error:
            raise Refusal(f"{folder} cannot be read: {error}. {DOCTOR}") from None

    def period(self, zone: ZoneInfo) -> tuple[int | None, int | None]:
        """Start and end, int ns UTC; None for no bound."""
        end = None if self.end is None else time_of("--end", self.end, zone)
        if self.last is None:
            start = None if self.start is None else time_of("--start", self.start, zone)
        elif self.start is not None:
            raise Refusal("--last and --start: give one of them.")
        else:
            start = max((SystemClock().now_ns() if end is None else end) - span_of("--last", self.last), EARLIEST_NS)
        if start is not None and end is not None and start >= end:
            raise Refusal(f"--start {format_time(start)} is not before --end {format_time(end)}.")
        return start, end

    def wanted(self, archive: Archive) -> Wanted:
        """The rows asked for; raises Refusal for times, points and rooms that cannot be meant."""
        start, end = self.period(archive.zone)
        if not self.rooms and not self.points:
            return Wanted(start, end)
        facility = archive.facility
        places = _places(facility, self.rooms)
        points = _chosen("--point", "point", self.points, {*archive.number_of, *facility.point_by_id})
        if self.rooms:
            inside = {point.id for point in facility.points if point.room in places or point.zone in places}
            points = points & inside if self.points else inside
            if not points:
                what = f"None of --point {', '.join(self.points)}" if self.points else "No point"
                raise Refusal(f"{what} stands in --room {', '.join(self.rooms)}.")
        held = {place for id_ in points if (point := facility.point_by_id.get(id_)) for place in (point.room, point.zone) if place}
        return Wanted(start, end, frozenset(points), frozenset(held))


def place_options(command: Command) -> Command:
    """--config, --data-dir: which data_dir is meant."""
    told = "The data_dir itself, such as a copy; no configuration is needed then."
    command = click.option("--data-dir", type=GIVEN_PATH, help=told)(command)
    return click.option("--config", type=GIVEN_PATH, help="The renrum.yaml that names the data_dir; only that is read of it.")(command)


def lookup_options(command: Command) -> Command:
    """--config, --data-dir, --start, --end, --last, --room, --point: gives the command an `asked`."""

    @wraps(command)
    def with_asked(
        *, config: Path | None, data_dir: Path | None, start: str | None, end: str | None, last: str | None,
        room: tuple[str, ...], point: tuple[str, ...], **others: Any,
    ) -> Any:  # fmt: skip
        return command(asked=Asked(config, data_dir, start, end, last, room, point), **others)

    options: list[Callable[[Any], Any]] = [
        click.option("--start", metavar="TIME", help="From this time on: RFC 3339, or local at the site (2026-11-21, 2026-11-21T08:30)."),
        click.option("--end", metavar="TIME", help="Before this time."),
        click.option("--last", metavar="SPAN", help="The last 90s, 15m, 2h, 7d before --end, else before now."),
        click.option("--room", metavar="ID", multiple=True, help="Of a room with its zones, or of a zone; a glob, or several times."),
        click.option("--point", metavar="ID", multiple=True, help="Of a point; a glob, or several times."),
    ]
    decorated: Any = with_asked
    for option in reversed(options):
        decorated = option(decorated)
    result: Command = place_options(decorated)
    return result


def data_dir_of(config: Path) -> Path:
    """The data_dir that a renrum.yaml names, even when the rest of the configuration is wrong; raises ConfigurationError."""
    files, name = Files.around(config)
    try:
        document, problems = read_document(files, name)
    except Unreadable as error:
        hint = AS_THE_SERVICE if isinstance(error, Forbidden) else WITHOUT
        raise ConfigurationError([Problem(str(config), 0, "", str(error), "a renrum.yaml", hint)]) from None
    if not document.value:
        raise ConfigurationError(problems or [Problem(str(config), 0, "", "nothing", "a renrum.yaml")])
    value = document.value.get("data_dir", "data")
    if not isinstance(value, str) or not value:
        raise ConfigurationError([document.problem(("data_dir",), repr(value), "the path of a folder")])
    return config.absolute().parent / value


def time_of(option: str, text: str, zone: ZoneInfo) -> int:
    """A time on the command line, int ns UTC: RFC 3339, or the site's local time, also a day or without seconds."""
    completed = f"{text}T00:00:00" if _DAY.fullmatch(text) else text
    if minute := _MINUTE.match(completed):
        completed = f"{minute[0]}:00{completed[minute.end() :]}"
    try:
        return parse_time(completed, zone)
    except ValueError as error:
        raise Refusal(f"{option}: found {text!r}; allowed: {error}. Without an offset it is local time in {zone.key}.") from None


def span_of(option: str, text: str) -> int:
    """A duration above zero on the command line, in ns."""
    try:
        span_ns = parse_duration(text).of(None)
    except ValueError:
        span_ns = 0
    if span_ns <= 0:
        raise Refusal(f"{option}: found {text!r}; allowed: a duration above 0 such as 90s, 15m, 2h, 7d.")
    return span_ns


def nothing(what: str, asked: Asked, archive: Archive) -> str:
    """That nothing matches, and what there is."""
    extent = archive.extent()
    there = f"The journal reaches from {format_time(extent[0])} to {format_time(extent[1])}" if extent else "The journal is empty"
    narrowed = any((asked.start, asked.end, asked.last, asked.rooms, asked.points))
    return f"No {what}{' match what was asked for' if narrowed else ''} in {archive.data_dir}. {there}."


def matches(text: str, patterns: Sequence[str]) -> bool:
    """Whether a text is, or is matched by, one of the patterns; none at all match everything."""
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


def _places(facility: Facility, patterns: Sequence[str]) -> set[str]:
    return _chosen("--room", "room or zone", patterns, facility.place_by_id) if patterns else set()


def _chosen(option: str, noun: str, patterns: Sequence[str], known: Collection[str]) -> set[str]:
    """Ids that the patterns name; a name or a glob without any is a mistake."""
    found = set()
    for pattern in patterns:
        ids = {id_ for id_ in known if fnmatchcase(id_, pattern)}
        if not ids:
            names = tuple(sorted(known))
            glob = _GLOB.search(pattern)
            hint = f"There are {one_of(names)}." if glob else did_you_mean(pattern, names) or f"There are {one_of(names)}."
            raise Refusal(f"{option}: {'nothing matches' if glob else f'there is no {noun}'} {pattern!r}. {hint}")
        found |= ids
    return found
