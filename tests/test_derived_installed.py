"""A derived point where people meet it: judged in a data_dir, late and after a change, verified, explained, tried out, shown."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner

from alerts.judging.derivation import ReadingsOf, newest_derived
from alerts.record.store import StateStore
from facility.times import format_time
from ingest.journal.journal import JournalReader
from ingest.series.series import SeriesReader
from rules.excursion import CURRENT
from service.cli import main
from service.configuration.configuration import Configuration, load_configuration
from service.stored.readers import Readers
from service.stored.readings import StoredReadings
from tests.support.archive_data import START, Installation, example_configuration

SECOND_NS = 10**9
FACILITY = """
site: {id: karo}
rooms:
  - id: cp1
    grade: B
    points:
      - {id: a, quantity: differential_pressure, unit: Pa, period: 2s}
      - {id: b, quantity: differential_pressure, unit: Pa, period: 2s}
      - {id: step, quantity: differential_pressure, derived: {difference: [a, b]}}
"""
RULES = """
rules:
  - {id: reversed, kind: limit, select: {point: step}, level: action, below: 0, on_delay: 4s}
  - {id: silent, kind: stale, after: 10m}
"""


def written(folder: Path) -> Configuration:
    example_configuration(folder)
    (folder / "facility.yaml").write_text(FACILITY)
    (folder / "rules.yaml").write_text(RULES)
    return load_configuration(folder / "renrum.yaml", {})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A cascade that is reversed from 20 s to 30 s, of which b told late; and from 50 s on."""
    place = Installation(tmp_path_factory.mktemp("derived") / "site", written)
    for second in range(0, 60, 2):
        place.at = max(place.at, START + second * SECOND_NS)
        place.read("a", 15.0, second)
        if not 20 <= second < 30:
            place.read("b", 20.0 if second >= 50 else 5.0, second)
        place.step()
        if second == 40:
            place.write_series()
    for second in range(20, 30, 2):
        place.read("b", 17.0, second)
    place.at += 3 * SECOND_NS
    place.step()
    place.close()
    return place


def run(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.output


def test_late_readings_of_an_origin_raise_what_they_show_and_verify_says_identical(place: Installation) -> None:
    with closing(StateStore(place.data_dir / "state.db", readonly=True)) as store:
        rows = store.excursions("rule = ? and status = ?", ("reversed", CURRENT))
    found = [(row.onset, row.ended, row.peak, row.readings, row.late) for row in sorted(rows, key=lambda row: row.onset)]
    at = [START + second * SECOND_NS for second in (20, 30, 50)]
    assert found == [(at[0], at[1], -2.0, 5, True), (at[2], None, -5.0, 5, False)]
    assert "identical" in run("verify", "--config", str(place.config))


def test_explain_tells_the_derived_readings(place: Installation) -> None:
    text = run("explain", "step", "--config", str(place.config), "--at", format_time(START + 26 * SECOND_NS))
    assert "settling 2s" in text
    row = next(line for line in text.splitlines() if line.startswith("→"))
    assert row.split()[3] == "-2"


def test_a_change_is_tried_on_derived_readings(place: Installation) -> None:
    said = json.loads(run("rules", "diff", "--config", str(place.config), "--set", "reversed.below=-3", "--json"))
    assert [(row["before"], row["removed"], row["after"]) for row in said["sums"]] == [(2, 1, 1)]


def test_the_console_and_the_trend_read_what_rules_see(place: Installation) -> None:
    with_readers = (
        Readers(lambda: SeriesReader(place.data_dir / "series.db")),
        Readers(lambda: JournalReader(place.data_dir / "journal.db")),
    )
    stored = StoredReadings(*with_readers)
    facility = place.configuration.facility
    assert [point.id for point in facility.measured] == ["a", "b"]
    plan = place.ledger.judgement.plan
    (newest,) = newest_derived(plan, stored.first, stored.newest())
    assert (newest.time.tolist(), newest.value.tolist()) == ([START + 58 * SECOND_NS], [-5.0])
    trend = ReadingsOf(stored.first, [(0, plan)]).first(place.number_of["step"], 3, START + 20 * SECOND_NS)
    assert trend.value.tolist() == [-2.0] * 3
    for readers in with_readers:
        readers.close()
