"""What the pages, the API and the metrics need to know of the running service, as a protocol.

All times are int ns UTC. The methods may be called from any thread; they block for as long as a look-up takes and return values that
nobody changes afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from alerts.lifecycle.kpis import Kpis
from dashboards.counts import Counts
from dashboards.views import (
    AlarmQuery,
    AlarmView,
    AuditEntry,
    AuditQuery,
    Columns,
    ConfigurationView,
    ExcursionQuery,
    Health,
    Identity,
    Page,
    PlaceView,
    PointView,
)
from ingest.admission.readmission import Readmitted, Wanted
from rules.excursion import Excursion

if TYPE_CHECKING:
    from dashboards.events import EventHub
    from dashboards.record_api import Keeper
    from dashboards.standing import StandingView
    from dashboards.trend import Trends

ACCEPTED, ALREADY, UNKNOWN, CLOSED, REFUSED = "accepted", "already", "unknown", "closed", "refused"


class MonitorUnavailable(Exception):
    """The service cannot answer or act now; the text says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class ActAsked:
    """What a person does to an alarm, a point or a place: `action` is one of alerts.lifecycle's or `occupancy`, then with a `state`.

    `until` is int ns UTC; `meaning` says what for it is signed, empty where it is not.
    """

    action: str
    target: str
    by: str
    reason: str = ""
    until: int | None = None
    meaning: str = ""
    state: str = ""


@dataclass(frozen=True, slots=True)
class ActAnswered:
    """What became of it: `outcome` is accepted, already (`by` and `at` are of who was faster), refused (`why`), or unknown.

    `number` is that of the alarms of a group that were acknowledged.
    """

    outcome: str
    by: str = ""
    at: int | None = None
    why: str = ""
    number: int = 0


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """What became of an acknowledgement.

    `outcome`: `accepted`; `already` (somebody was faster: `by`, `at`, `comment` are theirs); `closed` (the alarm was done without one);
    `unknown` (no such alarm, `alarm` is None).
    """

    outcome: str
    alarm: AlarmView | None = None
    by: str = ""
    at: int | None = None
    comment: str = ""


@dataclass(frozen=True, slots=True)
class ApplyAsked:
    """Put the files of the service's folder in force: who, why, for which change request.

    With `expect`, only when that is still their digest; `dry_run` only says what it would change. `meaning` is what `by` signs it for,
    who has given the password at `signed_at` (int ns UTC); empty where nobody signs.
    """

    by: str
    reason: str
    change: str = ""
    expect: str = ""
    dry_run: bool = False
    meaning: str = ""
    signed_at: int = 0


@dataclass(frozen=True, slots=True)
class ApplyAnswered:
    """What came of it: `result` is applied, unchanged, shown, refused, moved on or unsigned; `changes` are (what, old, new).

    `problems` say why the files were refused; `digest` is theirs, `config` the hash of what judges with them; `at` (int ns UTC) the moment
    when they took force. `signature`: whether that takes one; `signed` is the digest of the one given.
    """

    result: str
    digest: str = ""
    config: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()
    problems: tuple[str, ...] = ()
    at: int | None = None
    signature: bool = False
    signed: str = ""


APPLIED, UNCHANGED, SHOWN, REFUSED, MOVED_ON, UNSIGNED = "applied", "unchanged", "shown", "refused", "moved on", "unsigned"


class Monitor(Protocol):
    """The running service as its pages see it. Methods raise MonitorUnavailable when they cannot answer."""

    @property
    def identity(self) -> Identity: ...

    @property
    def keeper(self) -> Keeper:
        """The records of excursions."""

    @property
    def events(self) -> EventHub:
        """Where the service publishes and browsers listen."""

    @property
    def trends(self) -> Trends: ...

    def now(self) -> int:
        """The service's clock, ns UTC."""

    def places(self) -> Sequence[PlaceView]:
        """Rooms and zones, each room before its zones."""

    def points(self) -> Sequence[PointView]:
        """All points that are not retired, in the order of the facility file."""

    def readings(self, point: str, start: int | None, end: int | None, limit: int) -> Columns | None:
        """The first `limit` stored readings with start <= time < end; None when there is no such point."""

    def excursions(self, query: ExcursionQuery, limit: int, cursor: str | None = None) -> Page[Excursion]:
        """Sorted by onset, rule, point. A ValueError for a cursor that this method did not give."""

    def alarms(self, query: AlarmQuery, limit: int, cursor: str | None = None) -> Page[AlarmView]:
        """Alarms as asked for, counted, the newest raised first. A ValueError for a foreign cursor."""

    def standing(self, limit: int) -> StandingView:
        """What stands, with the `limit` alarms that need a person first (dashboards.console.view.in_order)."""

    def alarm(self, alarm_id: str) -> AlarmView | None:
        """One alarm in whatever state."""

    def acknowledge(self, alarm_id: str, *, by: str, comment: str) -> Acknowledgement:
        """Acknowledge for a named person; returns when it is durable and in the audit trail."""

    def kpis(self, start: int | None = None, end: int | None = None) -> Kpis:
        """Key figures of [start, end): of the last 30 days, or since the journal began."""

    def act(self, asked: ActAsked) -> ActAnswered:
        """Shelve, unshelve, reset; out of service and back; a room's state. Returns when it is durable."""

    def audit(self, start: int | None, end: int | None, limit: int, cursor: str | None = None) -> Page[AuditEntry]:
        """Entries with start <= at < end, the oldest first. A ValueError for a foreign cursor."""

    def trail(self, query: AuditQuery, limit: int, cursor: str | None = None) -> Page[AuditEntry]:
        """Entries as asked for, the oldest first unless otherwise. A ValueError for a foreign cursor."""

    def readmit(self, wanted: Wanted, *, by: str, reason: str, dry_run: bool = False) -> Readmitted:
        """Take records in quarantine in again; returns when that is durable."""

    def apply(self, asked: ApplyAsked) -> ApplyAnswered:
        """Put the files in force; returns when that is durable and done."""

    def configurations(self) -> Sequence[ConfigurationView]:
        """Every configuration that took force, the oldest first."""

    def health(self) -> Health: ...

    def counts(self) -> Counts:
        """Never raises, also when what is stored cannot be read."""
