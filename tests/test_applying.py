"""A configuration put in force: what it judges, what a running and a stopped service make of it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboards.monitor import APPLIED, MOVED_ON, UNCHANGED, ApplyAsked, MonitorUnavailable
from facility.times import format_time
from ingest.admission.prepared import Prepared
from ingest.journal.entries import CONFIGURATION
from ingest.journal.journal import JournalUnavailable
from ingest.message import Message
from service.applied import in_force
from service.applying import apply_stopped
from service.clock import SystemClock
from service.pipeline import Pipeline
from service.stored.archive import ArchiveUnavailable
from tests.support.archive_data import START
from tests.support.changing import ASKED, POINT, Place, edited, loaded, run, written
from tests.support.verifying import wrong


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield (made := Place(tmp_path / "site"))
    made.close()


# Judged


def test_each_reading_is_judged_by_what_was_in_force_at_its_time(place: Place) -> None:
    place.read(POINT, 9.5, 0)
    place.read("cp1.temp", 20.0, 0)
    place.step()
    assert [row.rule for row in place.store.excursions("cleared is null")] == []  # a table waits two seconds for the room's state
    place.at += 3 * 10**9
    place.step()
    [excursion] = place.store.excursions("cleared is null")
    assert (excursion.rule, excursion.limit) == ("dp-low", 10.0)
    moment = place.at
    place.apply(edited(place.folder, "limits.csv", ",action,10,", ",action,9,"))
    place.step()
    [closed] = place.store.excursions("status = 'current'")
    assert (closed.id, closed.cleared, closed.closed_by) == (excursion.id, moment, "configuration")

    place.at += 10 * 10**9
    after_s = (place.at - START) / 10**9
    place.read(POINT, 9.5, after_s)  # inside the new limit
    place.read(POINT, 8.0, after_s + 1)  # beyond it
    place.read(POINT, 9.5, 1)  # late, of the time of the old one: a part of what was found then
    place.at += 3 * 10**9
    place.step()
    found = {row.id: row for row in place.store.excursions("status = 'current'")}
    assert [(row.limit, row.readings, row.cleared is None) for row in found.values()] == [(10.0, 2, False), (9.0, 1, True)]
    actions = place.store.rows("select actor, object, old, new, reason from audit where action = 'configuration value'")
    assert actions == [("anna", "cp1.dp action below", "10 Pa", "9 Pa", "CR-7: requalified")]
    place.settle()
    assert wrong(place.data_dir) == {}


def test_admission_follows_at_the_very_entry_and_new_points_are_heard(place: Place) -> None:
    new = "      - {id: cp1.rh, quantity: relative_humidity, unit: '%'}\n      - {id: cp1.temp"
    place.send("cp1/cp1.rh", {"time": format_time(START), "value": 40})
    place.read(POINT, 60.0, 0)
    edited(place.folder, "facility.yaml", "      - {id: cp1.temp", new)
    place.apply(edited(place.folder, "facility.yaml", "range: [-100, 100]", "range: [-100, 50]"))
    place.send("cp1/cp1.rh", {"time": format_time(START + 10**9), "value": 41})
    place.read(POINT, 60.0, 1)
    place.step()
    assert place.intake.sums.in_quarantine == {"point_unknown": 1}
    place.write_series()
    assert place.series.read(place.number_of["cp1.rh"]).value.tolist() == [41.0]
    assert [quality > 2 for quality in place.series.read(place.number_of[POINT]).quality.tolist()] == [False, True]


def test_an_entry_that_cannot_be_written_changes_nothing(place: Place) -> None:
    def fails() -> None:
        raise ZeroDivisionError("the disk")

    other = edited(place.folder, "facility.yaml", "range: [-100, 100]", "range: [-100, 50]")
    prepared = Prepared.of(other.facility, place.number_of, True)
    with pytest.raises(ZeroDivisionError):
        place.intake.reconfigured(prepared, fails)  # type: ignore[arg-type]
    place.read(POINT, 60.0, 0)
    place.step()
    place.write_series()
    assert place.series.read(place.number_of[POINT]).quality.tolist() == [0]


# A running service, in this process


def started(place: Place) -> Pipeline:
    place.settle()
    pipeline = Pipeline(place.configuration, SystemClock(), lambda: loaded(place.folder))
    pipeline.start()
    return pipeline


def test_a_disk_that_refuses_changes_nothing_and_the_next_try_does(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = started(place)
    try:
        edited(place.folder, "limits.csv", ",action,10,", ",action,12,")
        with monkeypatch.context() as patch:
            refusing(patch, pipeline, landed=False)
            with pytest.raises(MonitorUnavailable, match="did not take force: no room"):
                pipeline.monitor.apply(ASKED)
        assert pipeline.configuration is place.configuration
        assert len(in_force(place.data_dir)) == 1
        assert pipeline.monitor.apply(ASKED).result == APPLIED
        assert pipeline.monitor.identity.config == pipeline.configuration.judging_hash == loaded(place.folder).judging_hash
    finally:
        pipeline.stop()
    assert wrong(place.data_dir) == {}


def test_an_entry_that_was_said_to_have_failed_and_is_there_is_followed(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = started(place)
    try:
        new = edited(
            place.folder,
            "facility.yaml",
            "      - {id: cp1.temp",
            "      - {id: cp1.t2, quantity: temperature, unit: degC}\n      - {id: cp1.temp",
        )
        with monkeypatch.context() as patch:
            refusing(patch, pipeline, landed=True)
            with pytest.raises(MonitorUnavailable, match="did not take force"):
                pipeline.monitor.apply(ASKED)
        deadline = time.monotonic() + 20
        while len(pipeline.monitor.points()) < 3 and time.monotonic() < deadline:  # what is shown follows what is in force
            time.sleep(0.02)
        assert pipeline.configuration.judging_hash == new.judging_hash
        assert [point.id for point in pipeline.monitor.points()] == ["cp1.dp", "cp1.t2", "cp1.temp"]
        pipeline.intake.accept([Message("renrum/lab/cp1/cp1.t2", b'{"time": 1740901269, "value": 21}')], 0)
        assert pipeline.intake.sums.stored == 1
        assert pipeline.monitor.apply(ASKED).result == UNCHANGED
    finally:
        pipeline.stop()
    assert [body.by for _, body in in_force(place.data_dir)] == ["", "anna"]
    assert wrong(place.data_dir) == {}


def refusing(patch: pytest.MonkeyPatch, pipeline: Pipeline, *, landed: bool) -> None:
    """The journal says of the next configuration that it could not be written, though it may be."""
    append = pipeline.journal.append

    def appended(kind: str, *given: Any, **named: Any) -> Any:
        if kind == CONFIGURATION:
            if landed:
                append(kind, *given, **named)
            raise JournalUnavailable("no room")
        return append(kind, *given, **named)

    patch.setattr(pipeline.journal, "append", appended)


# A stopped service


def test_a_stopped_service_takes_it_and_the_next_start_judges_by_it(place: Place) -> None:
    place.settle()
    new = edited(place.folder, "limits.csv", ",action,10,", ",action,12,")
    assert apply_stopped(place.data_dir, new, SystemClock(), ApplyAsked("anna", "x", expect="other")).result == MOVED_ON
    found = apply_stopped(place.data_dir, new, SystemClock(), ASKED)
    assert (found.result, found.changes) == (APPLIED, (("cp1.dp action below", "10 Pa", "12 Pa"),))
    assert apply_stopped(place.data_dir, new, SystemClock(), ASKED).result == UNCHANGED
    pipeline = Pipeline(new, SystemClock())
    pipeline.start()
    pipeline.stop()
    bodies = [body for _, body in in_force(place.data_dir)]
    assert [(body.by, body.reason, body.change) for body in bodies] == [("", "", ""), ("anna", "requalified", "CR-7")]
    assert wrong(place.data_dir) == {}


def test_without_a_start_there_is_nothing_to_follow(tmp_path: Path) -> None:
    configuration = written(tmp_path / "site")
    with pytest.raises(ArchiveUnavailable, match="The first start puts in force what is there"):
        apply_stopped(configuration.settings.data_dir, configuration, SystemClock(), ASKED)
    result = run("apply", "--config", tmp_path / "site", "--reason", "x", "--yes")
    assert result.exit_code == 2
    assert "no configuration was in force yet" in result.stderr
