"""The running service as its pages see it: dashboards/monitor.py's `Monitor`, from what is journalled and what the steps bring."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from msgspec import structs

from alerts.alarms import Answer
from alerts.escalation.drills import TESTS
from alerts.judging.derivation import ReadingsOf, newest_derived
from alerts.judging.outages import outages_of
from alerts.ledger import Applied
from alerts.lifecycle.flags import act_digest
from alerts.lifecycle.kpis import SPAN_NS, Kpis, kpis_on_record
from alerts.lifecycle.lifecycle import ACKNOWLEDGE, Alarm
from alerts.lifecycle.surroundings import SAID
from alerts.pages.page import GROUPS
from alerts.record.store import StateStore, StateUnavailable
from dashboards import monitor as m
from dashboards import views as v
from dashboards.counts import Counts, Sums, TargetCounts
from dashboards.events import EventHub
from dashboards.standing import StandingView
from facility.reading import Readings, quality_name
from facility.site import Place
from ingest.admission.readmission import Readmitted, Wanted
from ingest.journal.entries import ActionBody, RecordBody
from ingest.journal.journal import JournalReader, JournalUnavailable
from ingest.series.series import SeriesReader, SeriesUnavailable
from rules.excursion import Excursion
from service.chronicle import Chronicle
from service.clock import Clock
from service.configuration.configuration import Configuration
from service.console.keeping import Keeping
from service.console.shown import Shown
from service.console.trends import StoredTrends
from service.duty.desk import DutyDesk
from service.health.health import health_of
from service.health.machine import machine_of
from service.health.vitals import Vitals
from service.stepping import StepsEnded
from service.stored import records
from service.stored.readers import Readers
from service.stored.readings import StoredReadings
from service.verified import verdict_of

TALLIES_EVERY_NS = 2 * 10**9
"""How old the counts of alarms and pages may be: /metrics and every open page ask for them."""
KPIS_EVERY_NS = 60 * 10**9
"""Key figures over thirty days change slowly, and are read from all that was told in them."""

log = logging.getLogger(__name__)


class ServiceMonitor:
    """Implements `Monitor`. The step thread calls `after_step`; every other method may be called from any thread.

    `number_of` gives each point's number in the journal's register; `store`, `series` and `journal` open readers; `act` journals what a
    person did, `keep` what goes on an excursion's record; both return when the step that applied it is durable; `occupy` gives a place a
    state; `apply` puts the files in force; `vitals` tells how the threads fare, without waiting; `waiting` says which files
    differ from what is in force, empty when none does.
    """

    def __init__(
        self,
        *,
        configuration: Configuration,
        number_of: Mapping[str, int],
        clock: Clock,
        store: Callable[[], StateStore],
        series: Callable[[], SeriesReader],
        journal: Callable[[], JournalReader],
        act: Callable[[ActionBody], Answer],
        keep: Callable[[RecordBody], Answer],
        readmit: Callable[[Wanted, str, str, bool], Readmitted],
        apply: Callable[[m.ApplyAsked], m.ApplyAnswered],
        vitals: Callable[[], Vitals],
        occupy: Callable[[Place, str, str, str, str, int | None, int], Answer],
        waiting: Callable[[], str] = lambda: "",
        version: str = "",
    ) -> None:
        self._clock, self._act, self._readmit, self._apply, self._vitals = clock, act, readmit, apply, vitals
        self._occupy, self._waiting, self._version = occupy, waiting, version
        self._data_dir = configuration.settings.data_dir
        self.events = EventHub(f"{clock.now_ns():x}", lambda point, value: self._shown.text_of(point, value))
        self._store, self._series, self._journal = Readers(store), Readers(series), Readers(journal)
        self.keeper = Keeping(self._store, keep)
        self._stored = StoredReadings(self._series, self._journal)
        self._shown = self.prepared(configuration, number_of)
        self.desk = DutyDesk(self._store, act, lambda: self._shown.roster, clock, lambda *found: self._shown.subject(*found))
        self._chronicle = Chronicle(self._store, self._journal)
        self.trends = StoredTrends(self._stored, lambda: self._shown, self._chronicle)
        self._tallies: tuple[int, records.Tallies | None] | None = None
        self._kpis: tuple[int, Kpis] | None = None
        self._adrift = ""
        self._begin(self._shown)

    @property
    def identity(self) -> v.Identity:
        return self._shown.identity

    def prepared(self, configuration: Configuration, number_of: Mapping[str, int]) -> Shown:
        """A configuration read so far that it can be shown in a moment."""
        return Shown(configuration, number_of, self._version, self.events, self._store)

    def show(self, shown: Shown) -> Shown:
        """Show another configuration from now on; called by the step thread. Returns the one before: its announcer is to be closed."""
        before = self._shown
        try:
            self._begin(shown)
        except Exception as error:  # as in after_step: the next step tries again
            log.exception("the console shows old values; trying again with the next step")
            self._adrift = str(error) or type(error).__name__
        self._shown = shown
        self.events.reload("another configuration is in force")
        return before

    def renew(self) -> None:
        """Read the files anew, from the path where they are."""
        for readers in (self._store, self._series, self._journal):
            readers.renew()

    def close(self) -> None:
        """Publish what steps brought, end the event streams, close the readers."""
        self._shown.announcer.close()
        self.events.close()
        for readers in (self._store, self._series, self._journal):
            readers.close()

    # The step thread

    def after_step(self, applied: Applied, at: int) -> None:
        """Show what a durable step brought, and have it published; `at` is its clock.

        Never raises and never waits: what is shown must not stop what judges.
        """
        try:
            if self._adrift:
                self._begin(self._shown)
                self._adrift = ""
            rows, excursions = self._shown.board.take(applied.readings, applied.excursions)
            self._shown.announcer.announce(rows, applied.alarms, excursions, at)
        except Exception as error:
            if not self._adrift:
                log.exception("the console shows old values; trying again with the next step")
            self._adrift = str(error) or type(error).__name__

    def _begin(self, shown: Shown) -> None:
        """Know the newest of everything, from what is stored."""
        readings = self._stored.newest()
        readings = Readings.concatenate([readings, *newest_derived(shown.plan, self._stored.first, readings)])
        with self._store.borrowed() as store:
            shown.board.fill(readings, records.open_excursions(store))

    def settle(self) -> None:
        """Wait until what the steps brought is published."""
        self._shown.announcer.settle()

    # What people and programs ask

    def now(self) -> int:
        return self._clock.now_ns()

    def places(self) -> Sequence[v.PlaceView]:
        return self._shown.places(self._stored.states(), self.now())

    def points(self) -> Sequence[v.PointView]:
        views = self._shown.points(self._stored.states(), self.now())
        with self._store.borrowed() as store:
            out = {one.point: v.OutOfService(one.since, one.until, one.by, one.reason) for one in outages_of(store, "over = 0")}
        return [replace(view, out_of_service=out[view.id]) if view.id in out else view for view in views] if out else views

    def readings(self, point: str, start: int | None, end: int | None, limit: int) -> v.Columns | None:
        number = self._shown.number_of.get(point)
        if number is None:
            return None
        found = ReadingsOf(self._stored.first, [(0, self._shown.plan)]).first(number, limit, start, end)
        known = self._shown.facility.point_by_id.get(point)
        quality = [quality_name(code) for code in found.quality.tolist()]
        unit = known.unit if known is not None else ""
        return v.Columns(unit, found.time.tolist(), found.value.tolist(), quality, found.received.tolist())

    def excursions(self, query: v.ExcursionQuery, limit: int, cursor: str | None = None) -> v.Page[Excursion]:
        with self._store.borrowed() as store:
            return records.excursions(store, query, limit, cursor)

    def alarms(self, query: v.AlarmQuery, limit: int, cursor: str | None = None) -> v.Page[v.AlarmView]:
        with self._store.borrowed() as store:
            page = records.alarms(store, query, limit, cursor)
        return v.Page(self._in_words(page.items), page.next, page.total)

    def standing(self, limit: int) -> StandingView:
        with self._store.borrowed() as store:
            found, groups = records.foremost(store, limit), records.groups_standing(store)
        total, waiting = sum(group.standing for group in groups), sum(group.waiting for group in groups)
        return StandingView(total, waiting, self._in_words(found), {group.id: group for group in groups if group.id})

    def _in_words(self, found: Iterable[tuple[Alarm, Excursion]]) -> tuple[v.AlarmView, ...]:
        return tuple(self._shown.words.alarm(alarm, excursion) for alarm, excursion in found)

    def alarm(self, alarm_id: str) -> v.AlarmView | None:
        with self._store.borrowed() as store:
            found = records.alarms_by_id(store, [alarm_id])
        return self._shown.words.alarm(*found[0]) if found else None

    def acknowledge(self, alarm_id: str, *, by: str, comment: str) -> m.Acknowledgement:
        if alarm_id.startswith((GROUPS, TESTS)):  # they are acknowledged by the same action, but not by this name
            return m.Acknowledgement(m.UNKNOWN)
        answer = self._done(ActionBody(ACKNOWLEDGE, alarm_id, by, comment))
        alarm = self.alarm(alarm_id)
        if answer.result == m.UNKNOWN or alarm is None:
            return m.Acknowledgement(m.UNKNOWN)
        if answer.result == m.ACCEPTED:
            return m.Acknowledgement(m.ACCEPTED, alarm, by, answer.at, comment)
        if not answer.by:
            return m.Acknowledgement(m.CLOSED, alarm)
        return m.Acknowledgement(m.ALREADY, alarm, answer.by, answer.at, alarm.comment)

    def kpis(self, start: int | None = None, end: int | None = None) -> Kpis:
        end = self._clock.now_ns() if end is None else end
        with self._store.borrowed() as store:
            begun = records.begun(store, end)
            return kpis_on_record(store, max(begun, end - SPAN_NS if start is None else start), end)

    def act(self, asked: m.ActAsked) -> m.ActAnswered:
        if asked.action != SAID:
            said = ActionBody(asked.action, asked.target, asked.by, asked.reason, asked.until, meaning=asked.meaning)
            answer = self._done(self._signed(said))
        else:
            place, now = self._shown.facility.place_by_id.get(asked.target), self.now()
            if place is None:
                return m.ActAnswered(m.UNKNOWN)
            before = next(view.occupancy for view in self.places() if view.id == place.id)
            with _told(asked.action):
                answer = self._occupy(place, before, asked.state, asked.by, asked.reason, asked.until, now)
        number = 0
        if asked.action == ACKNOWLEDGE and answer.result == m.ACCEPTED:
            with self._store.borrowed() as store:
                number = records.acknowledged_together(store, asked.target, asked.by, answer.at)
        return m.ActAnswered(answer.result, answer.by, answer.at, answer.why, number)

    def _signed(self, body: ActionBody) -> ActionBody:
        """What is signed, with the digest over it and over the alarm as it stands."""
        if not body.meaning:
            return body
        with self._store.borrowed() as store:
            found = records.alarms_by_id(store, [body.target])
        return structs.replace(body, digest=act_digest(found[0][0], body)) if found else body

    def _done(self, body: ActionBody) -> Answer:
        """Have an action journalled; returns when the step that applied it is durable."""
        with _told(body.action):
            return self._act(body)

    def audit(self, start: int | None, end: int | None, limit: int, cursor: str | None = None) -> v.Page[v.AuditEntry]:
        return self.trail(v.AuditQuery(start, end), limit, cursor)

    def trail(self, query: v.AuditQuery, limit: int, cursor: str | None = None) -> v.Page[v.AuditEntry]:
        with self._store.borrowed() as store:
            return records.audit(store, query, limit, cursor)

    def readmit(self, wanted: Wanted, *, by: str, reason: str, dry_run: bool = False) -> Readmitted:
        try:
            return self._readmit(wanted, by, reason, dry_run)
        except (JournalUnavailable, StateUnavailable) as error:
            raise m.MonitorUnavailable(str(error)) from error

    def apply(self, asked: m.ApplyAsked) -> m.ApplyAnswered:
        try:
            return self._apply(asked)
        except TimeoutError as error:
            raise m.MonitorUnavailable(
                "No step confirmed it in time; it may still take force. Look at `renrum history`, or what judges, before you try again."
            ) from error
        except StepsEnded as error:
            raise m.MonitorUnavailable("The service is stopping: try again when it runs, or is stopped.") from error
        except (JournalUnavailable, StateUnavailable, SeriesUnavailable) as error:
            raise m.MonitorUnavailable(f"The configuration did not take force: {error}. Look at the disk that holds data_dir.") from error

    def configurations(self) -> Sequence[v.ConfigurationView]:
        return self._chronicle.views()

    def health(self) -> v.Health:
        health = health_of(
            self._vitals(),
            now_ns=self._clock.monotonic_ns(),
            evaluate_every_ns=self._shown.evaluate_every_ns,
            config=self.identity.config,
            console_failure=self._adrift or self._shown.announcer.failure,
            waiting=self._waiting(),
        )
        return replace(health, verified=verdict_of(self._data_dir))

    def counts(self) -> Counts:
        vitals, tallies = self._vitals(), self._recent_tallies()
        sums = vitals.sums
        age_s = max(0, self._clock.monotonic_ns() - vitals.step_ended_ns) / 1e9 if vitals.steps.steps else None
        return Counts(
            sums=Sums(sums.received, sums.stored, sums.duplicates, dict(sums.quarantined), vitals.known_lost, sums.readmitted.total()),
            config=vitals.config,
            failing={
                "journal": bool(vitals.journal_failure),
                "steps": bool(vitals.step_failure),
                "series": bool(vitals.series_failure),
                "state": tallies is None,
                "console": bool(self._adrift or self._shown.announcer.failure),
            },
            threads=vitals.threads,
            link=vitals.link,
            ingest=vitals.ingest,
            journal=vitals.journal,
            steps=replace(vitals.steps, age_s=age_s),
            points=self._shown.board.by_state(),
            excursions_open=self._shown.board.open_by_level,
            alarms=None if tallies is None else tallies.alarms,
            kpis=self._recent_kpis(),
            pages=None if tallies is None else {target: TargetCounts() for target in self._shown.targets} | dict(tallies.pages),
            publish_to_page=vitals.publish_to_page,
            historian=vitals.historian,
            machine=machine_of(self._data_dir, self._clock.now_ns(), vitals.clock_steps),
        )

    def _recent_kpis(self) -> Kpis | None:
        """None while state.db cannot be read."""
        known, now = self._kpis, self._clock.monotonic_ns()
        if known is None or not 0 <= now - known[0] < KPIS_EVERY_NS:
            with suppress(m.MonitorUnavailable):
                self._kpis = known = (now, self.kpis())
        return None if known is None else known[1]

    def _recent_tallies(self) -> records.Tallies | None:
        """None while state.db cannot be read: the other counts are needed then more than ever."""
        known, now = self._tallies, self._clock.monotonic_ns()
        if known is not None and 0 <= now - known[0] < TALLIES_EVERY_NS:
            return known[1]
        found: records.Tallies | None = None
        with suppress(m.MonitorUnavailable), self._store.borrowed() as store:
            found = records.tallies(store, self._clock.now_ns())
        self._tallies = (now, found)
        return found


@contextmanager
def _told(action: str) -> Iterator[None]:
    """What prevents an action, as people are told of it."""
    what = _NOUNS.get(action, "action")
    try:
        yield
    except TimeoutError as error:
        done = "the alarm is acknowledged" if action == ACKNOWLEDGE else "it is done"
        raise m.MonitorUnavailable(
            f"No step confirmed the {what} in time; it may still be recorded. Look whether {done} before you try again."
        ) from error
    except StepsEnded as error:
        raise m.MonitorUnavailable("The service is stopping: try again when it runs.") from error
    except (JournalUnavailable, StateUnavailable) as error:
        raise m.MonitorUnavailable(
            f"The {what} could not be recorded: {error}. Look at the disk that holds data_dir, then try again."
        ) from error


_NOUNS = {ACKNOWLEDGE: "acknowledgement"}
