"""The step thread: what it journals and when, what it answers, and how it goes on after a failure."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from alerts.alarms import Alarms
from alerts.ledger import Applied, Ledger
from alerts.record.store import StateStore, StateUnavailable
from ingest.journal.entries import (
    ACTION,
    CLOCK,
    CONFIGURATION,
    SERVICE,
    STEP,
    ActionBody,
    ClockBody,
    ConfigurationBody,
    ServiceBody,
    decode,
    encode,
)
from ingest.journal.journal import Journal, JournalUnavailable
from ingest.series.recollection import Recollection
from ingest.series.series import Series, SeriesUnavailable
from rules.plan import Plan
from service.clock import Onward
from service.stepping import Stepper, StepsEnded
from tests.support.hands import Hands
from tests.support.recordings import sawtooth

SECOND_NS = 10**9
EVERY_NS = SECOND_NS // 20


class Bench:
    """A stepper on a folder of its own, with a clock turned by hand and failures on order."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.clock = folder, Hands()
        recording = sawtooth(folder / "example", points=1, readings=1)
        self.plan: Plan = recording.plan
        self.journal = Journal(folder / "journal.db", durable=False)
        self.seen: list[Applied] = []
        self.rebuilt = 0
        self.failing: list[Exception] = []
        numbers = {point.id: number for number, point in enumerate(recording.facility.points)}
        self.journal.append(CONFIGURATION, encode(ConfigurationBody("hash", 1, numbers, {})), self.clock.now_ns())
        memory, ledger = self._open()
        stamps = Onward(self.clock, self.journal.head.at)
        self.stepper = Stepper(
            self.journal, memory, ledger, self._reopen, self.clock, EVERY_NS, lambda: 0, lambda applied, at: self.seen.append(applied),
            stamps.now_ns,
        )  # fmt: skip

    def take(self) -> None:
        """What the thread does when it is woken."""
        self.stepper._take([])

    def kinds(self) -> list[str]:
        reader = self.journal.reader()
        try:
            return [entry.kind for entry in reader.entries()]
        finally:
            reader.close()

    @contextmanager
    def running(self) -> Iterator[None]:
        stop = threading.Event()
        thread = threading.Thread(target=self.stepper.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            self.stepper.tick()
            thread.join(10)
            assert not thread.is_alive()

    def _open(self) -> tuple[Recollection, Ledger]:
        self.store = StateStore(self.folder / "state.db")
        memory = Recollection(Series(self.folder / "series.db"))
        ledger = Ledger(self.store, memory, lambda body, number_of, at: self.plan, Alarms(self.store))
        ledger.load(self.journal.reader())
        plain = ledger.apply

        def apply(entries: object) -> Applied:
            if self.failing:
                raise self.failing.pop()
            return plain(entries)  # type: ignore[arg-type]

        ledger.apply = apply  # type: ignore[method-assign]
        return memory, ledger

    def _reopen(self) -> tuple[Recollection, Ledger]:
        self.rebuilt += 1
        if self.failing and isinstance(self.failing[-1], OSError):
            raise StateUnavailable(str(self.failing.pop()))
        self.store.close()
        return self._open()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_step_is_recorded_when_there_is_news_and_only_then(bench: Bench) -> None:
    bench.take()
    bench.take()
    assert bench.kinds() == [CONFIGURATION, STEP]
    bench.journal.append(SERVICE, encode(ServiceBody("started", "1")), bench.clock.now_ns())
    bench.take()
    assert bench.kinds() == [CONFIGURATION, STEP, SERVICE, STEP]
    assert len(bench.seen) == 2


def test_what_is_asked_is_journalled_applied_and_answered(bench: Bench) -> None:
    answer = bench.stepper.ask(ACTION, ActionBody("acknowledge", "A7", "Anna"))
    bench.take()
    found = answer.result(timeout=0)
    assert found is not None
    assert (found.result, found.alarm) == ("unknown", "A7")
    assert bench.kinds() == [CONFIGURATION, ACTION, STEP]


def test_a_wall_clock_that_was_stepped_is_an_event_and_entries_never_go_back(bench: Bench) -> None:
    bench.take()
    for stepped in (3600, -3600):
        bench.clock.pass_s(1)
        bench.clock.step_s(stepped)
        bench.take()
    bench.clock.step_s(0.9)
    bench.take()
    reader = bench.journal.reader()
    entries = list(reader.entries())
    bodies = [decode(entry) for entry in entries if entry.kind == CLOCK]
    assert [body.step_ns for body in bodies if isinstance(body, ClockBody)] == [3600 * SECOND_NS, -3600 * SECOND_NS]
    assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
    reader.close()


def test_after_the_clock_was_set_back_time_goes_on_at_half_speed_until_it_is_caught_up() -> None:
    clock = Hands()
    onward = Onward(clock)
    begun = onward.now_ns()
    clock.step_s(-100)
    clock.pass_s(10)
    assert onward.now_ns() == begun + 5 * SECOND_NS
    clock.pass_s(190)
    assert onward.now_ns() == begun + 100 * SECOND_NS == clock.now_ns()
    clock.pass_s(10)
    assert onward.now_ns() == clock.now_ns()


def test_the_journals_newest_time_is_the_floor() -> None:
    clock = Hands()
    assert Onward(clock, clock.now_ns() + SECOND_NS).now_ns() == clock.now_ns() + SECOND_NS


def test_the_guard_goes_on_without_the_scheduler(bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Dead:
        """A scheduler for which the wall clock went back by an hour."""

        def shutdown(self, wait: bool) -> None:
            assert not wait

    monkeypatch.setattr(bench.stepper, "_schedule", Dead)
    with bench.running():
        for number in range(2):
            bench.journal.append(SERVICE, encode(ServiceBody("started", str(number))), bench.clock.now_ns())
            assert wait_for(lambda number=number: bench.stepper.vitals.steps > number)
    assert "scheduling again" in caplog.text


def test_the_scheduler_takes_steps_by_itself(bench: Bench) -> None:
    with bench.running():
        assert wait_for(lambda: bench.stepper.vitals.steps == 1)


def test_a_step_that_could_not_be_committed_is_done_at_the_next_try_and_answers_then(bench: Bench) -> None:
    bench.take()
    ended = bench.stepper.vitals.ended_ns
    bench.clock.pass_s(1)
    bench.failing = [StateUnavailable("disk full")]
    answer = bench.stepper.ask(ACTION, ActionBody("acknowledge", "A7", "Anna"))
    bench.take()
    assert bench.stepper.vitals.failure == "disk full"
    assert bench.stepper.vitals.ended_ns == ended
    assert not answer.done()
    bench.take()
    assert bench.rebuilt == 1
    assert bench.stepper.vitals.failure == ""
    assert answer.result(timeout=0) is not None
    assert bench.kinds() == [CONFIGURATION, STEP, ACTION, STEP], "the recorded step was repeated, no other one recorded"
    assert bench.stepper.ledger.cursor == 4


def test_as_long_as_the_state_cannot_be_opened_nothing_is_recorded_or_said_to_be_well(bench: Bench) -> None:
    bench.take()
    bench.journal.append(SERVICE, encode(ServiceBody("started", "1")), bench.clock.now_ns())
    # The commit fails, then opening twice.
    bench.failing = [OSError("unreadable"), OSError("unreadable"), StateUnavailable("I/O error")]
    for failure in ("I/O error", "unreadable", "unreadable", ""):
        bench.take()
        assert bench.stepper.vitals.failure == failure
    assert bench.kinds() == [CONFIGURATION, STEP, SERVICE, STEP]
    assert bench.stepper.ledger.cursor == 4


def test_steps_are_recorded_while_the_state_cannot_be_written_so_that_none_becomes_as_large_as_the_outage(bench: Bench) -> None:
    bench.take()
    bench.failing = [OSError("unreadable")] * 3 + [StateUnavailable("I/O error")]
    for number in range(4):
        bench.journal.append(SERVICE, encode(ServiceBody("started", str(number))), bench.clock.now_ns())
        bench.take()
    assert bench.kinds() == [CONFIGURATION, STEP, *[SERVICE, STEP] * 4]
    bench.take()
    assert bench.kinds() == [CONFIGURATION, STEP, *[SERVICE, STEP] * 4]
    assert bench.stepper.ledger.cursor == bench.journal.head.seq
    assert bench.store.get("steps") == 5, "each recorded step was applied by itself"


def test_a_recorded_step_that_could_not_be_read_is_applied_by_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreadable(*_: object) -> None:
        raise JournalUnavailable("I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(bench.stepper._reader, "_slice", unreadable)
        bench.take()
    bench.journal.append(SERVICE, encode(ServiceBody("started", "1")), bench.clock.now_ns())
    bench.take()
    assert bench.kinds() == [CONFIGURATION, STEP, SERVICE, STEP]
    assert bench.store.get("steps") == 2


def test_what_a_failed_step_did_in_memory_is_not_kept_at_the_end(bench: Bench) -> None:
    bench.take()
    kept = bench.store.get("newest"), bench.store.get("newest_cursor")
    plain = bench.stepper.ledger.apply

    def fail_late(entries: object) -> Applied:
        plain(entries)  # type: ignore[arg-type]
        bench.store.put("newest_cursor", kept[1])
        raise StateUnavailable("disk full at the commit")

    bench.stepper.ledger.apply = fail_late  # type: ignore[method-assign]
    bench.journal.append(SERVICE, encode(ServiceBody("started", "1")), bench.clock.now_ns())
    bench.take()
    bench.stepper.settle()
    assert (bench.store.get("newest"), bench.store.get("newest_cursor")) == kept


def test_an_error_of_our_own_does_not_end_the_thread(bench: Bench) -> None:
    bench.failing = [ZeroDivisionError("a fault")]
    with bench.running():
        assert wait_for(lambda: bench.rebuilt == 1 and not bench.stepper.vitals.failure and bench.stepper.vitals.steps >= 1)


def test_who_asks_for_what_cannot_be_journalled_hears_of_it_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise JournalUnavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(bench.journal, "append", full)
        answers = [bench.stepper.ask(ACTION, ActionBody("acknowledge", name, "Anna")) for name in ("A1", "A2")]
        bench.take()
        for answer in answers:
            with pytest.raises(JournalUnavailable):
                answer.result(timeout=0)
    assert bench.rebuilt == 0
    bench.take()
    assert bench.stepper.vitals.failure == ""


def test_steps_that_were_recorded_but_not_committed_are_caught_up(bench: Bench) -> None:
    bench.failing = [StateUnavailable("killed between the two")]
    bench.take()
    again = Bench.__new__(Bench)
    again.__dict__.update(bench.__dict__)
    memory, ledger = again._open()
    stepper = Stepper(bench.journal, memory, ledger, again._reopen, bench.clock, EVERY_NS, lambda: 0, lambda applied, at: None)
    stepper.catch_up()
    assert stepper.ledger.cursor == bench.journal.head.seq == 2
    assert stepper.vitals.steps == 1


def test_whoever_asks_after_the_last_step_hears_so_at_once(bench: Bench) -> None:
    with bench.running():
        early = bench.stepper.ask(SERVICE, ServiceBody("started", "1"))
    assert early.result(0) is None, "the last step did it"
    with pytest.raises(StepsEnded):
        bench.stepper.ask(ACTION, ActionBody("acknowledge", "A1", "Anna")).result(0)


def test_what_no_step_could_do_is_answered_when_the_steps_end(bench: Bench) -> None:
    with bench.running():
        assert wait_for(lambda: bench.stepper.vitals.steps == 1)
        bench.failing = [StateUnavailable("disk full")] * 1000
        late = bench.stepper.ask(ACTION, ActionBody("acknowledge", "A1", "Anna"))
        assert wait_for(lambda: bench.stepper.vitals.failures > 0)
    with pytest.raises(StepsEnded):
        late.result(0)


def test_vitals_tell_of_the_work_of_the_steps(bench: Bench) -> None:
    bench.stepper.tick()
    assert bench.stepper.queued == 1
    bench.take()
    bench.take()
    assert (bench.stepper.queued, bench.stepper.vitals.durations.now().count) == (0, 1), "one had nothing to do"
    bench.failing = [StateUnavailable("disk full")]
    bench.journal.append(SERVICE, encode(ServiceBody("started", "1")), bench.clock.now_ns())
    bench.take()
    bench.clock.step_s(-3600)
    bench.take()
    assert (bench.stepper.vitals.failures, bench.stepper.vitals.clock_steps) == (1, 1)


def test_a_series_that_cannot_be_written_is_said_once_and_seen_in_the_vitals(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(**_: object) -> bool:
        raise SeriesUnavailable("disk full")

    with monkeypatch.context() as patch:
        patch.setattr(bench.stepper._memory, "write", full)
        for number in range(3):
            bench.journal.append(SERVICE, encode(ServiceBody("started", str(number))), bench.clock.now_ns())
            bench.take()
    assert (bench.stepper.vitals.failure, bench.stepper.vitals.series_failure) == ("", "disk full")
    assert caplog.text.count("disk full") == 1
    bench.journal.append(SERVICE, encode(ServiceBody("started", "again")), bench.clock.now_ns())
    bench.take()
    assert bench.stepper.vitals.series_failure == ""


def test_a_state_that_was_computed_from_another_journal_is_refused(bench: Bench) -> None:
    bench.take()
    bench.journal.close()
    (bench.folder / "journal.db").unlink()
    bench.journal = Journal(bench.folder / "journal.db", durable=False)
    with pytest.raises(StateUnavailable, match=r"another journal: entry 2 is not in this one.*move state\.db"):
        bench._open()


def wait_for(true: object, within_s: float = 5.0) -> bool:
    assert callable(true)
    pause = threading.Event()
    for _ in range(int(within_s / 0.01)):
        if true():
            return True
        pause.wait(0.01)
    return False
