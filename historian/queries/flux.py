"""The words that the queries are made of; measurements and fields are those of historian/schema.py or an error."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from historian.schema import Measurement

START, STOP, EVERY, BUCKET = "v.timeRangeStart", "v.timeRangeStop", "v.windowPeriod", "v.defaultBucket"
CHOSEN_POINTS = "r.point =~ /^${point:regex}$/"
CHOSEN_ROOMS = "r.room =~ /^${room:regex}$/"
CHOSEN_GRADES = "r.grade =~ /^${grade:regex}$/"
BEGINNING = "time(v: 0)"
_REPLACED = re.compile(r"\.(?=(?:timeRangeStart|timeRangeStop|windowPeriod|bucket|defaultBucket|organization)\b)")
_SPECIAL = re.compile(r"[\\^$*+?.()|\[\]{}/]")


@dataclass(frozen=True, slots=True)
class Query:
    """A Flux text with its name and the parameters that it was built from."""

    name: str
    flux: str
    asked: Mapping[str, Any] = field(default_factory=dict)


def query(name: str, flux: str, imports: Iterable[str] = (), **asked: Any) -> Query:
    """A query whose first line says its name, so that it is found in Grafana and in the server's log."""
    head = [f"// renrum: {name}", *(f'import "{package}"' for package in sorted(imports))]
    return Query(name, "\n".join([*head, flux.strip()]) + "\n", asked)


def tag_value(id: str) -> str:
    r"""An id as the value of a tag that the feed writes: a backslash, which a tag cannot end with, is a slash there, which no id has.

    >>> tag_value("cp1\\temp")
    'cp1/temp'
    """
    return id.replace("\\", "/")


def text(value: str) -> str:
    """A string literal; what Flux or Grafana would take for a variable of theirs is written by its code.

    >>> text('14 "Pa" of ${x}'), text("cp1.bucket")
    ('"14 \\\\"Pa\\\\" of \\\\x24{x}"', '"cp1\\\\x2ebucket"')
    """
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\x24").replace("[", "\\x5b").replace("\n", " ")
    return f'"{_REPLACED.sub(lambda _: chr(92) + "x2e", escaped)}"'


def pattern(names: Iterable[str]) -> str:
    """A regular expression that matches these names and no other, as Grafana writes the chosen values of a variable.

    >>> pattern(["cp1.temp", "a"]), pattern(["a"])
    ('(cp1\\\\.temp|a)', 'a')
    """
    escaped = [_SPECIAL.sub(lambda match: "\\" + match[0], name) for name in names]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"


def words(names: Mapping[str, str]) -> str:
    """A dictionary literal."""
    return "[" + ", ".join(f"{text(key)}: {text(value)}" for key, value in names.items()) + "]"


def rows(records: Iterable[Mapping[str, str | float]]) -> str:
    """A table literal of texts and numbers, in the `array` package."""

    def literal(value: str | float) -> str:
        return text(value) if isinstance(value, str) else repr(float(value))

    return (
        "array.from(rows: ["
        + ", ".join("{" + ", ".join(f"{key}: {literal(value)}" for key, value in row.items()) + "}" for row in records)
        + "])"
    )


def stored(measurement: Measurement, site: str, *names: str, where: str = "", start: str = START, stop: str = STOP) -> str:
    """What lies in a measurement: these fields, all when none is named, under one more condition on `r`. KeyError for a wrong name."""
    for name in names:
        measurement.fields[name]
    conditions = [f'r._measurement == "{measurement.name}" and r.site == {text(site)}']
    if names:
        conditions.append(" or ".join(f'r._field == "{name}"' for name in names))
    if where:
        conditions.append(where)
    filters = "".join(f"\n    |> filter(fn: (r) => {condition})" for condition in conditions)
    return f"from(bucket: {BUCKET})\n    |> range(start: {start}, stop: {stop}){filters}"


def among(points: Iterable[str]) -> str:
    """The condition that a row is of one of these points and of those chosen on the dashboard."""
    return f"r.point =~ /^{pattern(points)}$/ and {CHOSEN_POINTS}"


PIVOT = 'pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
