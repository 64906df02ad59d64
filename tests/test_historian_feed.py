"""The feed against a real InfluxDB: killed, wrong, refusing, forgetful; what the journal has arrives, and nothing else."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from facility.reading import Readings
from facility.secret import Secret
from historian import recall
from historian.backfill import Backfill
from historian.feed import Feed
from historian.influx import Influx as Connection
from historian.influx import InfluxFault, InfluxMisconfigured, InfluxUnavailable, LinesRefused, TooMuch
from historian.lines import Batch
from historian.progress import FILE, Progress
from historian.sender import Sender, Writes
from historian.windows import HOUR_NS, MINUTE_NS, Windows, summed_up
from ingest.journal.entries import State
from ingest.series.series import SeriesReader, SeriesUnavailable
from tests.support.fed import SECOND_NS, SITE, START, Installed, drain, readings_of, target_of
from tests.support.influx import Influx, influx, influx_server, needs_influxd

__all__ = ["influx", "influx_server"]


@pytest.fixture
def bucket(influx_server: Influx) -> Influx:
    """A new bucket of the module's server."""
    influx_server.bucket = f"em-{random.getrandbits(32):x}"
    influx_server.new_bucket(influx_server.bucket)
    return influx_server


def arrive(place: Installed, rounds: int, seed: int = 1, states: bool = False) -> None:
    """Rounds of a second each: every point once, some of it bad, some without a value."""
    rng = np.random.default_rng(seed)
    count = len(place.points)
    for _ in range(rounds):
        place.at += SECOND_NS
        value = np.round(rng.normal(20, 1, count), 2)
        quality = rng.choice(np.array([0, 0, 0, 1, 2, 6]), count)
        value[quality == 6] = np.nan
        readings = readings_of(np.arange(count), place.at - rng.integers(0, SECOND_NS // 2, count), value, quality, place.at)
        place.arrive(readings, place.at, [State("cp1", place.at, "at_rest")] if states else [])


def taken(server: Influx, since: str = "0") -> int:
    """How many readings lie in InfluxDB."""
    flux = f'from(bucket: bucket) |> range(start: {since}) |> filter(fn: (r) => r._field == "received") |> count() |> group() |> sum()'
    return int(server.query(flux)[0]["_value"])


def windows(server: Influx, measurement: str) -> dict[tuple[str, str], dict[str, float]]:
    """What lies in InfluxDB, by point and time."""
    flux = (
        f'from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._measurement == "{measurement}")'
        ' |> toFloat() |> keep(columns: ["_time", "_value", "_field", "point"])'
    )
    found: dict[tuple[str, str], dict[str, float]] = {}
    for row in server.query(flux):
        found.setdefault((row["point"], row["_time"]), {})[row["_field"]] = float(row["_value"])
    return found


def expected(place: Installed, width_ns: int, upto: int) -> dict[tuple[str, str], dict[str, float]]:
    """The same from the journal, of the windows that end at `upto` at the latest."""
    readings = place.stored()
    readings = readings.take(np.lexsort((readings.time, readings.point)))
    readings = readings.take((readings.time // width_ns + 1) * width_ns <= upto)
    found: Windows = summed_up(readings, width_ns)
    result = {}
    for index in range(len(found)):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(int(found.start[index]) // SECOND_NS))
        row = {"count": float(found.count[index]), "total": float(found.total[index]), "worst": float(found.worst[index])}
        if found.count[index]:
            row |= {"min": float(found.low[index]), "mean": float(found.mean[index]), "max": float(found.high[index])}
        result[place.points[found.point[index]], stamp] = row
    return result


def test_everything_arrives_and_the_windows_that_are_over(tmp_path: Path, bucket: Influx) -> None:
    with Installed(tmp_path) as place, Connection(target_of(bucket)) as connection:
        arrive(place, 150, states=True)
        feed = place.feed(connection)
        drain(feed)
        assert place.differences(bucket) == []
        assert windows(bucket, "reading_1m") == expected(place, MINUTE_NS, place.at - 5 * SECOND_NS) != {}
        assert windows(bucket, "reading_1h") == {}
        info = bucket.query(
            'from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._measurement == "point" and r._field == "name")'
        )
        assert {row["point"]: row["_value"] for row in info} == {point: f'"{point}", ok' for point in place.points}
        states = bucket.query('from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._measurement == "room_state")')
        assert Counter((row["place"], row["site"], row["_field"]) for row in states) == {
            ("cp1", SITE, "state"): 150,
            ("cp1", SITE, "received"): 150,
        }
        place.write_series()
        place.at = START + 2 * HOUR_NS
        drain(feed)
        assert windows(bucket, "reading_1h") == expected(place, HOUR_NS, place.at) != {}
        assert feed.windows == 0


def test_late_readings_make_the_windows_right_again(tmp_path: Path, bucket: Influx) -> None:
    with Installed(tmp_path) as place, Connection(target_of(bucket)) as connection:
        arrive(place, 100)
        place.write_series()
        place.at += 2 * HOUR_NS
        arrive(place, 1, seed=2)
        drain(place.feed(connection))
        before = windows(bucket, "reading_1h")
        late = START - HOUR_NS + np.arange(5) * MINUTE_NS * 30 + 7
        place.at += HOUR_NS
        place.arrive(readings_of(0, late, [99.0, 98.0, 97.0, 96.0, 95.0], 0, place.at), place.at)
        drain(place.feed(connection))
        assert windows(bucket, "reading_1h") == expected(place, HOUR_NS, place.at) != before
        assert windows(bucket, "reading_1m") == expected(place, MINUTE_NS, place.at)
        assert place.differences(bucket) == []


def test_without_its_file_the_feed_ends_at_the_same(tmp_path: Path, bucket: Influx) -> None:
    with Installed(tmp_path) as place, Connection(target_of(bucket)) as connection:
        arrive(place, 130)
        place.write_series()
        arrive(place, 70, seed=2)
        place.at += 2 * HOUR_NS
        drain(place.feed(connection))
        before = (windows(bucket, "reading_1m"), windows(bucket, "reading_1h"))
        for file in tmp_path.glob(f"{FILE}*"):
            file.unlink()
        again = place.feed(connection)
        drain(again)
        assert again.sender.written > 600
        assert (windows(bucket, "reading_1m"), windows(bucket, "reading_1h")) == before
        assert place.differences(bucket) == []


def test_a_changed_missing_or_additional_reading_is_a_difference(tmp_path: Path, bucket: Influx) -> None:
    with Installed(tmp_path) as place, Connection(target_of(bucket)) as connection:
        arrive(place, 20)
        drain(place.feed(connection))
        assert place.differences(bucket) == []
        readings = place.stored()
        good = int(np.flatnonzero(np.isfinite(readings.value))[0])
        point, at = place.points[readings.point[good]], int(readings.time[good])
        value = np.nextafter(readings.value[good], 100)
        bucket.write(f"reading,point={point},site={SITE} value={float(value)!r} {at}")
        assert [(row.point, row.fields) for row in place.differences(bucket)] == [(point, ("value",))]
        bucket.write(f"reading,point={point},site={SITE} value={float(readings.value[good])!r} {at}")
        assert place.differences(bucket) == []
        bucket.write(f"reading,point=new,site={SITE} quality=0i,received=1i {at}")
        found = place.differences(bucket)
        assert [(row.point, row.journal, row.influxdb, row.fields) for row in found] == [("new", 0, 1, ("quality", "received"))]


def test_a_refused_line_is_kept_with_the_servers_words_and_the_rest_goes_on(tmp_path: Path, bucket: Influx) -> None:
    with Installed(tmp_path) as place, Connection(target_of(bucket)) as connection:
        arrive(place, 30)
        place.arrive(readings_of([0, 1], -(2**63), 1.0, 0, place.at), place.at)  # InfluxDB has no such time
        arrive(place, 30, seed=2)
        feed = place.feed(connection)
        drain(feed)
        refusals = place.refusals()
        assert feed.sender.refused == 2
        assert all("time outside range" in words for _, words in refusals)
        assert sorted(line.split(",")[1] for line, _ in refusals) == ["point=cp1.rh", "point=cp1.temp"]
        stored = place.stored()
        taken = bucket.query(
            'from(bucket: bucket) |> range(start: 0) |> filter(fn: (r) => r._field == "received") |> count() |> group() |> sum()'
        )
        assert int(taken[0]["_value"]) == len(stored) - 2


def test_what_is_older_than_the_bucket_keeps_is_counted_and_passed_over(tmp_path: Path, bucket: Influx) -> None:
    bucket.bucket += "-short"
    bucket.new_bucket(bucket.bucket, retention_s=3600)
    with Installed(tmp_path) as place, Connection(target_of(bucket)) as connection:
        arrive(place, 40)
        feed = place.feed(connection)
        drain(feed)
        assert feed.sender.beyond > len(place.stored())
        assert feed.sender.refused == 0
        place.at = time.time_ns() - 20 * SECOND_NS
        arrive(place, 10, seed=2)
        drain(feed)
        fresh = bucket.query(
            'from(bucket: bucket) |> range(start: -1h) |> filter(fn: (r) => r._field == "received") |> count() |> group() |> sum()'
        )
        assert int(fresh[0]["_value"]) == 30


def test_a_wrong_token_or_bucket_refuses_no_line_and_ends_well_once_mended(tmp_path: Path, bucket: Influx) -> None:
    with Installed(tmp_path) as place:
        arrive(place, 20)
        for wrong in (target_of(bucket, token=Secret("x")), target_of(bucket, bucket="nope"), target_of(bucket, org="nope")):
            with Connection(wrong) as connection, pytest.raises(InfluxMisconfigured):
                drain(place.feed(connection))
        assert place.refusals() == []
        with Connection(target_of(bucket)) as connection:
            drain(place.feed(connection))
        assert place.differences(bucket) == []


def test_another_bucket_or_another_journal_is_fed_from_the_beginning(tmp_path: Path, bucket: Influx) -> None:
    with Installed(tmp_path) as place, Connection(target_of(bucket)) as connection:
        arrive(place, 20)
        drain(place.feed(connection))
        with closing(Progress(tmp_path / FILE)) as progress:
            assert Feed(place, connection, progress, "another target", lambda: place.at).cursor == 0
            place.feed(connection).turn()
            kept = progress.all()
            progress.save({"head": "00" * 32})
        assert place.feed(connection).cursor == 0
        assert int(kept["cursor"]) > 0


class Stubborn:
    """Refuses lines with `bad` in them, and batches of more than `most` lines; else takes all."""

    def __init__(self, bad: bytes = b"\xff", most: int = 1 << 30) -> None:
        self.bad, self.most = bad, most
        self.taken: set[bytes] = set()

    def write(self, text: bytes) -> None:
        lines = text.splitlines()
        if len(lines) > self.most:
            raise TooMuch("too large")
        good = [line for line in lines if self.bad not in line]
        self.taken.update(good[: len(good) // 2] if len(good) < len(lines) else good)
        if len(good) < len(lines):
            raise LinesRefused("bad line")


@pytest.mark.parametrize("bad", [(), (0,), (999,), (500, 501), (3, 400, 998), tuple(range(0, 1000, 7))])
def test_every_refused_line_is_found_and_every_other_taken(tmp_path: Path, bad: tuple[int, ...]) -> None:
    with closing(Progress(tmp_path / FILE)) as progress:
        server = Stubborn(b"bad", most=300)
        lines = [b"m v=%di%s %d\n" % (row, b"bad" if row in bad else b"", row) for row in range(1000)]
        sender = Sender(server, progress, lambda: 5)
        sender.send(Batch.of(lines))
        assert server.taken == {line.rstrip() for row, line in enumerate(lines) if row not in bad}
        assert [refusal.line for refusal in progress.refusals()] == [lines[row].decode().rstrip() for row in bad]
        assert (sender.written, sender.refused) == (1000 - len(bad), len(bad))
        sender.send(Batch.of(lines))
        assert progress.refused() == len(bad)
        assert progress.forget() == len(bad)


class Flaky:
    """Hands lines on, but fails often: before, or after they were taken."""

    def __init__(self, writes: Writes, seed: int) -> None:
        self._writes, self._chance = writes, random.Random(seed)

    def write(self, text: bytes) -> None:
        if self._chance.random() < 0.3:
            raise InfluxUnavailable("busy", 1.0)
        self._writes.write(text)
        if self._chance.random() < 0.3:
            raise InfluxUnavailable("the answer was lost")


def test_failures_before_and_after_a_write_and_restarts_of_the_feed_lose_and_double_nothing(tmp_path: Path, bucket: Influx) -> None:
    chance = random.Random(7)
    with Installed(tmp_path) as place, Connection(target_of(bucket)) as connection:
        feed = place.feed(Flaky(connection, 0))
        for seed in range(12):
            arrive(place, 25, seed=seed)
            if chance.random() < 0.4:
                place.write_series()
            if chance.random() < 0.4:
                feed = place.feed(Flaky(connection, seed + 1))
            for _ in range(6):
                try:
                    feed.turn()
                except InfluxFault:
                    continue
        place.at += 2 * HOUR_NS
        drain(place.feed(connection))
        assert place.differences(bucket) == []
        assert windows(bucket, "reading_1m") == expected(place, MINUTE_NS, place.at)
        assert windows(bucket, "reading_1h") == expected(place, HOUR_NS, place.at)


@needs_influxd
def test_a_server_killed_at_random_has_everything_in_the_end(tmp_path: Path, influx: Influx) -> None:
    readings, seconds = 200_000, 1.5
    points = [f"r{number // 10}.p{number}" for number in range(200)]
    with Installed(tmp_path / "data", points) as place, Connection(target_of(influx), patience_s=5) as connection:
        arrive(place, readings // len(points))
        over = threading.Event()
        kills = 0

        def kill() -> None:
            nonlocal kills
            chance = random.Random(3)
            while not over.wait(chance.uniform(0.1, seconds)):
                influx.kill()
                kills += 1
                time.sleep(chance.uniform(0, 0.3))
                influx.start()

        killer = threading.Thread(target=kill)
        killer.start()
        try:
            feed, deadline = place.feed(connection), time.monotonic() + 60
            while kills < 3 or feed.cursor < place.writer.head.seq:
                assert time.monotonic() < deadline
                if feed.cursor >= place.writer.head.seq:
                    arrive(place, 50, seed=kills)
                try:
                    feed.turn()
                except InfluxUnavailable:
                    time.sleep(0.05)
        finally:
            over.set()
            killer.join()
        drain(feed)
        assert place.differences(influx) == []
        assert place.refusals() == []


def test_readings_of_nothing_are_nothing() -> None:
    assert len(summed_up(Readings.empty(), MINUTE_NS)) == 0


class Kept:
    """Takes every line."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def write(self, text: bytes) -> None:
        self.lines += text.splitlines()


def test_a_backfill_reads_the_days_that_have_readings_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Installed(tmp_path) as place, closing(Progress(tmp_path / FILE)) as progress:
        arrive(place, 10)
        place.arrive(readings_of([0], 60 * SECOND_NS, 20.0), place.at)  # from an instrument without a clock
        place.write_series()
        opened: list[int] = []
        series = place.series

        def counted() -> SeriesReader:
            opened.append(1)
            return series()

        monkeypatch.setattr(place, "series", counted)
        kept = Kept()
        Backfill(place, Sender(kept, progress, lambda: place.at), place.writer.head.seq, None, None).run(place.at + HOUR_NS)
    assert len(opened) <= 4
    assert {line.split()[-1] for line in kept.lines if line.startswith(b"reading_1m")} >= {b"%d" % (60 * SECOND_NS)}


def test_without_a_series_the_feed_waits_rather_than_hold_the_journal_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recall, "LOADED_MAX", 20)
    with Installed(tmp_path) as place:
        arrive(place, 10)
        with pytest.raises(SeriesUnavailable, match="The service writes it again"):
            recall.Recall(place.journal, place.series, place.writer.head.seq)
        place.write_series()
        arrive(place, 5)
        assert len(recall.Recall(place.journal, place.series, place.writer.head.seq).remembered()) == 15
