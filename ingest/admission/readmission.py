"""Readmission: records in quarantine go through admission again, after the mapping or the facility file was mended.

A record is named `<entry>.<index>`: its place in the quarantine list of an ingest entry, which stays as it is. What is taken in is an
ingest entry of its own, with a note of who, why, and which records it takes out of quarantine: so those are not received twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache

from facility.document import did_you_mean
from facility.sources.filters import TopicFilter, parse_filter
from facility.times import format_time
from ingest.admission import admission
from ingest.admission.admission import REASONS
from ingest.arrivals import Arrivals, Quarantined, Raw, Reason, StateArrival
from ingest.journal.entries import INGEST, ingest_body
from ingest.journal.journal import Entry, JournalReader

READMITTED = "readmitted"
"""The origin of such an entry, and the action of its row in the audit trail."""
STORED, DUPLICATE, REFUSED = "stored", "duplicate", "refused"

ALL = "all"
TERMS = "reason=REASON, topic=FILTER, point=GLOB, id=ENTRY.INDEX, all; a bare id or reason; or a time"
KNOWN = tuple(sorted({*map(str, Reason), *REASONS.values()}))
_ID = re.compile(r"(\d{1,18})\.(\d{1,9})", re.ASCII)

Id = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Record:
    """One piece in quarantine: its place, when it was received (int ns UTC), and whether it was taken in before."""

    entry: int
    index: int
    at: int
    piece: Quarantined
    taken: bool = False

    @property
    def id(self) -> Id:
        return self.entry, self.index

    @property
    def name(self) -> str:
        return f"{self.entry}.{self.index}"

    @property
    def received_ns(self) -> int:
        """The time of reception for sources that send none: always the same for the same record, and no other record's."""
        return self.at - 1000 * (self.index + 1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became (or, in a dry run, would become) of the record `name`, in quarantine for `was`; `taken`: it was taken in before.

    `result` is stored, duplicate (all that it holds is stored already) or refused (it stays in quarantine, for `reason`). `readings`
    counts what it gives; `points` are their ids.
    """

    name: str
    was: str
    taken: bool
    result: str
    readings: int = 0
    points: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""

    @property
    def taken_in(self) -> bool:
        """Whether it is to be journalled: what was taken in before only where it gives more now."""
        return self.result == STORED or (self.result == DUPLICATE and not self.taken)


def outcome_of(record: Record, part: Arrivals, points: tuple[str, ...], verdicts: Sequence[int]) -> Outcome:
    """What becomes of a record that decodes to a part, by the verdicts of admission on each of its readings and states."""
    result = STORED if admission.STORED in verdicts else DUPLICATE if admission.DUPLICATE in verdicts else REFUSED
    refused = next((REASONS[verdict] for verdict in verdicts if verdict > admission.DUPLICATE), "")
    left = part.quarantine[0] if part.quarantine else None
    reason = refused or (left.reason if left else "")
    detail = f"{', '.join(points)}: admission refuses it" if refused else left.detail if left else ""
    return Outcome(record.name, record.piece.reason, record.taken, result, len(verdicts), points, reason, detail)


@dataclass(frozen=True, slots=True)
class Readmitted:
    """The answer: an outcome for each record; `entries` are those in the journal, none when nothing was taken in."""

    outcomes: tuple[Outcome, ...] = ()
    entries: tuple[int, ...] = ()
    stored: int = 0
    duplicates: int = 0
    quarantined: int = 0

    def count(self, result: str) -> int:
        """How many records have a result."""
        return sum(outcome.result == result for outcome in self.outcomes)

    @property
    def again(self) -> int:
        """How many records were taken in before."""
        return sum(outcome.taken for outcome in self.outcomes)

    def __add__(self, other: Readmitted) -> Readmitted:
        return Readmitted(
            self.outcomes + other.outcomes,
            self.entries + other.entries,
            self.stored + other.stored,
            self.duplicates + other.duplicates,
            self.quarantined + other.quarantined,
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which records: all that is given must match, of several in one tuple any. Times int ns UTC, `start` <= received < `end`.

    `topics` are MQTT filters, or globs of whole topics; `points` globs of the points that a record gives now, or of the last level of its
    topic.
    """

    ids: frozenset[Id] = frozenset()
    reasons: tuple[str, ...] = ()
    topics: tuple[str, ...] = ()
    points: tuple[str, ...] = ()
    start: int | None = None
    end: int | None = None

    def __call__(self, record: Record) -> bool:
        """Whether it matches, but for `points`, which only decoding tells."""
        piece = record.piece
        return (
            (not self.ids or record.id in self.ids)
            and (not self.reasons or piece.reason in self.reasons)
            and (not self.topics or any(_on(pattern, piece.topic) for pattern in self.topics))
            and (self.start is None or record.at >= self.start)
            and (self.end is None or record.at < self.end)
        )

    def gives(self, record: Record, points: Iterable[str]) -> bool:
        """Whether it is, or gives, one of the wanted points."""
        names = (*points, record.piece.topic.rpartition("/")[2])
        return not self.points or any(fnmatchcase(name, glob) for name in names for glob in self.points)

    def __str__(self) -> str:
        terms = [f"id={entry}.{index}" for entry, index in sorted(self.ids)]
        for key, texts in (("reason", self.reasons), ("topic", self.topics), ("point", self.points)):
            terms += [f"{key}={text}" for text in texts]
        for key, time in (("start", self.start), ("end", self.end)):
            terms += [] if time is None else [f"{key}={format_time(time)}"]
        return " ".join(terms) or ALL


def wanted_of(terms: Iterable[str], start: int | None = None, end: int | None = None) -> Wanted:
    """Read the terms of a filter, as TERMS says; a ValueError says what is wrong."""
    ids: set[Id] = set()
    found: dict[str, list[str]] = {"reason": [], "topic": [], "point": []}
    terms = list(terms)
    if not terms and start is None and end is None:
        raise ValueError(f"found nothing; allowed: {TERMS}")
    for term in terms:
        key, given, text = term.partition("=")
        if not given:
            key, text = ("id" if _ID.fullmatch(term) else "reason"), term
        if term == ALL:
            continue
        if key == "id" and (match := _ID.fullmatch(text)):
            ids.add((int(match[1]), int(match[2])))
        elif (key == "reason" and text in KNOWN) or (key in ("topic", "point") and text):
            found[key].append(text)
        else:
            hint = f" {near}" if key == "reason" and (near := did_you_mean(text, KNOWN)) else ""
            raise ValueError(f"found {term!r}; allowed: {TERMS}.{hint}")
    return Wanted(frozenset(ids), tuple(found["reason"]), tuple(found["topic"]), tuple(found["point"]), start, end)


def _on(pattern: str, topic: str) -> bool:
    if any(sign in pattern for sign in "*?["):
        return fnmatchcase(topic, pattern)
    filter = _filter(pattern)
    return topic == pattern if filter is None else filter.match(topic) is not None


@lru_cache(maxsize=64)
def _filter(pattern: str) -> TopicFilter | None:
    try:
        return parse_filter(pattern)
    except ValueError:
        return None


def taken_before(journal: JournalReader, known: Iterable[int], cursor: int) -> dict[Id, Entry]:
    """The records that were taken in, and the entries that did: those `known` from the audit trail up to `cursor`, and those after it."""
    taken: dict[Id, Entry] = {}
    entries = (entry for seq in known for entry in journal.entries(seq - 1, seq))
    for source in (entries, journal.entries(cursor, kinds=(INGEST,))):
        for entry in source:
            note = ingest_body(entry).readmission
            if note is not None:
                taken.update({(seq, index): entry for seq, index, _ in note.records})
    return taken


def records(journal: JournalReader, wanted: Wanted, taken: Iterable[Id], after: int = 0, upto: int | None = None) -> Iterator[Record]:
    """The wanted records of the entries after `after`, up to and with `upto`, in journal order."""
    gone = set(taken)
    for entry in journal.entries(after, upto, (INGEST,)):
        for index, piece in enumerate(ingest_body(entry).quarantine):
            record = Record(entry.seq, index, entry.at, piece, (entry.seq, index) in gone)
            if wanted(record):
                yield record


def chunks(found: Iterable[Record], count: int, size_bytes: int) -> Iterator[list[Record]]:
    """Records in lists of at most `count` and about `size_bytes` of payload."""
    some: list[Record] = []
    held = 0
    for record in found:
        some.append(record)
        held += len(record.piece.payload)
        if len(some) >= count or held >= size_bytes:
            yield some
            some, held = [], 0
    if some:
        yield some


def merged(parts: Iterable[Arrivals]) -> Arrivals:
    """One batch of several, each of one message; a row's `source` is then the place of its part."""
    whole = Arrivals()
    for place, part in enumerate(parts):
        first = len(whole.point)
        whole.point += part.point
        whole.time += part.time
        whole.value += part.value
        whole.quality += part.quality
        whole.sequence += part.sequence
        whole.source += [place] * len(part.point)
        whole.raw += [Raw(raw.row + first, raw.value, raw.unit, raw.count, raw.volume_l) for raw in part.raw]
        whole.states += [StateArrival(state.place, state.time, state.state, place) for state in part.states]
        whole.quarantine += part.quarantine
        whole.parts.update({row + first: payload for row, payload in part.parts.items()})
    return whole
