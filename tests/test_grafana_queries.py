"""Every Flux query of every dashboard, on a real InfluxDB: its rows are those that a direct computation gives."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from facility.times import parse_time
from historian.queries.flux import Query
from historian.queries.places import NO_GRADE
from tests.support import grafana
from tests.support.computed import COMPUTE, WIDTHS, View, computed
from tests.support.influx import Influx, influx_server, needs_influx
from tests.support.known_history import BEGIN, DAY_NS, END, HOUR_NS, MINUTE_NS, History, Row, fed, history

__all__ = ["influx_server"]
pytestmark = needs_influx

FACILITY = grafana.configuration().facility
ALL = tuple(point.id for point in FACILITY.points)
ROOMS = tuple(place.id for place in FACILITY.places if place.parent is None)
GRADES = tuple(dict.fromkeys(point.grade or NO_GRADE for point in FACILITY.points))
VIEWS = {
    "raw, all": View(BEGIN + 7 * MINUTE_NS + 3, BEGIN + 30 * MINUTE_NS, WIDTHS["raw"], ALL, ROOMS, GRADES),
    "minutes, a room": View(
        BEGIN + 90_000_000_001,
        BEGIN + 2 * HOUR_NS,
        WIDTHS["minutes"],
        tuple(p.id for p in FACILITY.points if p.room == "cp1"),
        ("cp1",),
        GRADES,
    ),
    "hours, all": View(BEGIN + 1, END, WIDTHS["hours"], ALL, ROOMS, GRADES),
    "a year, one point": View(END - 365 * DAY_NS, END + 1, WIDTHS["days"], ("cp1.dp1.dp",), ROOMS, ("B", "C")),
    "before everything": View(BEGIN - 400 * DAY_NS, BEGIN - 399 * DAY_NS, WIDTHS["minutes"], ALL, ROOMS, GRADES),
}
KNOWN = history(FACILITY)
TIMES = {"_time", "time", "timeEnd", "onset", "ended", "since"}


@pytest.fixture(scope="module")
def filled(influx_server: Influx, tmp_path_factory: pytest.TempPathFactory) -> tuple[Influx, History]:
    """A history in InfluxDB, as the feed wrote it from the journal."""
    fed(tmp_path_factory.mktemp("kept"), KNOWN, influx_server)
    return influx_server, KNOWN


@pytest.mark.parametrize("view", VIEWS.values(), ids=list(VIEWS))
@pytest.mark.parametrize("name", sorted(COMPUTE))
def test_every_query_returns_the_rows_of_a_direct_computation(filled: tuple[Influx, History], name: str, view: View) -> None:
    server, known = filled
    for query in (query for query in grafana.queries().values() if query.name == name):
        expected = computed(query, known, view)
        found = server.query(grafana.filled(query.flux, view, server.bucket))
        assert_same(found, expected, query)


def assert_same(found: list[dict[str, str]], expected: list[Row], query: Query) -> None:
    rows = [typed(row, expected[0] if expected else {}) for row in found]
    if expected and "series" in expected[0]:
        assert all(a["_time"] <= b["_time"] for a, b in pairwise(rows) if a["series"] == b["series"]), query.flux
        rows, expected = sorted(rows, key=_by_series), sorted(expected, key=_by_series)
    assert len(rows) == len(expected), query.flux
    for row, wanted in zip(rows, expected, strict=True):
        assert all(_close(row[name], wanted[name]) for name in wanted), f"{row}\n{wanted}\n{query.flux}"


def _by_series(row: Row) -> tuple[str, int]:
    return row["series"], row["_time"]


def _close(found: object, wanted: object) -> bool:
    """Equal; means of many values may differ in their last digits, as the server adds in another order."""
    if isinstance(found, float) and isinstance(wanted, float):
        return math.isclose(found, wanted, rel_tol=1e-9)
    return found == wanted


def typed(row: dict[str, str], like: Row) -> Row:
    """Texts of the answer as values; of the columns that are expected, and there must be no others."""
    plain = {name: text for name, text in row.items() if name not in ("", "result", "table")}
    if like:
        assert plain.keys() == like.keys()
    return {name: _value(name, text, like.get(name)) for name, text in plain.items()}


def _value(name: str, text: str, like: object) -> object:
    if name in TIMES:
        return parse_time(text) if text else None
    if isinstance(like, bool):
        return text == "true"
    if isinstance(like, str):
        return text
    return float(text) if text else None


def test_the_known_history_is_no_empty_one() -> None:
    shown = [query for query in grafana.queries().values() if any(computed(query, KNOWN, view) for view in VIEWS.values())]
    assert {query.name for query in shown} == set(COMPUTE)


def test_every_query_has_its_computation() -> None:
    assert {query.name for query in grafana.queries().values()} == set(COMPUTE)


def test_a_year_is_read_from_the_hours(filled: tuple[Influx, History]) -> None:
    server, _ = filled
    view = VIEWS["a year, one point"]
    for query in grafana.queries().values():
        if query.name in ("readings", "extremes", "bad"):
            rows = server.query(grafana.filled(query.flux, view, server.bucket))
            assert len(rows) <= 2 * 6 * 2
