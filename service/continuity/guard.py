"""Whether another instance of this site lives: what was heard of others, and what follows from it. Times are monotonic ns.

Who listens and pages says so every two seconds, under a name that it makes at each start. So the same service, started again, is never
taken for another one: its earlier self does not say anything any more. A copy of a whole machine is taken for what it is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

SECOND_NS = 10**9
BEAT_NS = 2 * SECOND_NS
PATIENCE_NS = 7 * SECOND_NS
"""Of whom the broker still has a word and who says nothing for so long, is dead: three beats."""
LOST_NS = 60 * SECOND_NS
"""Who is silent waits for so long after the other's last beat, so that a restart there changes nothing."""
DOUBT_NS = 3 * SECOND_NS
"""So long we wait for a word of the broker before we listen and page in doubt."""
LIVES = 2
"""So many beats show that somebody lives; one may have been under way when its sender died."""

UNKNOWN, ALONE, SECOND, TWO = "unknown", "alone", "second", "two"


@dataclass(slots=True)
class Other:
    """What was heard of another instance: where it runs, when it began (its own ns UTC), whether it listens and pages."""

    run: str
    host: str
    began: int
    active: bool
    beats: int = 0
    noted_ns: int = 0
    heard_ns: int = 0

    def alive(self, at: int, within_ns: int) -> bool:
        return self.beats >= LIVES and at - self.heard_ns <= within_ns


@dataclass(slots=True)
class Guard:
    """Any thread may call.

    `state` is unknown (`since` when; the broker did not tell since `at`), alone, second (another one listens and pages: we do neither) or
    two (we do, and another one does too). In doubt it is not second.
    """

    run: str
    began: int
    at: int
    state: str = UNKNOWN
    words: str = "not known yet"
    since: int = field(init=False)
    _others: dict[str, Other] = field(default_factory=dict)
    _asked_ns: int | None = None
    _why: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.since = self.at

    @property
    def active(self) -> bool:
        """Whether we listen and page, and know that we may."""
        return self.state in (ALONE, TWO)

    @property
    def silent(self) -> bool:
        """Whether another one pages, so that we do not."""
        return self.state == SECOND

    def may_act(self, at: int) -> bool:
        """Whether to open the session at the broker, which has room for one of us, and to page: not while that is being found out.

        A connection that comes and goes never lets us find out: that is waited for no longer than once.
        """
        return self.active or (self.state == UNKNOWN and (self.unanswered(at) or at - self.since > PATIENCE_NS + DOUBT_NS))

    def unanswered(self, at: int) -> bool:
        """Whether the broker has had the time to tell, and did not."""
        return self.state == UNKNOWN and self._asked_ns is None and at - self.at > DOUBT_NS

    def asked(self, at: int) -> None:
        """The broker has told all that it keeps of others; what comes now is live."""
        with self._lock:
            if self._asked_ns is None:
                self._asked_ns = at
            self._judge(at)

    def cut_off(self, at: int, why: str) -> None:
        """The broker does not tell. Who pages goes on; who is silent stays so for the time that a restart of the broker takes."""
        with self._lock:
            if self._asked_ns is not None:
                self._asked_ns, self.at = None, at
            self._why = why
            if self.state == UNKNOWN:
                self._others.clear()
                self.words = f"whether another instance lives is not known: {why}"

    def heard(self, other: Other, retained: bool, at: int) -> None:
        """A beat of another instance; `retained` is an old one that the broker kept."""
        with self._lock:
            known = self._others.setdefault(other.run, other)
            known.active, known.noted_ns = other.active, known.noted_ns or at
            if not retained:
                known.beats, known.heard_ns = known.beats + 1, at
            self._judge(at)

    def look(self, at: int) -> list[str]:
        """What time alone changes; gives the runs of others that are dead and of which the broker still has a word."""
        with self._lock:
            self._judge(at)
            if self._asked_ns is None:
                return []
            dead = [other.run for other in self._others.values() if at - max(other.noted_ns, other.heard_ns) > LOST_NS]
            for run in dead:
                del self._others[run]
            return dead

    def _judge(self, at: int) -> None:
        if self.active:
            rivals = [other for other in self._others.values() if other.active and other.alive(at, PATIENCE_NS)]
            self.state, self.words = (TWO, _two(rivals[0])) if rivals else (ALONE, "no other instance lives")
            return
        before_us = [other for other in self._others.values() if other.active or (other.began, other.run) < (self.began, self.run)]
        living = [other for other in before_us if other.alive(at, LOST_NS if self.state == SECOND else PATIENCE_NS)]
        if living:
            self.state, self.words = SECOND, _second(living[0])
        elif self._asked_ns is None:
            if self.state == SECOND:
                self.state, self.at, self.since, self.words = (
                    UNKNOWN,
                    at,
                    at,
                    f"whether another instance still lives is not known: {self._why}",
                )
        elif all(at - max(other.noted_ns, other.heard_ns) > PATIENCE_NS for other in before_us):
            self.state, self.words = ALONE, "no other instance lives"


def alone() -> Guard:
    """Of a service with a broker of its own, which no other instance can reach."""
    return Guard("", 0, 0, ALONE, "the broker is a part of the service, and no other instance can reach it")


def _second(other: Other) -> str:
    return (
        f"another instance of this site runs on {other.host}: this one does not listen and does not page. "
        f"Stop one of the two; when that one is silent for {LOST_NS // SECOND_NS} s, this one takes over"
    )


def _two(other: Other) -> str:
    return f"another instance of this site listens and pages too, on {other.host}: readings are divided between the two. Stop one at once"
