from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alerts.ledger import Ledger
from alerts.record.audit import broken_rows
from alerts.record.kept import sums_from, sums_text
from alerts.record.store import StateStore
from facility.times import format_time
from ingest.admission.intake import Intake, Sums
from ingest.admission.readmission import READMITTED, Readmitted, wanted_of
from ingest.journal.journal import Journal
from ingest.message import Message
from ingest.series.recollection import Recollection
from ingest.series.series import Series
from service.cli import main
from service.configuration.configuration import load_configuration
from service.configuration.judging import Judges
from service.pages.paging import Paging
from service.readmitting import Readmitting
from tests.support.archive_data import SECOND_NS, START, Installation
from tests.support.nursery import nursery
from tests.support.shapes import BMS, FLAT, PRESSURE, SOURCES, written
from tests.support.verifying import report, wrong

WITHOUT_RH = SOURCES.replace("      AHU1.B101.RH: b101.rh\n", "")
WITHOUT_BMS = SOURCES[: SOURCES.index("  - id: bms")] + SOURCES[SOURCES.index("  - id: lorawan") :]


class Place(Installation):
    """The site of the four shapes, whose table of tags lacks one at first."""

    def __init__(self, folder: Path, sources: str = WITHOUT_RH) -> None:
        super().__init__(folder, lambda folder: written(folder, sources))
        self.readmitting = self.take(self.intake)

    def take(self, intake: Intake) -> Readmitting:
        return Readmitting(intake, self.journal.reader, self.store.reader, lambda: self.at - START)

    def mend(self, sources: str = SOURCES) -> None:
        self.at += SECOND_NS
        self.configure(written(self.folder, sources))

    def tags(self, *values: tuple[str, float, float]) -> None:
        """One message with a tag's name, value, and seconds after START, of each."""
        elements = [
            {"id": f"AHU1.B101.{tag}", "v": value, "q": True, "t": format_time(START + round(at * SECOND_NS))} for tag, value, at in values
        ]
        self.at += SECOND_NS
        self.intake.accept([Message(BMS, json.dumps({"values": elements}).encode(), 1)], self.at - START)

    def readmit(self, *terms: str, reason: str = "table completed", dry_run: bool = False) -> Readmitted:
        self.at += SECOND_NS
        return self.readmitting(wanted_of(terms or ("all",)), "anna", reason, dry_run)

    @property
    def sums(self) -> tuple[int, int, int, int, int]:
        sums = self.intake.sums
        assert sums.lost == 0
        return sums.received, sums.stored, sums.duplicates, sums.in_quarantine.total(), sums.readmitted.total()

    def settle(self) -> None:
        self.step()
        self.write_series()
        self.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    yield (made := Place(tmp_path / "site"))
    for part in (made.journal, made.series, made.store):
        part.close()


def test_what_a_mended_mapping_understands_is_taken_in_as_late_data(place: Place) -> None:
    for second in range(0, 60, 10):
        place.tags(("T", 20.0, second), ("RH", 70.0 if second < 40 else 41.0, second), ("X", 1.0, second))
    place.step()
    assert place.sums == (18, 6, 0, 12, 0)
    assert place.readmit("point_unknown").count("refused") == 12
    assert place.sums == (18, 6, 0, 12, 0), "what is not understood stays where it is"

    place.mend()
    dry = place.readmit("topic=scada/#", dry_run=True)
    assert (dry.count("stored"), dry.count("refused"), dry.entries) == (6, 6, ())
    assert place.sums == (18, 6, 0, 12, 0)
    done = place.readmit("topic=scada/#")
    assert (done.count("stored"), done.count("refused"), done.stored, done.duplicates) == (6, 6, 6, 0)
    assert place.sums == (18, 12, 0, 6, 6), "nothing is received twice"

    place.step()
    audited = place.store.rows("select actor, object, old, new, reason, entry from audit where action = ?", (READMITTED,))
    what = ("6 taken out of quarantine", "6 stored, 0 duplicate, 0 quarantined again")
    assert audited == [("anna", "quarantine topic=scada/#", *what, "table completed", done.entries[0])]
    (excursion,) = place.store.excursions("rule = 'rh-high'")
    assert excursion.onset == START, "it was judged: late readings raise what they show"
    place.settle()
    assert wrong(place.data_dir) == {}
    found = report(place.data_dir)["completeness"]
    assert (found["received"], found["stored"], found["quarantined"], found["readmitted"]) == (18, 12, 6, 6)
    assert found["reasons"] == {"point_unknown": 6}


def test_twice_is_harmless_and_says_so(place: Place) -> None:
    place.tags(("RH", 41.0, 0), ("RH", 42.0, 1))
    place.mend()
    assert place.readmit().stored == 2
    before, entries = place.sums, place.journal.head.seq
    again = place.readmit()
    assert (again.count("duplicate"), again.again, again.stored, again.entries) == (2, 2, 0, ())
    assert (place.sums, place.journal.head.seq) == (before, entries)
    place.step()
    assert place.readmit().again == 2, "also when only the audit trail remembers"
    place.settle()
    assert wrong(place.data_dir) == {}


def test_a_restart_between_asking_twice_knows_too(place: Place) -> None:
    place.tags(("RH", 41.0, 0))
    place.mend()
    place.step()
    place.readmit()
    intake = Intake(place.journal, place.series.reader(), lambda: place.at)
    intake.configure(place.configuration.facility, place.number_of, True, written(place.folder).sources)
    intake.recall(place.ledger.sums.copy(), place.ledger.cursor)
    assert intake.sums == place.intake.sums
    again = place.take(intake)(wanted_of(["all"]), "anna", "again")
    assert (again.again, again.entries) == (1, ())


def test_a_redelivered_record_is_stored_once_and_a_duplicate_once(place: Place) -> None:
    place.tags(("RH", 41.0, 0))
    place.tags(("RH", 41.0, 0))
    place.mend()
    done = place.readmit()
    assert (done.count("stored"), done.count("duplicate")) == (1, 1)
    assert place.sums == (2, 1, 1, 0, 2)


def test_a_message_that_could_not_be_split_counts_what_it_holds(place: Place) -> None:
    place.mend(WITHOUT_BMS)
    place.tags(("T", 20.0, 0), ("RH", 41.0, 0), ("X", 1.0, 0))
    assert place.sums == (1, 0, 0, 1, 0), "an unknown topic: nobody knows what is in it"
    place.mend()
    done = place.readmit("topic_unknown")
    assert (done.stored, done.duplicates, done.quarantined) == (2, 0, 1)
    assert place.sums == (3, 2, 0, 1, 1)
    assert place.intake.sums.in_quarantine == {"point_unknown": 1}
    place.settle()
    assert wrong(place.data_dir) == {}


def test_a_clock_that_was_ahead_does_not_become_right_by_waiting(place: Place) -> None:
    ahead = START + 3600 * SECOND_NS
    place.tags(("T", 20.0, 3600))
    assert place.intake.sums.in_quarantine == {"clock_ahead": 1}
    place.at = ahead + 3600 * SECOND_NS
    assert place.readmit().count("refused") == 1
    assert place.intake.sums.in_quarantine == {"clock_ahead": 1}


def test_a_conflict_and_what_is_too_old_stay(place: Place) -> None:
    place.tags(("T", 20.0, 0), ("T", 21.0, 0), ("T", 20.0, -86_400 * 40))
    done = place.readmit()
    assert sorted(outcome.reason for outcome in done.outcomes) == ["conflict", "too_old"]
    assert not done.entries


def test_the_time_of_reception_is_that_of_then(tmp_path: Path) -> None:
    sources = SOURCES.replace("    time: $.ts\n    seq: $.seq", "    time: received\n    seq: $.seq")
    place = Place(tmp_path / "site", sources.replace("points: {DP-B101: dp-b101}", "points: {DP-X: dp-b101}"))
    came = []
    for _ in range(2):
        place.at += SECOND_NS
        came.append(place.at)
        place.intake.accept([Message(PRESSURE, FLAT, 1)] * 2, place.at - START)
    place.mend(sources)
    assert place.readmit().stored == 4
    place.step()
    found = place.memory.read(place.number_of["dp-b101"], START, place.at)
    assert found.time.tolist() == sorted(time - 1000 * (index + 1) for time in came for index in range(2))
    place.settle()
    assert wrong(place.data_dir) == {}


def test_native_records_of_a_room_that_was_added(place: Place) -> None:
    place.at += SECOND_NS
    reading = json.dumps({"time": format_time(START), "value": 4.0}).encode()
    place.intake.accept([Message("renrum/lab/b102/b102.temp", reading, 1)], 0)
    facility = place.folder / "facility.yaml"
    text = facility.read_text() + "  - id: b102\n    points: [{id: b102.temp, quantity: temperature, unit: degC}]\n"
    written(place.folder)
    facility.write_text(text)
    place.configure(load_configuration(place.config, {}))
    assert place.readmit("point=b102.*").stored == 1


@pytest.mark.parametrize(
    ("terms", "matched"),
    [
        (["all"], 3),
        (["reason=point_unknown"], 2),
        (["not_json"], 1),
        (["point_unknown", "not_json"], 3),
        (["topic=scada/+/tags"], 2),
        (["topic=plant/*"], 1),
        (["topic=scada/+/tags", "not_json"], 0),
        (["point=b101.rh"], 1),
        (["point=state"], 1),
        (["id=2.0"], 1),
        (["2.1", "3.0"], 2),
    ],
)
def test_filters(place: Place, terms: list[str], matched: int) -> None:
    place.tags(("RH", 41.0, 0), ("X", 1.0, 0))
    place.intake.accept([Message(PRESSURE, b"{", 1)], 0)
    place.mend()
    assert len(place.readmit(*terms, dry_run=True).outcomes) == matched


@pytest.mark.parametrize(
    ("terms", "words"),
    [
        ([], "found nothing"),
        (["reason=point_unknwon"], "Did you mean point_unknown?"),
        (["id=7"], "id=ENTRY.INDEX"),
        (["room=x"], "found 'room=x'"),
    ],
)
def test_filters_that_mean_nothing(terms: list[str], words: str) -> None:
    with pytest.raises(ValueError, match="allowed") as told:
        wanted_of(terms)
    assert words in str(told.value)


def test_sums_are_kept_as_text_also_without_readmissions() -> None:
    sums = Sums(5, 2, 1)
    sums.quarantined.update({"not_json": 2})
    assert json.loads(sums_text(sums)) == [5, 2, 1, {"not_json": 2}], "as an earlier version reads it"
    assert sums_from(sums_text(sums)) == sums
    sums.readmitted.update({"not_json": 1})
    assert sums_from(sums_text(sums)) == sums


# Laws

TAG = st.tuples(st.sampled_from(["T", "RH", "X", "SP"]), st.sampled_from([20.0, 21.0]), st.integers(0, 5))
DOING = st.one_of(st.lists(TAG, min_size=1, max_size=4), st.sampled_from(["readmit", "mend", "spoil", "step"]))


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(DOING, max_size=14))
def test_sums_close_whatever_is_taken_in_when(tmp_path_factory: pytest.TempPathFactory, doings: list[object]) -> None:
    place = Place(tmp_path_factory.mktemp("law") / "site")
    try:
        for doing in doings:
            if isinstance(doing, list):
                place.tags(*doing)
            elif doing == "readmit":
                before = place.intake.sums
                done = place.readmit()
                assert place.intake.sums.received - before.received == done.stored + done.duplicates + done.quarantined - _fresh(done)
            elif doing == "step":
                place.step()
            else:
                place.mend(SOURCES if doing == "mend" else WITHOUT_RH)
            assert place.sums
            assert min(place.intake.sums.in_quarantine.values(), default=1) > 0
        place.step()
        assert place.ledger.sums == place.intake.sums
        assert not list(broken_rows(place.store))
    finally:
        place.settle()


def _fresh(done: Readmitted) -> int:
    taken = [outcome for outcome in done.outcomes if not outcome.taken and outcome.result != "refused"]
    return len(taken)


# The command, on a stopped service


def invoke(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["quarantine", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def stopped(folder: Path, sources: str = SOURCES, tags: int = 2) -> Place:
    place = Place(folder)
    place.tags(*(("RH", 41.0, second / 100) for second in range(tags)), ("X", 1.0, 0))
    place.mend(sources)
    place.settle()
    return place


def test_the_command_on_a_stopped_service(tmp_path: Path) -> None:
    place = stopped(tmp_path / "site")
    config = ("--config", str(place.config))
    code, said = invoke("--config", str(place.config), "--json")
    assert [row["id"] for row in json.loads(said)["quarantined"]] == ["2.0", "2.1", "2.2"]
    code, said = invoke("readmit", "all", "--reason", "table completed", "--dry-run", *config)
    assert (code, said.splitlines()[-1]) == (
        0,
        "3 records: 2 would be stored, 0 would be duplicate, 1 stays in quarantine (1 point_unknown)",
    )
    code, said = invoke("readmit", "all", "--reason", "table completed", *config)
    assert code == 0
    assert said.splitlines()[-1].endswith("of the journal: 2 stored + 0 duplicate + 0 quarantined again")
    code, said = invoke("readmit", "2.0", "--reason", "once more", "--json", *config)
    answer = json.loads(said)
    assert (answer["records"]["duplicate"], answer["again"], answer["entries"]) == (1, 1, [])
    code, said = invoke("--summary", *config)
    assert said.splitlines()[1].startswith("point_unknown,1,2,")
    code, said = invoke("--config", str(place.config), "--json")
    assert [row["readmitted"] is not None for row in json.loads(said)["quarantined"]] == [True, True, False]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["all", "--reason", " "], "say why"),
        ([], "Missing option '--reason'"),
        (["--reason", "x"], "found nothing"),
        (["reasn=x", "--reason", "x"], "found 'reasn=x'"),
        (["all", "--reason", "x", "--start", "yesterday"], "--start"),
        (["all", "--reason", "x"], "renrum doctor"),
    ],
)
def test_bad_usage(tmp_path: Path, arguments: list[str], words: str) -> None:
    place = stopped(tmp_path / "site")
    if words == "renrum doctor":
        for path in place.data_dir.glob("series.db*"):
            path.write_bytes(bytes(range(256)) * 64)
    code, said = invoke("readmit", *arguments, "--config", str(place.config))
    assert code == 2
    assert words in said


def test_a_mapping_that_is_not_in_force_is_not_used(tmp_path: Path) -> None:
    place = stopped(tmp_path / "site", WITHOUT_RH)
    written(place.folder, SOURCES)
    code, said = invoke("readmit", "all", "--reason", "x", "--config", str(place.config))
    assert code == 2
    assert "not in force yet" in said
    code, said = invoke("readmit", "all", "--reason", "x", "--data-dir", str(place.data_dir))
    assert code == 0, "without a configuration, the one in force counts"
    assert "3 stay in quarantine" in said


def test_killed_in_the_middle_it_is_asked_again_and_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    place = stopped(tmp_path / "site", tags=4_100)
    log = tmp_path / "log"
    asked = ["--", "quarantine", "readmit", "all", "--reason", "table completed", "--data-dir", str(place.data_dir)]
    killed = nursery().born(["--die", "journalled:2", *asked], log)
    _until(lambda: nursery().ended(killed) is not None)
    assert nursery().ended(killed) == -9, log.read_text()
    code, said = invoke("readmit", "all", "--reason", "again", "--json", "--data-dir", str(place.data_dir))
    answer = json.loads(said)
    assert (code, answer["again"], answer["records"]) == (0, 4000, {"stored": 100, "duplicate": 4000, "refused": 1})
    assert (answer["stored"], answer["duplicates"]) == (100, 0)
    with closing(Reopened(place)) as again:
        again.step()
        assert again.ledger.sums.lost == 0
        sums = again.ledger.sums
        assert (sums.received, sums.stored, sums.duplicates, sums.in_quarantine.total()) == (4101, 4100, 0, 1)
        assert len(again.store.rows("select 1 from audit where action = ?", (READMITTED,))) == 3
        again.write_series()
    assert wrong(place.data_dir) == {}


class Reopened(Installation):
    """The data_dir taken up again, as a start does."""

    def __init__(self, place: Place) -> None:
        self.at = place.at + 3600 * SECOND_NS
        self.journal = Journal(place.data_dir / "journal.db")
        self.series, self.store = Series(place.data_dir / "series.db"), StateStore(place.data_dir / "state.db")
        self.memory, paging = Recollection(self.series), Paging(Judges())
        self.ledger = Ledger(self.store, self.memory, paging.plan, paging.alarms(self.store))
        self._reader = self.journal.reader()
        self.ledger.load(self._reader)


def _until(true: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_that_wants_to_know_who_asks_is_no_riddle(tmp_path: Path) -> None:
    class Guard(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(401)
            self.end_headers()
            self.wfile.write(b'{"title": "Sign in first", "detail": "of the server"}')

        def log_message(self, format: str, *args: object) -> None:
            pass

    place = Place(tmp_path / "site")
    with HTTPServer(("127.0.0.1", 0), Guard) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        asked = ("quarantine", "readmit", "all", "--reason", "why", "--config", str(place.config), "--url", url)
        without = CliRunner().invoke(main, asked, env={"RENRUM_TOKEN": ""})
        wrong = CliRunner().invoke(main, asked, env={"RENRUM_TOKEN": "worthless"})
        server.shutdown()
    assert (without.exit_code, "renrum users token add NAME --role supervisor" in without.output) == (2, True), without.output
    assert (wrong.exit_code, "of the server" in wrong.output) == (2, True), wrong.output
