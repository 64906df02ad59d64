"""facility/own.py, service/own_readings.py: the pipeline measured as what it monitors is, and judged by rules like any sensor."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from alerts.record.store import StateStore
from dashboards.monitor import ApplyAsked
from facility.own import NEWEST, OWN, PLACE, own_points, without_own
from facility.problems import ConfigurationError
from ingest.journal.entries import INGEST, ingest_body, readings_of
from ingest.message import Message
from ingest.sums import OWN_READINGS
from rules.rule import Selection
from rules.selecting import matches
from service.clock import SystemClock
from service.configuration.configuration import Configuration, load_configuration
from service.configuration.judging import judging_from_entry
from service.own_readings import FAILING
from service.pipeline import Pipeline
from tests.support.archive_data import SECOND_NS, Installation, example_configuration
from tests.support.verifying import report, verify
from tests.test_pipeline import on_port
from tests.test_vitals import until

RULE = """
  - {id: disk-full, kind: limit, select: {point: $disk.free}, below: 10, level: technical}
  - {id: not-verified, kind: limit, select: {point: $verify.ok}, below: 1, level: technical}
"""


def measured(folder: Path) -> Configuration:
    example_configuration(folder)
    with (folder / "rules.yaml").open("a") as file:
        file.write(RULE)
    return load_configuration(folder / "renrum.yaml", {})


@pytest.mark.parametrize(
    ("select", "chosen"),
    [
        (Selection(), False),
        (Selection(point=("*",)), False),
        (Selection(quantity=("duration",)), False),
        (Selection(room=("?pipeline",)), False),
        (Selection(point=("$verify.*",)), True),
        (Selection(room=("$pipeline",), quantity=("verified",)), True),
        (Selection(point=("$*",)), True),
    ],
)
def test_own_points_are_selected_by_their_own_sign_only(select: Selection, chosen: bool) -> None:
    point = next(point for point in own_points() if point.id == "$verify.ok")
    assert matches(select, point) is chosen


def test_they_are_there_when_a_rule_names_one(tmp_path: Path) -> None:
    plain = example_configuration(tmp_path / "plain")
    assert PLACE not in plain.facility.places
    assert "own" not in plain.as_entry(), "a configuration that does without is journalled as before"
    configuration = measured(tmp_path / "site")
    assert PLACE in configuration.facility.places
    assert {point.id for point in configuration.facility.points if point.id.startswith(OWN)} == {point.id for point in own_points()}
    assert without_own(configuration.facility) == plain.facility
    assert not configuration.warnings


def test_a_journalled_configuration_keeps_the_set_that_it_was_read_with(tmp_path: Path) -> None:
    configuration = measured(tmp_path / "site")
    entry = json.loads(json.dumps(configuration.as_entry()))
    assert judging_from_entry(entry)[0] == configuration.facility
    with pytest.raises(ConfigurationError, match="own"):
        judging_from_entry(entry | {"own": NEWEST + 1})


def test_readings_of_the_service_are_judged_and_received_by_nobody(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site", measured)
    place.read("inc1.temp", 37.0, 0)
    place.step()
    for share in (50.0, 5.0):
        place.at += SECOND_NS
        place.intake.measure({place.number_of["$disk.free"]: share, place.number_of["$verify.ok"]: 1.0}.items(), place.at, place.at)
        place.step()
    found = [row for row in place.store.excursions() if row.rule != "silent"]
    assert [(row.rule, row.point, row.room, row.unit, row.peak) for row in found] == [("disk-full", "$disk.free", "$pipeline", "%", 5.0)]
    assert (place.intake.sums.received, place.intake.sums.stored, place.intake.sums.lost) == (1, 1, 0)
    assert place.ledger.sums == place.intake.sums
    place.ledger.settle()
    place.close()
    document = report(place.data_dir)
    assert document["ok"], document
    completeness = document["completeness"]
    assert (completeness["received"], completeness["own"], completeness["in_series"]) == (1, 4, 5)


def test_no_message_speaks_for_them(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site", measured)
    site = place.configuration.facility.site.id
    payload = b'{"time": "2026-11-20T08:00:00Z", "value": 1}'
    place.intake.accept([Message(f"renrum/{site}/$pipeline/$verify.ok", payload, 0, False)], place.at)
    assert place.intake.sums.quarantined == {"place_unknown": 1}
    place.close()


def test_the_same_moment_twice_is_stored_once(tmp_path: Path) -> None:
    """A wall clock that was set back can come to the same ns again."""
    place = Installation(tmp_path / "site", measured)
    number = place.number_of["$steps.lag"]
    place.intake.measure({number: 1.0}.items(), place.at, 0)
    place.intake.measure({number: 2.0}.items(), place.at, 0)
    with closing(place.journal.reader()) as reader:
        bodies = [ingest_body(entry) for entry in reader.entries(kinds=(INGEST,))]
    assert [(body.origin, body.received) for body in bodies] == [(OWN_READINGS, 1)]
    place.close()


def test_a_service_measures_itself(tmp_path: Path) -> None:
    pipeline = Pipeline(on_port(measured(tmp_path / "site"), 0), SystemClock())
    pipeline.start()
    try:
        number_of = pipeline.stepper.ledger.number_of
        until(lambda: "$disk.free" in number_of)
        pipeline._own.measure()
        with closing(pipeline.journal.reader()) as reader:
            entries = [(entry, ingest_body(entry)) for entry in reader.entries(kinds=(INGEST,))]
        ids = {number: point for point, number in number_of.items()}
        ((entry, body),) = [(entry, body) for entry, body in entries if body.origin == OWN_READINGS]
        readings = readings_of(entry, body)
        known = dict(zip([ids[number] for number in readings.point.tolist()], readings.value.tolist(), strict=True))
    finally:
        pipeline.stop()
    assert known.keys() >= {"$broker.link", "$journal.latency", "$steps.lag", "$deliveries.failing", "$disk.free"}
    assert known.keys().isdisjoint({"$historian.lag", "$verify.ok", "$verify.age", "$disk.days"}), "what is not known is not said"
    assert 0 < known["$disk.free"] < 100
    assert 0 < known["$journal.latency"] < 60
    assert known["$deliveries.failing"] == 0
    assert verify(pipeline.configuration.settings.data_dir).exit_code == 0


def test_they_come_and_go_with_the_configuration_in_force(tmp_path: Path) -> None:
    configuration = on_port(example_configuration(tmp_path / "site"), 0)
    rules = tmp_path / "site" / "rules.yaml"
    plain, data_dir = rules.read_text(), configuration.settings.data_dir

    def journalled() -> list[int]:
        with closing(pipeline.journal.reader()) as reader:
            bodies = [(entry, ingest_body(entry)) for entry in reader.entries(kinds=(INGEST,))]
        return [entry.readings for entry, body in bodies if body.origin == OWN_READINGS]

    def judged() -> list[str]:
        with closing(StateStore(data_dir / "state.db", readonly=True)) as store:
            return [f"{row.rule} {row.point} {row.closed_by or 'open'}" for row in store.excursions("point = '$disk.free'")]

    pipeline = Pipeline(configuration, SystemClock(), lambda: on_port(load_configuration(tmp_path / "site" / "renrum.yaml", {}), 0))
    pipeline.start()
    try:
        pipeline._own.measure()
        assert journalled() == [], "no rule names one"
        rules.write_text(plain + RULE.replace("below: 10", "below: 101"))
        answer = pipeline.following.apply(ApplyAsked("anna", "watch the disk"))
        assert answer.result == "applied", answer
        assert ("$disk.free", "") in [(what, old) for what, old, _ in answer.changes]
        pipeline._own.measure()
        assert len(journalled()) == 1
        until(lambda: judged() == ["disk-full $disk.free open"])
        rules.write_text(plain)
        assert pipeline.following.apply(ApplyAsked("anna", "watched elsewhere")).result == "applied"
        pipeline._own.measure()
        assert len(journalled()) == 1
        until(lambda: judged() == ["disk-full $disk.free configuration"])
    finally:
        pipeline.stop()
    assert verify(data_dir).exit_code == 0


def test_pages_that_were_tried_and_are_not_delivered_count(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site", measured)
    place.close()
    pages = [("P1", 0, None), ("P2", 2, None), ("P3", 3, 1)]
    with closing(StateStore(place.data_dir / "state.db")) as store, store.transaction():
        for page in pages:
            store.execute("insert into outbox (page_id, target, attempts, sent_at) values (?, 'sink', ?, ?)", page)
    with closing(StateStore(place.data_dir / "state.db", readonly=True)) as store:
        assert store.rows(FAILING) == [(1,)]
