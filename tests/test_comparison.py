"""alerts/comparison.py: who was told what, when and why is computed again from the journal, and whatever was altered is named."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from alerts.comparison import AUDIT, OUTBOX, TABLES
from ingest.journal.entries import SERVICE, ActionBody, ServiceBody, encode
from service.configuration.configuration import load_configuration
from tests.support.night import FILES, Night
from tests.support.verifying import change, report, wrong

ONCALL = """
policies:
  night: {steps: [{to: duty}, {after: 5m, to: duty}, {after: 15m, to: qa}], repeat: 10m, returned: true}
routes: [{policy: night}]
daily: {at: "03:20", to: [sink]}
"""


def lived(folder: Path) -> Night:
    """An alarm that is told by two people, one way of which fails; a test; a mail that is refused; a daily message."""
    folder.mkdir()
    night = Night(folder, ONCALL, "2026-01-06T03:00")
    night.journal.append(SERVICE, encode(ServiceBody("started", "0.1.0")), night.clock.at, night.clock.at)
    night.broken = {"anna-sms"}
    night.drill("qa")
    night.reading("cp1.dp", 5.0)
    night.act(ActionBody("reply refused", "A1", "anna", "wrong PIN", mail="m1", person="anna", address="sink"))
    passes(night, 22)
    night.acknowledge("Anna")
    night.reading("cp1.temp", 30.0)
    passes(night, 2)
    return night


def passes(night: Night, minutes: int) -> None:
    for _ in range(minutes):
        night.tick()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    night = lived(tmp_path_factory.mktemp("comparison") / "site")
    night.stepper.settle()
    yield night.data
    night.close()


@pytest.fixture
def data_dir(original: Path, tmp_path: Path) -> Path:
    copy = Path(shutil.copytree(original, tmp_path / "data"))
    change(copy / "state.db", "pragma wal_checkpoint(truncate)")
    return copy


def test_what_people_were_told_follows_from_the_journal(data_dir: Path) -> None:
    found = report(data_dir)
    assert found["ok"], found["excursions"]
    assert found["excursions"]["pages"] >= 8


def test_no_table_is_left_out(data_dir: Path) -> None:
    """`meta` is compared key by key, the order in which excursions were written is told in docs/verify.md."""
    with closing(sqlite3.connect(data_dir / "state.db")) as state:
        there = {name for (name,) in state.execute("select name from sqlite_schema where type = 'table' and name not like 'sqlite_%'")}
    assert there - {table.name for table in (*TABLES, AUDIT, OUTBOX)} == {"meta", "excursions_written"}


TOLD = [
    ("update annunciations set raised = raised + 1 where rule = 'temp'", "annunciation at 2026-01-06T02:22:00Z (temp cp1.temp), at 2026"),
    ("delete from annunciations where rule = 'temp'", "not in state.db, but among what was evaluated again"),
    ("insert into annunciations select * from annunciations where rule = 'temp'", "`times` stored 2, computed None"),
    ("update escalations set due = due + 1 where unit = 'A3'", "escalation of A3: `due` stored 2026-01-06T02:2"),
    ("update escalations set ended = 'told' where unit = 'A1'", "`ended` stored 'told', computed 'acknowledged by Anna'"),
    ("delete from escalations where unit = 'A1'", "escalation of A1"),
    ("update notices set person = 'bo' where id = 2", "`person` stored 'bo', computed 'anna'"),
    ("update notices set remark = ''", "`remark` stored '', computed 'anna-sms failed'"),
    ("delete from notices where id = 3", "notice 3"),
    ("insert into notices select 99, unit, alarm, at, policy, step, person, named, target, page, remark from notices limit 1", "notice 99"),
    ("update drills set told_at = told_at + 1", "test of who is on call T"),
    ("update drills set acknowledged_at = 1, acknowledged_by = 'anna'", "`acknowledged_by` stored 'anna', computed ''"),
    ("update replies set why = ''", "reply by mail m1 (reply refused): `why` stored '', computed 'wrong PIN'"),
    ("delete from replies", "reply by mail m1"),
    ("update meta set value = 1 where key = 'flood'", "`flood` of state.db: stored 1, computed 0"),
    ("update meta set value = value + 1 where key = 'groups'", "`groups` of state.db"),
    ("delete from meta where key = 'daily'", "`daily` of state.db: stored None, computed '"),
    ("update meta set value = '[2]' where key = 'configurations'", "`configurations` of state.db: stored '[2]'"),
    ("delete from outbox where target = 'qa-sms'", "page A1-raised-3 to qa-sms, queued_at 2026-01-06T02:15:00Z: not in state.db, but"),
    ("update outbox set queued_at = queued_at + 1 where page_id = 'A1-raised'", "page A1-raised to anna-"),
    ("update outbox set target = 'bo-sms' where page_id = 'A1-raised' and target = 'anna-voice'", "page A1-raised to bo-sms"),
    ("update outbox set alarm = 'A2' where page_id = 'A1-raised'", "`alarm` stored 'A2', computed 'A1'"),
    ("update outbox set sent_at = null where page_id = 'A1-raised'", "`sent_at` stored None, computed 2026-01-06T02:0"),
    ("update outbox set detail = '' where attempts = 1", "`detail` stored '', computed 'no answer'"),
    ("update outbox set page = replace(page, ' 5 Pa', ' 9 Pa') where page_id = 'A1-raised'", "`page.subject` stored 'validation"),
    ("update outbox set page = replace(page, '\"worst\":5.0', '\"worst\":9.0')", "`page.facts.worst` stored 9.0, computed 5.0"),
    ("update outbox set page = '' where page_id = 'A1-raised'", "page A1-raised to anna-sms: `page` stored '', computed '{"),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "named"), TOLD)
def test_what_was_altered_of_it_is_named_with_both_values(data_dir: Path, statement: str, named: str) -> None:
    with closing(sqlite3.connect(data_dir / "state.db")) as connection, connection:
        if "'groups'" in statement:
            connection.execute("insert or ignore into meta values ('groups', 7)")
        assert connection.execute(statement).rowcount, "the test alters nothing"
    found = wrong(data_dir)
    assert list(found) == ["excursions"]
    assert any(named in what for what in found["excursions"]), found["excursions"]


def test_the_words_of_another_version_are_its_own(tmp_path: Path) -> None:
    """A page is written by the version that ran then; what it says of the alarm is compared all the same."""
    night = lived(tmp_path / "site")
    night.journal.append(SERVICE, encode(ServiceBody("started", "0.0.9")), night.clock.at, night.clock.at)
    night.tick()
    night.tick()
    night.reading("cp1.temp", 20.0)
    night.tick()
    state = night.data / "state.db"
    over = 'page_id = (select page_id from outbox where page like \'%"kind":"returned"%\' limit 1)'
    assert report(night.data)["ok"]
    change(state, f"update outbox set page = replace(page, 'OVER', 'GONE') where {over}")
    assert report(night.data)["ok"]
    change(state, f"update outbox set page = replace(page, '\"limit\":25.0', '\"limit\":26.0') where {over}")
    assert any("`page.facts.limit` stored 26.0, computed 25.0" in what for what in wrong(night.data)["excursions"])
    change(state, f"update outbox set page = replace(page, '\"limit\":26.0', '\"limit\":25.0') where {over}")
    change(state, "update outbox set page = replace(page, 'ACTION', 'ALERT') where page_id = 'A1-raised'")
    assert "page A1-raised to " in wrong(night.data)["excursions"][0], "that was written by the version of today"


def test_texts_that_changed_with_the_configuration_are_those_of_their_time(tmp_path: Path) -> None:
    """A name judges nothing, so both configurations judge alike; each page has the name of its time, computed again too."""
    night = lived(tmp_path / "site")
    facility = night.folder / "facility.yaml"
    facility.write_text(FILES["facility.yaml"].replace("{id: cp1.dp,", "{id: cp1.dp, name: Door side,"), encoding="utf-8")
    renamed = load_configuration(night.folder / "renrum.yaml", {})
    assert renamed.judging_hash == night.configuration.judging_hash
    night.apply(renamed)
    night.reading("cp1.dp", 15.0)
    night.tick()
    night.reading("cp1.dp", 4.0)
    night.tick()
    subjects = [json.loads(page)["subject"] for (page,) in night.store.rows("select page from outbox where alarm like 'A%' order by id")]
    assert "Door side" not in subjects[0]
    assert "Door side" in subjects[-1]
    assert report(night.data)["ok"], wrong(night.data)
    night.close()


def test_an_address_of_the_console_that_changed_stands_in_later_pages_only(tmp_path: Path) -> None:
    night = lived(tmp_path / "site")
    main = FILES["renrum.yaml"].replace("{environment", "{http: {public_url: https://em.example.org}, environment")
    (night.folder / "renrum.yaml").write_text(main, encoding="utf-8")
    night.apply(load_configuration(night.folder / "renrum.yaml", {}))
    passes(night, 10)
    links = [
        json.loads(page)["facts"].get("link") for (page,) in night.store.rows("select page from outbox where alarm = 'A3' order by id")
    ]
    assert (links[0], links[-1]) == ("http://127.0.0.1:8480/alarms/A3", "https://em.example.org/alarms/A3")
    night.close()
