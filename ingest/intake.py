"""From messages to one durable entry: decode, admit, append, and only then is the batch acknowledged."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from facility.reading import GOOD, Readings, quality_name
from facility.site import Facility
from facility.times import format_time
from ingest.admission import DUPLICATE, REASONS, STORED, Admission
from ingest.arrivals import Arrivals, Quarantined, Raw
from ingest.decode import Decoder
from ingest.entries import INGEST, IngestBody, LinkBody, State, encode, ingest_body, readings_of
from ingest.journal import Entry, Journal, JournalUnavailable
from ingest.message import Message
from ingest.series import SeriesReader
from ingest.session import LinkEvent

STATE_CONFLICT = "conflict"
TURN_AT = 65_536
"""So many confirmed readings are remembered per generation for look-ups: about 16 MB each."""


@dataclass(slots=True)
class Sums:
    """Conservation since the journal's first entry: received = stored + duplicates + quarantined, always."""

    received: int = 0
    stored: int = 0
    duplicates: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry, body: IngestBody) -> None:
        self.received += body.received
        self.stored += entry.readings + len(body.states)
        self.duplicates += body.duplicates
        self.quarantined.update(piece.reason for piece in body.quarantine)

    @property
    def lost(self) -> int:
        """What is missing from the sum: 0, or something is wrong with the pipeline itself."""
        return self.received - self.stored - self.duplicates - self.quarantined.total()

    def copy(self) -> Sums:
        return Sums(self.received, self.stored, self.duplicates, Counter(self.quarantined))


class Intake:
    """The sink of the session; one thread calls it."""

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
        self.sums = Sums()
        self.cursor = 0
        self.appended: Callable[[], None] = lambda: None

    def configure(self, facility: Facility, number_of: Mapping[str, int], accept_simulated: bool) -> None:
        """Take a configuration into force for what arrives from now on."""
        self._decoder = Decoder(facility, number_of, accept_simulated)
        self._admission.limits_of({number_of[point.id]: point for point in facility.points})
        self._ids = {number: point for point, number in number_of.items()}

    def recall(self, sums: Sums, cursor: int) -> None:
        """Take up where the journal ends: `sums` as of entry `cursor`, then every entry that the sums or the series do not have."""
        self.sums = sums
        written = self._series.cursor()
        for entry in self._reader.entries(min(cursor, written), kinds=(INGEST,)):
            body = ingest_body(entry)
            if entry.seq > cursor:
                self.sums.add(entry, body)
            if entry.seq > written:
                self._admission.recall(readings_of(entry, body))
                self._states.update({(state.place, state.time): state.state for state in body.states})
        self._turned = self.cursor = self._journal.head.seq

    def accept(self, messages: Sequence[Message], heard_ns: int) -> None:
        """Make the batch durable; raises JournalUnavailable, and then nothing of it was stored."""
        assert self._decoder is not None, "configure() comes first"
        if self._doubtful:
            self._recall_after_failure()
        arrivals = self._decoder.decode(messages)
        received = max(self._now_ns(), self._journal.head.at)
        readings, body = self._admitted(arrivals, messages, received)
        try:
            entry = self._journal.append(INGEST, encode(body), received, heard_ns, readings)
        except JournalUnavailable:
            self._doubtful = True
            raise
        self._admission.confirm()
        self._states.update({(state.place, state.time): state.state for state in body.states})
        sums = self.sums.copy()  # other threads read them, and must see all of a batch or nothing
        sums.add(entry, body)
        self.sums = sums
        self.cursor = entry.seq
        if self._admission.remembered > TURN_AT and self._series.cursor() >= self._turned:
            self._admission.turn()
            self._turned = entry.seq
        self.appended()

    def _recall_after_failure(self) -> None:
        """An entry whose commit was said to have failed may be there all the same: the journal decides, not we."""
        sums = self.sums.copy()
        for entry in self._reader.entries(self.cursor, kinds=(INGEST,)):
            body = ingest_body(entry)
            sums.add(entry, body)
            self._admission.recall(readings_of(entry, body))
            self._states.update({(state.place, state.time): state.state for state in body.states})
            self.cursor = entry.seq
        self.sums = sums
        self._doubtful = False

    def link(self, event: LinkEvent, heard_ns: int) -> None:
        """Journal what happened to the link."""
        self._journal.append("link", encode(LinkBody(event.kind, event.detail)), self._now_ns(), heard_ns)
        self.appended()

    def _admitted(self, arrivals: Arrivals, messages: Sequence[Message], received: int) -> tuple[int, IngestBody]:
        point = np.array(arrivals.point, np.uint32)
        time = np.array(arrivals.time, np.int64)
        value = np.array(arrivals.value, np.float64)
        quality = np.array(arrivals.quality, np.uint8)
        sequence = np.array(arrivals.sequence, np.int64)
        verdict, admitted = self._admission.admit(point, time, value, quality, np.full(len(point), received))
        quarantine = list(arrivals.quarantine)
        duplicates = int(np.count_nonzero(verdict == DUPLICATE))
        refused = np.flatnonzero(verdict > DUPLICATE).tolist()
        if refused:
            raw_of, shared = {raw.row: raw for raw in arrivals.raw}, Counter(arrivals.source)
        for row in refused:
            payload = None if shared[arrivals.source[row]] == 1 else _element(arrivals, row, raw_of.get(row))
            quarantine.append(self._refused(arrivals, messages, row, payload, REASONS[int(verdict[row])], received))
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
        sequence = sequence[stored]
        body = IngestBody(
            received=arrivals.readings_received,
            duplicates=duplicates,
            point=point[stored].astype("<u4").tobytes(),
            time=time[stored].astype("<i8").tobytes(),
            value=value[stored].astype("<f8").tobytes(),
            quality=admitted[stored].tobytes(),
            sequence=sequence.astype("<i8").tobytes() if (sequence >= 0).any() else b"",
            raw=raw,
            states=states,
            quarantine=quarantine,
        )
        return int(np.count_nonzero(stored)), body

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
