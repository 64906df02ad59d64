"""The service's parts together: a start that fails leaves nothing behind, one that works stops cleanly and can be repeated."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alerts.record.store import FORMAT, StateStore
from ingest.journal.entries import CONFIGURATION, SERVICE, decode
from ingest.journal.journal import JournalReader
from ingest.mqtt.broker import BrokerFailed, EmbeddedBroker
from service.clock import SystemClock
from service.configuration.configuration import Configuration
from service.lock import holder_of
from service.pipeline import CANNOT_START, Pipeline
from tests.support.archive_data import Installation, example_configuration, lived


def on_port(configuration: Configuration, port: int) -> Configuration:
    settings = configuration.settings
    return replace(configuration, settings=replace(settings, http=replace(settings.http, port=port)))


def test_a_start_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration = example_configuration(tmp_path / "site")
    data_dir = configuration.settings.data_dir
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CANNOT_START, match=f"cannot listen on 127.0.0.1 port {port}: .*Give another `http.port`"):
            Pipeline(on_port(configuration, port), SystemClock()).start()
    assert holder_of(data_dir) is None

    def fails(self: EmbeddedBroker) -> EmbeddedBroker:
        raise BrokerFailed("no broker today")

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddedBroker, "__enter__", fails)
        with pytest.raises(CANNOT_START, match="no broker today"):
            Pipeline(on_port(configuration, port), SystemClock()).start()
    assert holder_of(data_dir) is None

    pipeline = Pipeline(on_port(configuration, port), SystemClock())
    pipeline.start()
    assert holder_of(data_dir) is not None
    pipeline.stop()
    assert holder_of(data_dir) is None
    reader = JournalReader(data_dir / "journal.db")
    assert [getattr(decode(entry), "event", "") for entry in reader.entries(kinds=(SERVICE,))] == ["started", "started", "stopped"]
    reader.close()


def test_a_damaged_series_is_computed_again(tmp_path: Path) -> None:
    configuration = example_configuration(tmp_path / "site")
    data_dir = configuration.settings.data_dir
    for _ in range(2):
        pipeline = Pipeline(on_port(configuration, 0), SystemClock())
        pipeline.start()
        pipeline.stop()
        assert pipeline.stepper.ledger.cursor > 0
        for file in data_dir.glob("series.db-*"):
            file.unlink()
        (data_dir / "series.db").write_bytes(b"no database" * 1000)


def put_format(state: Path, format: int) -> None:
    with closing(sqlite3.connect(state)) as connection, connection:
        connection.execute("update meta set value = ? where key = 'format'", (format,))


def test_a_state_of_an_older_format_is_computed_again_one_of_a_newer_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    place = lived(tmp_path / "site")
    place.close()
    state = place.data_dir / "state.db"

    def found() -> list[Any]:
        audit = "select * from audit where seq <= ?"
        with closing(StateStore(state, readonly=True)) as store:
            return [
                store.excursions(),
                store.rows("select * from alarms order by id"),
                store.rows(audit, (rows,)),
            ]

    with closing(StateStore(state, readonly=True)) as store:
        rows = store.rows("select count(*) from audit")[0][0]
    before = found()
    assert before[0]
    put_format(state, FORMAT - 1)
    pipeline = Pipeline(on_port(place.configuration, 0), SystemClock())
    pipeline.start()
    pipeline.stop()
    assert "computed again from the journal" in caplog.text
    assert found() == before

    put_format(state, FORMAT + 1)
    content = state.read_bytes()
    with pytest.raises(CANNOT_START, match=f"has format {FORMAT + 1}, this version reads format {FORMAT}. Use the version that wrote it"):
        Pipeline(on_port(place.configuration, 0), SystemClock()).start()
    assert state.read_bytes() == content


def test_a_journal_with_an_entry_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site")
    place.step()
    place.journal.append(CONFIGURATION, b"\xc1", place.at)
    place.close()
    with pytest.raises(CANNOT_START, match="entry 3 of the journal, 'configuration', cannot be read by this version"):
        Pipeline(place.configuration, SystemClock()).start()
    assert holder_of(place.data_dir) is None
