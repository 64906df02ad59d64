"""The service's parts together: a start that fails leaves nothing behind, one that works stops cleanly and can be repeated."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from ingest.broker import BrokerFailed, EmbeddedBroker
from ingest.entries import CONFIGURATION, SERVICE, decode
from ingest.journal import JournalReader
from service.clock import SystemClock
from service.configuration import Configuration
from service.lock import holder_of
from service.pipeline import CANNOT_START, Pipeline
from tests.support.archive_data import Installation, example_configuration


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


def test_a_journal_with_an_entry_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    place = Installation(tmp_path / "site")
    place.step()
    place.journal.append(CONFIGURATION, b"\xc1", place.at)
    place.close()
    with pytest.raises(CANNOT_START, match="entry 3 of the journal, 'configuration', cannot be read by this version"):
        Pipeline(place.configuration, SystemClock()).start()
    assert holder_of(place.data_dir) is None
