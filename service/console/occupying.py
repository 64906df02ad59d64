"""What goes on in rooms, said from the console: a state message of the journal with the name of who said it, and its end by itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Protocol

from alerts.lifecycle.flags import ACCEPTED, ALREADY, REFUSED, Answer
from alerts.lifecycle.surroundings import SAID, Stay, stays_of
from alerts.record.audit import SYSTEM
from alerts.record.store import StateStore
from facility.durations import Duration
from facility.site import Place
from facility.times import format_time
from ingest.journal.entries import SayingNote
from ingest.journal.journal import Entry


class Say(Protocol):
    """Makes a state durable; None where one for that very time stands already."""

    def __call__(self, place: str, state: str, note: SayingNote, heard_ns: int | None, at: int | None = None) -> Entry | None: ...


class Occupying:
    """Any thread may ask; the step thread calls `elapse`. `store` opens a reader, `said` has a step taken soon."""

    def __init__(self, say: Say, store: Callable[[], StateStore], heard_ns: Callable[[], int | None], said: Callable[[], None]) -> None:
        self._say, self._store, self._heard_ns, self._said = say, store, heard_ns, said
        self._lock = threading.Lock()
        self._last: dict[str, tuple[str, str, int | None, int]] = {}
        """By place what was said last: by whom, the state, until when, and when."""

    def __call__(self, place: Place, before: str, state: str, by: str, reason: str, until: int | None, now: int) -> Answer:
        """Give a place, which has the state `before`, another from now on; `until` int ns UTC, None for until somebody says otherwise.

        Raises JournalUnavailable, StateUnavailable.
        """
        with self._lock:
            if state == before and (last := self._last.get(place.id)) is not None and last[1] == state and until in (None, last[2]):
                return Answer(ALREADY, place.id, last[0], last[3])
            with closing(self._store()) as store:
                stay = next((stay for stay in stays_of(store) if stay.place == place.id), None)
                rows = store.rows(
                    "select actor, at, new from audit where object = ? and action = ? order by seq desc limit 1", (place.id, SAID)
                )
            if state == before and until is None and stay is None:
                who = next(((by, at) for by, at, new in rows if new.partition(" ")[0] == state), ("", None))
                return Answer(ALREADY, place.id, *who)
            if why := _refused(place, state, reason, until, now):
                return Answer(REFUSED, place.id, why=why)
            # A state that ends by itself gives way to what was before all such states, not to another one that may be over by then.
            note = SayingNote(by, reason, until, before if stay is None else stay.before)
            entry = self._say(place.id, state, note, self._heard_ns())
            assert entry is not None, place.id
            self._last[place.id] = by, state, until, entry.at
        self._said()
        return Answer(ACCEPTED, place.id, by, entry.at)

    def elapse(self, stays: Iterable[Stay], at: int) -> None:
        """Journal the states that come back by `at`, each from its time on, however late that is noticed."""
        for stay in [stay for stay in stays if stay.until <= at]:
            note = SayingNote(SYSTEM, f"{stay.state} was said until {format_time(stay.until)}", None, stay.state)
            self._say(stay.place, stay.before, note, self._heard_ns(), stay.until)


def _refused(place: Place, state: str, reason: str, until: int | None, now: int) -> str:
    """Why a state cannot be given, empty when it can."""
    if not reason:
        return "without a reason no state is given"
    if until is None:
        return ""
    if until <= now:
        return f"{format_time(until)} is not in the future"
    longest = dict(place.at_most_ns).get(state)
    if longest is not None and until > now + longest:
        return f"{state} lasts at most {Duration(longest)} in {place.id}"
    return ""
