"""The records of excursions and the reviews of the audit trail, as the running service keeps them."""

from __future__ import annotations

from collections.abc import Callable

from alerts.alarms import Answer
from alerts.lifecycle.lifecycle import ACKNOWLEDGE
from alerts.record.store import StateStore, StateUnavailable
from alerts.remarks import Remarks
from dashboards.monitor import MonitorUnavailable
from dashboards.record_api import Acknowledged, Record, Trail
from ingest.journal.entries import RecordBody
from ingest.journal.journal import JournalUnavailable
from service.stepping import StepsEnded
from service.stored.readers import Readers
from service.stored.records import alarms_of


class Keeping:
    """Implements `Keeper`; `ask` journals an act and returns when the step that applied it is durable."""

    def __init__(self, store: Readers[StateStore], ask: Callable[[RecordBody], Answer]) -> None:
        self._store, self._ask = store, ask

    def record(self, excursion: str) -> Record | None:
        with self._store.borrowed() as store:
            rows = store.excursions("id = ?", (excursion,))
            if not rows:
                return None
            newest, remarks = max(rows, key=lambda row: row.revision), Remarks(store)
            (alarm,) = alarms_of(store, [excursion])
            said = store.rows(
                "select at, actor, reason from audit where object = ? and action = ? and at >= ? order by seq",
                (alarm, ACKNOWLEDGE, newest.raised),
            )
            return Record(newest, remarks.state(newest), tuple(remarks.of(excursion)), alarm, tuple(Acknowledged(*row) for row in said))

    def trail(self, upto: int | None = None) -> Trail | None:
        with self._store.borrowed() as store:
            which, values = ("seq = ?", (upto,)) if upto is not None else ("1", ())
            rows = store.rows(f"select seq, hash from audit where {which} order by seq desc limit 1", values)
            if not rows:
                return None
            reviewed = Remarks(store).reviewed()
            return Trail(*rows[0], *(reviewed or (0, "", None)))

    def keep(self, body: RecordBody) -> Answer:
        try:
            return self._ask(body)
        except TimeoutError as error:
            raise MonitorUnavailable("No step confirmed it in time; it may still be recorded. Look before you try again.") from error
        except StepsEnded as error:
            raise MonitorUnavailable("The service is stopping: try again when it runs.") from error
        except (JournalUnavailable, StateUnavailable) as error:
            raise MonitorUnavailable(f"It could not be recorded: {error}. Look at the disk that holds data_dir, then try again.") from error
