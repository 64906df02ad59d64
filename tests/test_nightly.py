"""service/proof/nightly.py: when it is time, a verify in a process of its own, what it leaves, what is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import closing
from datetime import time
from pathlib import Path
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import msgspec
import pytest

from alerts.alarms import Answer
from alerts.resumption import FOLDER, files_of
from facility.times import format_time, parse_time
from ingest.journal.entries import CHECKPOINT, SEAL, Body, encode
from ingest.journal.files import files_of as files_of_journal
from ingest.journal.journal import Journal
from ingest.journal.sealed import sealed_days
from service.clock import SystemClock
from service.doctor.data import holdings
from service.lock import turn_in
from service.proof.nightly import BROKEN, NO_FILE, WRONG, Nightly, last_due, nightly_of
from service.settings.settings import Nightly as Settings
from service.verified import FILE, Verified, keep, verdict_of, verified_last, verified_newest
from tests.support.archive_data import SECOND_NS, START
from tests.support.challenged import configured
from tests.support.installation import Paging, installation
from tests.support.verifying import change, flip, report, verify
from tests.test_sealing import days, entries_of

STOCKHOLM = ZoneInfo("Europe/Stockholm")


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test waits for its verify; a service has until the morning."""
    monkeypatch.setattr("service.proof.nightly.NICE", 0)


@pytest.mark.parametrize(
    ("now", "due"),
    [
        ("2026-11-21T01:29:59Z", "2026-11-20T01:30:00Z"),
        ("2026-11-21T01:30:00Z", "2026-11-21T01:30:00Z"),
        ("2026-07-01T00:30:00Z", "2026-07-01T00:30:00Z"),  # summer time
        ("2026-03-29T12:00:00Z", "2026-03-29T01:30:00Z"),  # the clocks jumped from 02:00 to 03:00
        ("2026-10-25T12:00:00Z", "2026-10-25T00:30:00Z"),  # 02:30 came twice
    ],
)
def test_it_is_due_at_a_time_of_day_of_the_site(now: str, due: str) -> None:
    assert format_time(last_due(time(2, 30), STOCKHOLM, parse_time(now))) == due


class Wall:
    """A clock that is set by hand."""

    def __init__(self, at: int) -> None:
        self.at = at

    def now_ns(self) -> int:
        return self.at

    def monotonic_ns(self) -> int:
        return self.at

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nobody sleeps here")


def nightly(
    data_dir: Path,
    clock: Wall | SystemClock,
    told: list[str],
    ask: Callable[[str, Body], Future[Answer | None]] | None = None,
    journal: Journal | None = None,
    now: Callable[[], tuple[Settings, ZoneInfo]] | None = None,
) -> Nightly:
    def nobody(kind: str, body: Body) -> Future[Answer | None]:
        raise AssertionError(f"a {kind} that nobody expects")

    now = now or (lambda: (Settings(), STOCKHOLM))
    return Nightly(data_dir, now, clock, lambda reason, at, do: told.append(reason), ask or nobody, journal)


def test_a_new_service_waits_for_its_first_night_and_one_that_was_down_makes_good(tmp_path: Path) -> None:
    clock = Wall(parse_time("2026-11-21T12:00:00Z"))
    first = nightly(tmp_path, clock, [])
    assert not first.due()
    clock.at = parse_time("2026-11-22T01:30:00Z")
    assert first.due()
    (tmp_path / FILE).write_bytes(msgspec.json.encode(Verified(clock.at, clock.at + SECOND_NS, True, 0, "")))
    assert not first.due()
    clock.at = parse_time("2026-11-24T12:00:00Z")
    assert nightly(tmp_path, clock, []).due(), "the night was missed"


def test_a_configuration_that_takes_force_counts_at_once(tmp_path: Path) -> None:
    clock, said = Wall(parse_time("2026-11-21T12:00:00Z")), {"now": (Settings(begin=None), STOCKHOLM)}
    work = nightly(tmp_path, clock, [], now=lambda: said["now"])
    clock.at = parse_time("2026-11-21T20:00:00Z")
    assert not work.due()
    said["now"] = Settings(begin=time(20, 30)), STOCKHOLM
    assert work.due()
    said["now"] = Settings(begin=time(20, 30)), ZoneInfo("UTC")
    assert not work.due()
    with closing(Paging(tmp_path / "site")) as place:
        work = nightly(place.data_dir, clock, [], journal=place.journal, now=lambda: said["now"])
        clock.at = place.at + 24 * 3600 * SECOND_NS
        for said["now"] in ((Settings(seal=False), STOCKHOLM), (Settings(leave=False), STOCKHOLM), (Settings(begin=None), STOCKHOLM)):
            work.begin_file()
            assert len(files_of_journal(place.journal.path)) == 1
        said["now"] = Settings(), STOCKHOLM
        work.begin_file()
        assert len(files_of_journal(place.journal.path)) == 2


def journalling(place: Paging) -> Callable[[str, Body], Future[Answer | None]]:
    def ask(kind: str, body: Body) -> Future[Answer | None]:
        assert kind in (CHECKPOINT, SEAL)
        place.journal.append(kind, encode(body), place.at, None)
        place.step()
        answer: Future[Answer | None] = Future()
        answer.set_result(None)
        return answer

    return ask


def test_what_it_finds_is_kept_and_the_next_night_goes_on_from_there(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    told: list[str] = []
    work = nightly(place.data_dir, SystemClock(), told, journalling(place))
    found = work.verify(threading.Event())
    assert found is not None
    assert found.ok, found.words
    assert verified_last(place.data_dir) == found
    assert "journal ok: " in found.words
    assert list(files_of(place.data_dir / FOLDER)) == [place.ledger.cursor - 2]
    place.read("inc1.temp", 41.0, 500)
    place.step()
    document = report(place.data_dir)
    assert document["ok"], document
    assert document["excursions"]["checkpoint"] == place.ledger.cursor - 4
    assert document["excursions"]["evaluated_again"] == 2
    assert told == []
    place.close()


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    place.close()
    change(place.data_dir / "state.db", "update excursions set peak = 1 where id = 'E1'")
    told: list[str] = []
    found = nightly(place.data_dir, SystemClock(), told).verify(threading.Event())
    assert found is not None
    assert (found.ok, found.exit_code, told) == (False, 1, [WRONG])
    assert "excursions WRONG: excursion E1" in found.words
    assert not files_of(place.data_dir / FOLDER), "nothing is left of what is not proven"


def test_one_that_cannot_be_done_is_told(tmp_path: Path) -> None:
    told: list[str] = []
    found = nightly(tmp_path, SystemClock(), told).verify(threading.Event())
    assert found is not None
    assert (found.ok, found.exit_code, told) == (False, 2, [WRONG])
    assert "there is no journal.db" in found.words


def test_a_stop_ends_it(tmp_path: Path) -> None:
    with closing(Journal(tmp_path / "journal.db")):
        stop = threading.Event()
        stop.set()
        assert nightly(tmp_path, SystemClock(), []).verify(stop) is None
    assert verified_last(tmp_path) is None


def test_a_night_seals_and_lets_go_when_all_is_well(tmp_path: Path) -> None:
    with closing(days(tmp_path / "site", 38)) as place:
        before = entries_of(place.data_dir)
        work = nightly(place.data_dir, SystemClock(), [], journalling(place))
        found = work.verify(threading.Event())
        assert found is not None
        assert found.ok, found.words
        assert [day.manifest.day for day in sealed_days(place.data_dir / "sealed")] == ["2026-11-20", "2026-11-21"]
        assert files_of_journal(place.data_dir / "journal.db")[0][0] > 1
        assert entries_of(place.data_dir)[: len(before)] == before
        again = work.verify(threading.Event())
        assert again is not None
        assert again.ok, again.words
        assert "sealed ok: 2 days" in again.words
        findings = {finding.check: finding.verdict for finding in holdings(place.data_dir, None, place.at)}
        assert (findings["verify"], findings["sealed"]) == ("ok", "ok")
        change(place.data_dir / "state.db", "update excursions set peak = 1 where id = 'E1'")
        place.at += 10 * 86_400 * SECOND_NS
        place.read("inc1.temp", 37.0, (place.at - START) / SECOND_NS)
        place.step()
        told: list[str] = []
        nightly(place.data_dir, SystemClock(), told, journalling(place)).verify(threading.Event())
        assert told == [WRONG]
        assert len(sealed_days(place.data_dir / "sealed")) == 2, "nothing is sealed where something is wrong"


def test_the_verify_of_a_service_that_was_killed_is_waited_for(tmp_path: Path) -> None:
    place = installation(tmp_path / "site")
    found: list[Verified | None] = []
    work = nightly(place.data_dir, SystemClock(), [], journalling(place))
    verifying = threading.Thread(target=lambda: found.append(work.verify(threading.Event())))
    with turn_in(place.data_dir):
        verifying.start()
        verifying.join(3.0)
        assert not found
        assert not files_of(place.data_dir / FOLDER), "two at once would write the same files"
    verifying.join(60.0)
    assert found[0] is not None
    assert found[0].ok, found[0].words
    place.close()


def test_what_is_the_last_whole_copy_does_not_go(tmp_path: Path) -> None:
    with closing(days(tmp_path / "site", 38)) as place:
        before = entries_of(place.data_dir)
        kept = nightly(place.data_dir, SystemClock(), [], journalling(place), now=lambda: (Settings(leave=False), STOCKHOLM))
        assert kept.verify(threading.Event())
        assert len(sealed_days(place.data_dir / "sealed")) == 2
        flip(place.data_dir / "sealed" / "2026-11-20.entries.parquet", 400, 1)
        told: list[str] = []
        nightly(place.data_dir, SystemClock(), told, journalling(place)).verify(threading.Event())
        assert told == [WRONG]
        assert files_of_journal(place.data_dir / "journal.db")[0][0] == 1
        assert entries_of(place.data_dir)[: len(before)] == before


def test_the_journal_goes_on_in_a_new_file_each_day(tmp_path: Path) -> None:
    with closing(Paging(tmp_path / "site")) as place:
        clock = Wall(place.at)
        work = nightly(place.data_dir, clock, [], journal=place.journal)
        work.begin_file()
        clock.at += 15 * 3600 * SECOND_NS
        work.begin_file()
        assert len(files_of_journal(place.journal.path)) == 1
        clock.at += 3600 * SECOND_NS  # midnight, UTC
        work.begin_file()
        work.begin_file()
        assert len(files_of_journal(place.journal.path)) == 2


# An error of our own


def test_an_error_of_its_own_is_told_as_a_verify_that_says_no(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    clock = Wall(parse_time("2026-11-21T12:00:00Z"))
    work = nightly(tmp_path, clock, told)
    clock.at = parse_time("2026-11-22T01:30:00Z")
    monkeypatch.setattr("service.proof.nightly.subprocess.Popen", raises)
    work.look(threading.Event())
    found = verified_last(tmp_path)
    assert found is not None
    assert (found.ok, told) == (False, [WRONG])
    assert found.words == "it met an error of its own: RuntimeError: no more processes"
    work.look(threading.Event())
    assert told == [WRONG], "it is tried again tomorrow, not at once"
    clock.at += 24 * 3600 * SECOND_NS
    work.look(threading.Event())
    assert told == [WRONG, WRONG]


def raises(*_: object, **__: object) -> None:
    raise RuntimeError("no more processes")


def test_a_journal_that_cannot_begin_a_file_is_told_and_the_verify_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Paging(tmp_path / "site")) as place:
        place.step()
        told: list[str] = []
        clock = Wall(place.at)
        work = nightly(place.data_dir, clock, told, journalling(place), journal=place.journal)
        monkeypatch.setattr(work, "begin_file", raises)
        clock.at = parse_time("2026-11-22T01:30:00Z")
        work.look(threading.Event())
        assert told == [NO_FILE]
        found = verified_last(place.data_dir)
        assert found is not None
        assert found.ok, found.words


def test_an_error_while_the_service_stops_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    clock = Wall(parse_time("2026-11-21T12:00:00Z"))
    work = nightly(tmp_path, clock, told)
    clock.at = parse_time("2026-11-22T01:30:00Z")
    monkeypatch.setattr("service.proof.nightly.subprocess.Popen", raises)
    stop = threading.Event()
    stop.set()
    work.look(stop)
    assert (told, verified_last(tmp_path)) == ([], None)


def test_what_cannot_be_kept_is_paged_also_where_a_rule_judges_the_result(tmp_path: Path) -> None:
    """The rule looks at what is kept: it would see that all was well."""
    site = configured(
        tmp_path / "site", "rules: [{id: v, kind: limit, select: {point: $verify.ok}, level: technical, priority: high, below: 1}]"
    )
    site.settings.data_dir.mkdir(exist_ok=True)
    pages: list[str] = []
    follows = SimpleNamespace(configuration=site)
    work = nightly_of(follows, SystemClock(), lambda reason, at, do: pages.append(do), raises, None)  # type: ignore[arg-type]
    work._failed(RuntimeError("a fault"), 1)
    assert pages == [], "the rule tells people"
    (site.settings.data_dir / FILE).unlink()
    (site.settings.data_dir / f"{FILE}.new").mkdir()
    work._failed(RuntimeError("a fault"), 1)
    assert pages == [BROKEN]


# What the console shows


def test_the_newest_of_all_verifies_is_shown_with_who_and_when(tmp_path: Path) -> None:
    assert verdict_of(tmp_path) is None
    keep(tmp_path, Verified(1, 10, True, 0, "the night"))
    keep(tmp_path, Verified(11, 20, False, 1, "excursions WRONG", "karin"))
    newest = verdict_of(tmp_path)
    assert newest is not None
    assert (newest.at, newest.ok, newest.by, newest.words) == (20, False, "karin", "excursions WRONG")
    kept = verified_last(tmp_path)
    assert kept is not None
    assert kept.ended_ns == 10, "the one of the service is what rules judge"
    keep(tmp_path, Verified(21, 30, True, 0, "the night after"))
    found = verified_newest(tmp_path)
    assert found is not None
    assert (found.ended_ns, found.by) == (30, "")


def test_a_verify_by_hand_leaves_who_and_what(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "karin")
    place = installation(tmp_path / "site", rounds=1)
    place.close()
    assert verify(place.data_dir).exit_code == 0
    found = verdict_of(place.data_dir)
    assert found is not None
    assert (found.ok, found.by) == (True, "karin")
    assert found.words.startswith("journal ok: ")
    assert verified_last(place.data_dir) is None
    [line] = [finding for finding in holdings(place.data_dir, None, place.at) if finding.check == "verify"]
    assert "by karin" in line.words
    change(place.data_dir / "state.db", "update excursions set peak = 1 where id = 'E1'")
    assert verify(place.data_dir).exit_code == 1
    found = verdict_of(place.data_dir)
    assert found is not None
    assert not found.ok
    assert "excursions WRONG: excursion E1" in found.words
