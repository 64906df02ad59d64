"""From messages to one durable entry: decode, admit, append, and only then is the batch acknowledged."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np
from msgspec import structs
from numpy.typing import NDArray

from facility.reading import GOOD, Readings, quality_name
from facility.site import Facility
from facility.sources.source import Source
from facility.times import format_time
from ingest.admission.admission import CONFLICT, DUPLICATE, REASONS, STORED, Admission
from ingest.admission.prepared import Prepared
from ingest.admission.readmission import READMITTED, Outcome, Readmitted, Record, Wanted, merged, outcome_of
from ingest.arrivals import Arrivals, Quarantined, Raw
from ingest.decode import Decoder
from ingest.journal.entries import (
    INGEST,
    SOURCE,
    IngestBody,
    LinkBody,
    ReadmissionNote,
    SayingNote,
    SourceBody,
    State,
    decode,
    encode,
    ingest_body,
    readings_of,
)  # fmt: skip
from ingest.journal.journal import Entry, Journal, JournalUnavailable
from ingest.lives import Lives
from ingest.message import Message
from ingest.mqtt.session import LinkEvent
from ingest.series.series import SeriesReader
from ingest.sparkplug.host import Host
from ingest.sums import OWN_READINGS as OWN_READINGS
from ingest.sums import Sums as Sums
from ingest.tally import Rows, Tally

STATE_CONFLICT = "conflict"
CONSOLE = "console"
"""The origin of a room's state that a person gave."""
RECOVERED = "recovered"
"""The origin of what a restore found in the historian."""
TURN_AT = 65_536
"""So many confirmed readings are remembered per generation for look-ups: about 16 MB each."""


class Intake:
    """The sink of the session; one thread calls it, but any may readmit."""

    def __init__(self, journal: Journal, series: SeriesReader, now_ns: Callable[[], int]) -> None:
        self._journal = journal
        self._series = series
        self._now_ns = now_ns
        self._reader = journal.reader()
        self._states = {(place, time): state for place, states in series.states().items() for time, state in states}
        self._admission = Admission(0, series.newest(series.size()), self._written)
        self._decoder: Decoder | None = None
        self._turned = 0
        self._doubtful = False
        self._lock = threading.Lock()
        self.sums = Sums()
        self.tally = Tally()
        self.cursor = 0
        self.host: Host | None = None
        self.appended: Callable[[], None] = lambda: None

    def configure(
        self,
        facility: Facility,
        number_of: Mapping[str, int],
        accept_simulated: bool,
        sources: Sequence[Source] = (),
        host: Host | None = None,
    ) -> None:
        """Take a configuration into force for what arrives from now on; with a `host` where a source speaks Sparkplug B."""
        self.reconfigured(Prepared.of(facility, number_of, accept_simulated, sources, host))

    def reconfigured(self, prepared: Prepared, append: Callable[[], Entry] | None = None) -> Entry | None:
        """Have a configuration take force with the entry that `append` makes, for all that comes after it; when that raises, it did not."""
        with self._lock:
            entry = append() if append is not None else None
            if self._decoder is not None:
                prepared.decoder.stamped_ns = self._decoder.stamped_ns
            self.host, self._decoder, self._new_decoder = prepared.host, prepared.decoder, prepared.new_decoder
            self._admission.limits_of(prepared.points)
            self._ids = prepared.ids
            return entry

    @property
    def known_lost(self) -> int:
        """Numbers that sources skipped since the start: of readings, and of messages of edge nodes."""
        return self.tally.known_lost + (self.host.lost if self.host is not None else 0)

    def recall(self, sums: Sums, cursor: int, lives: Lives | None = None) -> None:
        """Take up where the journal ends: `sums` and `lives` as of entry `cursor`, then all that these or the series do not have."""
        self.sums = sums
        written = self._series.cursor()
        self.tally.recall(self._series.last())
        for entry in self._reader.entries(min(cursor, written), kinds=(INGEST,)):
            body = ingest_body(entry)
            if entry.seq > cursor:
                self.sums.add(entry, body)
            if entry.seq > written:
                readings = readings_of(entry, body)
                self._admission.recall(readings)
                self.tally.recall(readings)
                self._states.update({(state.place, state.time): state.state for state in body.states})
        self._turned = self.cursor = self._journal.head.seq
        if self.host is not None:
            lives = Lives() if lives is None else lives
            for entry in self._reader.entries(cursor, kinds=(SOURCE,)):
                event = decode(entry)
                assert isinstance(event, SourceBody)
                lives.add(event)
            self.host.recall(lives)

    def accept(self, messages: Sequence[Message], heard_ns: int, origin: str = "") -> None:
        """Make the batch durable; raises JournalUnavailable, and then nothing of it was stored.

        `origin` says how it came, empty for over MQTT.
        """
        assert self._decoder is not None, "configure() comes first"
        with self._lock:
            if self._doubtful:
                self._recall_after_failure()
            received = max(self._now_ns(), self._journal.head.at)
            if self.host is not None:
                self.host.begin()
            arrivals = self._decoder.decode(messages, max(received, self._decoder.stamped_ns + 1))
            batch, body = self._admitted(arrivals, messages, received)
            if origin:
                body = structs.replace(body, origin=origin)
            if body.received:  # what was passed over, or is a death only, leaves no readings
                self._commit(batch, body, received, heard_ns)
            if self.host is not None:
                for said in self.host.said:  # after the readings of the batch: it is how the sources stand at its end
                    self._journal.append(SOURCE, encode(said), received, heard_ns)
                self.host.confirm()
            self.tally.add(messages, batch, sum(arrivals.ignored_keys.values()), received)
        self.appended()

    def measure(self, values: Collection[tuple[int, float]], at: int | Sequence[int], heard_ns: int) -> None:
        """Make durable what the service measured of itself: (point number, value) at `at`, int ns UTC; raises JournalUnavailable."""
        with self._lock:
            if self._doubtful:
                self._recall_after_failure()
            received = max(self._now_ns(), self._journal.head.at)
            point, time = np.array([number for number, _ in values], np.uint32), np.full(len(values), at, np.int64)
            value, good = np.array([value for _, value in values], np.float64), np.full(len(values), GOOD, np.uint8)
            verdict, quality = self._admission.admit(point, time, value, good, np.full(len(values), received))
            stored = verdict == STORED  # a clock that was set back may have measured at that very time before
            body = IngestBody(
                received=int(np.count_nonzero(stored)),
                duplicates=0,
                point=point[stored].astype("<u4").tobytes(),
                time=time[stored].astype("<i8").tobytes(),
                value=value[stored].astype("<f8").tobytes(),
                quality=quality[stored].tobytes(),
                sequence=b"",
                raw=[],
                states=[],
                quarantine=[],
                origin=OWN_READINGS,
            )
            if body.received:
                self._commit(Rows(point, time, np.full(len(point), -1), stored), body, received, heard_ns)
        self.appended()

    def readmit(
        self, found: Sequence[Record], wanted: Wanted, note: ReadmissionNote, heard_ns: int | None, dry_run: bool = False
    ) -> Readmitted:
        """Put records through admission again, as late data, and make durable what is taken in; raises JournalUnavailable.

        A record of which nothing can be taken in stays where it is. `note` says who, why and by which filter; the records are added.
        """
        assert self._decoder is not None, "configure() comes first"
        with self._lock:
            if self._doubtful:
                self._recall_after_failure()
            decoder = self._new_decoder()  # its times of reception are of those days
            parts = []
            for record in found:
                message = Message(record.piece.topic, record.piece.payload)
                arrivals = decoder.decode([message], record.received_ns)
                ids = [self._ids[number] for number in arrivals.point]
                if wanted.gives(record, ids):
                    parts.append((record, arrivals, tuple(dict.fromkeys(ids))))
            outcomes = self._tried(parts)
            taken = [(record, part) for (record, part, _), outcome in zip(parts, outcomes, strict=True) if outcome.taken_in]
            if dry_run or not taken:
                return Readmitted(tuple(outcomes))
            messages = [Message(record.piece.topic, record.piece.payload) for record, _ in taken]
            arrived = np.array([record.at for record, _ in taken], np.int64)
            received = max(self._now_ns(), self._journal.head.at)
            batch, body = self._admitted(merged(part for _, part in taken), messages, received, arrived)
            note = structs.replace(note, records=[(*record.id, record.piece.reason) for record, _ in taken if not record.taken])
            body = structs.replace(body, origin=READMITTED, readmission=note)
            entry = self._commit(batch, body, received, heard_ns)
        self.appended()
        stored = entry.readings + len(body.states)
        return Readmitted(tuple(outcomes), (entry.seq,), stored, body.duplicates, len(body.quarantine))

    def _tried(self, parts: Sequence[tuple[Record, Arrivals, tuple[str, ...]]]) -> list[Outcome]:
        """What admission would make of each record, in this order."""
        whole = merged(part for _, part, _ in parts)
        arrived = np.array([parts[place][0].at for place in whole.source], np.int64)
        verdict, _ = self._admit(whole, arrived)
        rows: list[list[int]] = [[] for _ in parts]
        for place, found in zip(whole.source, verdict.tolist(), strict=True):
            rows[place].append(found)
        known = dict(self._states)
        for state in whole.states:
            before = known.setdefault((state.place, state.time), state.state)
            new = (state.place, state.time) not in self._states
            rows[state.message].append(CONFLICT if before != state.state else STORED if new else DUPLICATE)
        return [outcome_of(record, part, ids, verdicts) for (record, part, ids), verdicts in zip(parts, rows, strict=True)]

    def _commit(self, batch: Rows, body: IngestBody, received: int, heard_ns: int | None) -> Entry:
        """Append the entry; then, and only then, what it decided is in force."""
        entry = self._append(body, received, heard_ns, int(np.count_nonzero(batch.stored)))
        self._admission.confirm()
        self._took(entry, body)
        if self._admission.remembered > TURN_AT and self._series.cursor() >= self._turned:
            self._admission.turn()
            self._turned = entry.seq
        return entry

    def _append(self, body: IngestBody, received: int, heard_ns: int | None, stored: int) -> Entry:
        try:
            return self._journal.append(INGEST, encode(body), received, heard_ns, stored)
        except JournalUnavailable:
            self._doubtful = True
            raise

    def _took(self, entry: Entry, body: IngestBody) -> None:
        self._states.update({(state.place, state.time): state.state for state in body.states})
        sums = self.sums.copy()  # other threads read them, and must see all of a batch or nothing
        sums.add(entry, body)
        self.sums = sums
        self.cursor = entry.seq

    def say(self, place: str, state: str, note: SayingNote, heard_ns: int | None, at: int | None = None) -> Entry | None:
        """Make durable which state a person gave a place, from `at` (int ns UTC; None: now) on; raises JournalUnavailable.

        None where a state for that very time is known already: it stands.
        """
        with self._lock:
            if self._doubtful:
                self._recall_after_failure()
            received = max(self._now_ns(), self._journal.head.at)
            time = received if at is None else at
            if at is not None and (place, time) in self._states:
                return None
            while (place, time) in self._states:
                time += 1
            body = IngestBody(1, 0, b"", b"", b"", b"", b"", [], [State(place, time, state)], [], CONSOLE, None, note)
            entry = self._append(body, received, heard_ns, 0)
            self._took(entry, body)
        self.appended()
        return entry

    def _recall_after_failure(self) -> None:
        """An entry whose commit was said to have failed may be there all the same: the journal decides, not we."""
        sums = self.sums.copy()
        for entry in self._reader.entries(self.cursor, kinds=(INGEST,)):
            body = ingest_body(entry)
            sums.add(entry, body)
            readings = readings_of(entry, body)
            self._admission.recall(readings)
            self.tally.recall(readings)
            self._states.update({(state.place, state.time): state.state for state in body.states})
            self.cursor = entry.seq
        self.sums = sums
        self._doubtful = False

    def link(self, event: LinkEvent, heard_ns: int) -> None:
        """Journal what happened to the link."""
        self._journal.append("link", encode(LinkBody(event.kind, event.detail)), self._now_ns(), heard_ns)
        if event.kind == "drained" and self.host is not None:
            self.host.drained()
        self.appended()

    def _admit(self, arrivals: Arrivals, received: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        point, quality = np.array(arrivals.point, np.uint32), np.array(arrivals.quality, np.uint8)
        return self._admission.admit(point, np.array(arrivals.time, np.int64), np.array(arrivals.value, np.float64), quality, received)

    def _admitted(
        self, arrivals: Arrivals, messages: Sequence[Message], received: int, arrived: NDArray[np.int64] | None = None
    ) -> tuple[Rows, IngestBody]:
        """What admission makes of a batch; `arrived` is when each message first came, where that was not now."""
        point = np.array(arrivals.point, np.uint32)
        time = np.array(arrivals.time, np.int64)
        value = np.array(arrivals.value, np.float64)
        quality = np.array(arrivals.quality, np.uint8)
        sequence = np.array(arrivals.sequence, np.int64)
        came = np.full(len(point), received) if arrived is None else arrived[np.array(arrivals.source, np.int64)]
        verdict, admitted = self._admission.admit(point, time, value, quality, came)
        quarantine = list(arrivals.quarantine)
        duplicates = int(np.count_nonzero(verdict == DUPLICATE))
        refused = np.flatnonzero(verdict > DUPLICATE).tolist()
        if refused:
            raw_of, shared = {raw.row: raw for raw in arrivals.raw}, Counter(arrivals.source)
        for row in refused:
            payload = None if shared[arrivals.source[row]] == 1 else _piece(arrivals, row, raw_of.get(row))
            quarantine.append(self._refused(arrivals, messages, row, payload, REASONS[int(verdict[row])], int(came[row])))
        stored = verdict == STORED
        raw = arrivals.raw
        if raw and not stored.all():
            rank = np.cumsum(stored) - 1
            raw = [Raw(int(rank[r.row]), r.value, r.unit, r.count, r.volume_l) for r in raw if stored[r.row]]
        states = []
        seen: dict[tuple[str, int], str] = {}
        for state in arrivals.states:
            key = (state.place, state.time)
            known = seen.get(key, self._states.get(key))
            if known is None:
                seen[key] = state.state
                states.append(State(state.place, state.time, state.state))
            elif known == state.state:
                duplicates += 1
            else:
                message = messages[state.message]
                detail = f"{state.place} was already said to be {known} at {format_time(state.time)}"
                quarantine.append(Quarantined(message.topic, message.payload, STATE_CONFLICT, detail))
        kept = sequence[stored]
        body = IngestBody(
            received=arrivals.readings_received,
            duplicates=duplicates,
            point=point[stored].astype("<u4").tobytes(),
            time=time[stored].astype("<i8").tobytes(),
            value=value[stored].astype("<f8").tobytes(),
            quality=admitted[stored].tobytes(),
            sequence=kept.astype("<i8").tobytes() if (kept >= 0).any() else b"",
            raw=raw,
            states=states,
            quarantine=quarantine,
        )
        return Rows(point, time, sequence, stored), body

    def _refused(
        self, arrivals: Arrivals, messages: Sequence[Message], row: int, element: bytes | None, reason: str, received: int
    ) -> Quarantined:
        """A reading that was understood but not admitted: whole, as sent where it came alone, else as the element it was."""
        message = messages[arrivals.source[row]]
        payload = message.payload if element is None else element
        point = self._ids[arrivals.point[row]]
        detail = f"{point} at {format_time(arrivals.time[row])}, received {format_time(received)}"
        return Quarantined(message.topic, payload, reason, detail, point)

    def _written(self, point: int, time: int) -> tuple[float, int] | None:
        found: Readings = self._series.read(point, time, time + 1)
        return (float(found.value[0]), int(found.quality[0])) if len(found) else None


def _piece(arrivals: Arrivals, row: int, raw: Raw | None) -> bytes:
    """Of a message with several readings what holds this one."""
    return arrivals.parts[row]() if row in arrivals.parts else _element(arrivals, row, raw)


def _element(arrivals: Arrivals, row: int, raw: Raw | None) -> bytes:
    value: float | str | None = arrivals.value[row]
    element: dict[str, object] = {"time": format_time(arrivals.time[row])}
    if raw is not None and raw.count is not None:
        element |= {"count": raw.count, "volume_l": raw.volume_l}
    else:
        value = raw.value if raw is not None else value
        element["value"] = None if isinstance(value, float) and not np.isfinite(value) else value
    if raw is not None and raw.unit:
        element["unit"] = raw.unit
    if arrivals.quality[row] != GOOD:
        element["quality"] = quality_name(arrivals.quality[row])
    if arrivals.sequence[row] >= 0:
        element["seq"] = arrivals.sequence[row]
    return json.dumps(element).encode()
