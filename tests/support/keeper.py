"""A keeper of excursion records without a journal: each act counts at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from alerts.alarms import Answer
from alerts.remarks import ASSESS, ASSESSED, CLOSE, CLOSED, NEW, OPEN, REOPEN, WORDS, Remark
from dashboards.record_api import Record, Trail
from ingest.journal.entries import RecordBody
from rules.excursion import Excursion

AFTER = {ASSESS: ASSESSED, CLOSE: CLOSED, REOPEN: ASSESSED}


class FakeKeeper:
    """Implements dashboards.record_api.Keeper for these excursions."""

    def __init__(self, excursions: Callable[[], Sequence[Excursion]], now: Callable[[], int]) -> None:
        self._excursions, self._now = excursions, now
        self.remarks: list[Remark] = []
        self.alarms: dict[str, str] = {}

    def record(self, excursion: str) -> Record | None:
        found = next((row for row in self._excursions() if row.id == excursion), None)
        if found is None:
            return None
        mine = tuple(remark for remark in self.remarks if remark.excursion == excursion)
        return Record(found, mine[-1].state if mine else OPEN if found.open else NEW, mine, self.alarms.get(excursion, ""))

    def trail(self, upto: int | None = None) -> Trail | None:
        return Trail(2, bytes(32))

    def keep(self, body: RecordBody) -> Answer:
        record = self.record(body.target)
        if record is None:
            return Answer("unknown", body.target)
        state = AFTER.get(body.action, record.state)
        cause, impact, disposition, deviation, comment = (body.words.get(name, "") for name in WORDS)
        said = (body.by, body.action, cause, impact, disposition, deviation, comment, body.meaning, body.digest)
        self.remarks.append(Remark(len(self.remarks) + 1, self._now(), body.target, *said, record.excursion.revision, state))
        return Answer("accepted", body.target, body.by, self._now())
