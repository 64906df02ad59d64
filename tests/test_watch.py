"""The ingest thread's own part and the watchdog: told what failed, going on by themselves."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ingest.admission.intake import Intake
from ingest.journal.journal import JournalUnavailable
from ingest.message import Message
from ingest.mqtt.session import LinkEvent, Session
from service.health.watch import ENDED, INGEST, JOURNAL, LINK, STEPS, Watchdog
from service.receiving import BALLAST_BYTES, Ballast, Receiver
from service.stepping import Stepper, StepVitals
from tests.support.hands import Hands

NOTHING: Sequence[Message] = ()


class Sink:
    """An intake that fails as told."""

    def __init__(self) -> None:
        self.fails: list[Exception] = []
        self.accepted = 0

    def accept(self, messages: Sequence[Message], heard_ns: int) -> None:
        if self.fails:
            raise self.fails.pop()
        self.accepted += 1

    def link(self, event: LinkEvent, heard_ns: int) -> None:
        self.accept((), heard_ns)


class Told:
    """Emergency pages, in memory."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def page(self, reason: str, at: int, do: str = "") -> tuple[str, ...]:
        assert do
        self.reasons.append(reason)
        return ()


class Post:
    """A watchdog with all that it watches."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.sink, self.told = Hands(), Sink(), Told()
        self.ballast = Ballast(folder / "ballast")
        self.receiver = Receiver(cast(Intake, self.sink), self.ballast, self.clock, lambda _: cast(Session, None))
        self.steps = StepVitals()
        stepper = cast(Stepper, SimpleNamespace(vitals=self.steps))
        self.dog = Watchdog(cast(Any, self.told), stepper, self.receiver, self.ballast, self.clock)

    def look(self) -> list[str]:
        self.told.reasons.clear()
        self.dog.look()
        return self.told.reasons


@pytest.fixture
def post(tmp_path: Path) -> Post:
    return Post(tmp_path)


def test_ballast_takes_its_room_whole_and_gives_it_back(tmp_path: Path) -> None:
    path = tmp_path / "ballast"
    ballast = Ballast(path)
    path.write_bytes(b"left by a crash")
    ballast.take()
    assert path.stat().st_size == BALLAST_BYTES
    assert path.stat().st_blocks * 512 >= BALLAST_BYTES
    assert ballast.free()
    assert not ballast.free()
    ballast = Ballast(tmp_path / "missing" / "ballast")
    ballast.take()
    assert not ballast.free()


def test_all_is_well(post: Post) -> None:
    post.receiver.accept(NOTHING, 0)
    assert post.look() == []
    assert post.receiver.vitals.commits == post.receiver.vitals.batches.now().count == 1


@pytest.mark.parametrize("error", [JournalUnavailable("disk full"), sqlite3.OperationalError("disk I/O error")])
def test_what_cannot_be_stored_is_told_and_frees_the_ballast(post: Post, error: Exception) -> None:
    post.ballast.take()
    post.sink.fails = [error]
    with pytest.raises(JournalUnavailable, match=str(error)):
        post.receiver.accept(NOTHING, 0)
    assert not post.ballast.free()
    assert post.look() == [JOURNAL]
    assert post.look() == [JOURNAL], "as long as it lasts; Emergency keeps the pages apart"
    post.receiver.accept(NOTHING, 0)
    assert post.look() == []


def test_a_failure_that_the_ballast_ended_before_the_next_look_is_told_too(post: Post) -> None:
    post.sink.fails = [JournalUnavailable("disk full")]
    with pytest.raises(JournalUnavailable):
        post.receiver.link(LinkEvent("connected"), 0)
    post.receiver.accept(NOTHING, 0)
    assert post.look() == [JOURNAL]
    assert post.look() == []


def test_no_step_for_half_a_minute_is_told(post: Post) -> None:
    post.clock.pass_s(30)
    assert post.look() == []
    post.clock.step_s(-3600)
    post.clock.pass_s(1)
    assert post.look() == [STEPS]
    post.steps.ended_ns = post.clock.monotonic_ns()
    assert post.look() == []


def test_two_minutes_without_a_link_are_told_but_not_a_long_queue(post: Post) -> None:
    def after(seconds: int) -> list[str]:
        post.clock.pass_s(seconds)
        post.steps.ended_ns = post.clock.monotonic_ns()
        return post.look()

    link = SimpleNamespace(connected=True, drained=True)
    post.receiver.session = cast(Session, link)
    assert after(600) == []
    link.connected = link.drained = False
    assert after(120) == []
    assert after(1) == [LINK]
    link.connected = True
    for _ in range(5):  # what the broker had queued is coming in
        post.receiver.accept(NOTHING, 0)
        assert after(60) == []
    assert after(121) == [LINK]
    link.drained = True
    assert after(1) == []


def test_a_thread_that_ended_is_told_by_its_name(post: Post) -> None:
    ended: list[str] = []
    dog = Watchdog(
        cast(Any, post.told), cast(Stepper, SimpleNamespace(vitals=post.steps)), post.receiver, post.ballast, post.clock, lambda: ended
    )
    dog.look()
    assert post.told.reasons == []
    ended.append("http")
    dog.look()
    assert post.told.reasons == [ENDED.format("http")]


def test_what_happens_to_the_link_is_counted_by_kind(post: Post) -> None:
    for kind in ("connected", "disconnected", "connected"):
        post.receiver.link(LinkEvent(kind), 0)
    assert post.receiver.vitals.events == {"connected": 2, "disconnected": 1}


def test_steps_that_fail_get_the_ballast_too(post: Post) -> None:
    post.dog.look()
    post.steps.failure = "disk full"
    post.dog.look()
    assert not post.ballast.free()
    post.steps.failure = ""
    post.dog.look()
    assert post.ballast.free()


class Ends:
    """A session that ends as it is told, and stops the thread at the last end."""

    connected = drained = False

    def __init__(self, end: Exception | None, stop: threading.Event | None = None) -> None:
        self.end, self.stop = end, stop

    def run(self, stop: threading.Event) -> None:
        if self.stop is not None:
            self.stop.set()
        if self.end is not None:
            raise self.end

    def heard(self, monotonic_ns: int) -> int:
        return 7


def test_the_ingest_thread_outlives_errors_and_they_are_told(tmp_path: Path) -> None:
    stop = threading.Event()
    failing: list[Callable[[Receiver], Session]] = [lambda _: cast(Session, Ends(ZeroDivisionError("a fault"), stop))]

    def connect(receiver: Receiver) -> Session:
        if receiver.vitals.restarts == 0:
            stop.set()  # no pause in a test
            raise JournalUnavailable("cannot read")
        return failing[0](receiver)

    receiver = Receiver(cast(Intake, Sink()), Ballast(tmp_path / "ballast"), Hands(), connect)
    assert receiver.heard_ns() == 0
    for restarts in (1, 2):
        stop.clear()
        receiver.run(stop)
        assert receiver.vitals.restarts == restarts
    assert receiver.heard_ns() == 7
    told = Told()
    vitals = cast(Stepper, SimpleNamespace(vitals=StepVitals()))
    dog = Watchdog(cast(Any, told), vitals, receiver, Ballast(tmp_path / "ballast"), Hands())
    dog.look()
    dog.look()
    assert told.reasons == [INGEST]


def test_an_error_in_a_look_does_not_end_the_watch(post: Post, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    looks: list[int] = []

    class Stop:
        """Lets it look twice, without a pause."""

        def wait(self, _: float) -> bool:
            return len(looks) == 2

    def look() -> None:
        looks.append(1)
        raise ZeroDivisionError("a fault")

    monkeypatch.setattr(post.dog, "look", look)
    post.dog.run(cast(threading.Event, Stop()))
    assert caplog.text.count("error of its own") == 2
