"""The whole pipeline on one screen: built from a configuration, started, stopped."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from alerts.alarms import Answer
from alerts.channels.delivery import OutboxItem
from alerts.channels.emergency import Emergency
from alerts.duty.load import Limits
from alerts.ledger import Applied, Ledger
from alerts.lifecycle.surroundings import stays_of
from alerts.people.people import People
from alerts.record.store import StateStore, StateUnavailable
from dashboards.app import build_app
from facility.secret import Secret
from facility.sources.source import subscriptions
from historian.vitals import HistorianVitals
from ingest.admission.intake import Intake
from ingest.journal.entries import ACTION, RECORD, SERVICE, Body, ServiceBody, encode
from ingest.journal.journal import JournalUnavailable
from ingest.mqtt.broker import BrokerFailed, EmbeddedBroker
from ingest.mqtt.link import Connection
from ingest.mqtt.session import LinkEvent, Session
from ingest.series.recollection import Recollection
from ingest.series.series import SeriesUnavailable
from service.applied import NotInForce
from service.attendance import Attendance, first_administrator, open_people
from service.clock import Clock, Onward
from service.configuration.configuration import Configuration, load_configuration
from service.connection import connection_of, connection_to
from service.console.monitor import ServiceMonitor
from service.console.occupying import Occupying
from service.continuity.guard import alone
from service.continuity.presence import Presence
from service.duty.drilling import Drilling
from service.duty.reachable import Reachable
from service.following import Following, letterhead, prepared_of
from service.health.timing import TimedJournal
from service.health.vitals import Parts, Vitals
from service.health.watch import STEP_AGE_NS, Watchdog
from service.lock import DataDirInUse, DataDirLock
from service.opening import listening, note_start
from service.own_readings import OwnReadings
from service.pages.couriers import STRANDED, Couriers
from service.pages.outbox import ANSWER_S, Outbox
from service.pages.signals import Signals
from service.proof.nightly import nightly_of
from service.readmitting import Readmitting
from service.receiving import Ballast, Receiver
from service.stepping import Stepper
from service.stored.computed import open_series, open_state

if TYPE_CHECKING:
    from service.historian.feeding import Feeding

CANNOT_START = (
    DataDirInUse, NotInForce, JournalUnavailable, StateUnavailable, SeriesUnavailable, BrokerFailed, OSError, sqlite3.Error,
)  # fmt: skip
"""What `start` raises, with words for people."""

log = logging.getLogger(__name__)


class Pipeline:
    """A running service; `start`, then `stop`. One at a time on a data folder."""

    measures_itself = True

    def __init__(
        self, configuration: Configuration, clock: Clock, load: Callable[[], Configuration] | None = None, limits: Limits | None = None
    ) -> None:
        """`load` reads the files again, to put them in force; `limits` say which alarms are told together, whatever these say."""
        self._clock, self._limits = clock, limits
        load = load or partial(load_configuration, configuration.settings.folder / configuration.main, os.environ)
        self.following = Following(self, configuration, clock, load)
        self.stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._broker: EmbeddedBroker | None = None
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._feeding = _feeding(configuration, clock)
        self._historian: threading.Thread | None = None
        self.people: People | None = None
        self.first_password: Secret | None = None

    @property
    def configuration(self) -> Configuration:
        """The one in force."""
        return self.following.configuration

    @property
    def url(self) -> str:
        """Where the console is."""
        host, port = self.socket.getsockname()[:2]
        return f"{self.configuration.settings.http.scheme}://{host}:{port}/"

    @property
    def mqtt_url(self) -> str:
        """Where instruments publish."""
        mqtt = self.configuration.settings.mqtt
        return self._broker.url if self._broker else f"{'mqtts' if mqtt.tls else 'mqtt'}://{mqtt.host}:{mqtt.port}"

    @property
    def socket(self) -> socket.socket:
        assert self._socket is not None, "start() comes first"
        return self._socket

    def start(self) -> None:
        """Build everything in the order that data flows, then start the threads; raises CANNOT_START, and leaves nothing behind."""
        begun = self._clock.monotonic_ns()
        with ExitStack() as opened:
            self._build(opened)
            self._run_threads()
            if self.people is not None:  # last: whoever is told of the password must find a service to sign in to
                self.first_password = first_administrator(self.people)
            self._opened = opened.pop_all()
        note_start(self.configuration.settings.data_dir, self._clock.monotonic_ns() - begun)

    def _build(self, opened: ExitStack) -> None:
        settings = self.configuration.settings
        folder = settings.data_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened.enter_context(DataDirLock(folder, self._clock))
        self._socket = opened.enter_context(listening(settings.http.host, settings.http.port))
        ballast = Ballast(folder / "ballast")
        ballast.take()

        self.journal = opened.enter_context(closing(TimedJournal(folder / "journal.db", self._clock.monotonic_ns)))
        self.stamps = Onward(self._clock, self.journal.head.at)
        self.store, self.memory, self.ledger = self._open(folder)
        opened.callback(lambda: self.store.close())  # the one of that time: after a failed step there are others
        opened.callback(lambda: self._series.close())
        channels = dict(self.configuration.oncall.channels)
        chosen = self.reachable(self.configuration)
        language = self.configuration.oncall.roster.language_of
        self.emergency = Emergency(letterhead(self.configuration), channels, self.spawn, chosen=chosen, language=language)
        self.stepper = Stepper(
            self.journal,
            self.memory,
            self.ledger,
            partial(self._reopen, folder),
            self._clock,
            settings.evaluate_every_ns,
            lambda: self.receiver.heard_ns(),
            self._stepped,
            self.stamps.now_ns,
            lambda at: self.occupying.elapse(stays_of(self.store), at),
        )
        self._outbox = Outbox(self._reader, self.stepper.ask)
        self._signals = Signals(self, self._clock, self._reader, self._outbox, self._may_act)
        self.signalling = self._signals.signalling()
        self.replying = self._signals.replying()
        self.couriers = Couriers(self._pending, self._outbox.record, self._clock.now_ns, self.stopping, self._signals.dressed)
        if settings.http.users:
            self.people = open_people(opened, folder, settings.http, self._clock.now_ns)
            self._attendance = Attendance(self.people.register, self.stepper.ask)
        number_of = self.following.put_in_force(self.stamps)
        self.journal.append(SERVICE, encode(ServiceBody("started", version("renrum"))), self.stamps.now_ns())
        self.monitor = opened.enter_context(closing(self._build_monitor(number_of)))
        self.stepper.catch_up()
        for target, count in self.store.waiting_for_others(self.configuration.oncall.channels).items():
            log.error(STRANDED, count, target)
        # After that: catching up writes the series, of which the intake takes a picture.
        self.intake = Intake(self.journal, self._series.reader(), self.stamps.now_ns)
        host = self.following.host(self.configuration, number_of)
        self.intake.reconfigured(prepared_of(self.configuration, number_of, host))
        self.occupying = Occupying(self.intake.say, self._reader, lambda: self.receiver.heard_ns(), self.stepper.tick)
        ledger = self.stepper.ledger
        self.intake.recall(ledger.sums.copy(), ledger.cursor, ledger.lives.copy())
        if settings.mqtt.embedded:
            self._broker = opened.enter_context(EmbeddedBroker(folder / "broker"))
        site = self.configuration.facility.site.id
        own, telling = connection_of(settings.mqtt), self._told_of_another
        self._presence = None if self._broker else Presence(own, site, self._clock, self._fit, telling)
        self.guard = self._presence.guard if self._presence else alone()
        self.receiver = Receiver(self.intake, ballast, self._clock, self._session, self._may_act)
        self._readmitting = Readmitting(self.intake, self.journal.reader, self._reader, self.receiver.heard_ns)
        self._parts = Parts(self._clock, self.stamps.now_ns, self.journal, self.receiver, self.intake, self.stepper, self.guard)
        self._nightly = nightly_of(self.following, self._clock, self.emergency.page, self.stepper.ask, self.journal)
        self._own = OwnReadings(self._parts, self.following, self._clock, self._reader, self._historian_vitals, self._signals.failing)
        self._watchdog = Watchdog(self.emergency, self.stepper, self.receiver, ballast, self._clock, self._dead, self.guard)

    def _stepped(self, applied: Applied, at: int) -> None:
        self.following.after_step(applied, at)
        if applied.alarms:
            self.couriers.wake()

    def stop(self) -> None:
        """Stop in the order that data flows, so that all that was received is judged and recorded."""
        self.stopping.set()
        self.couriers.wake()
        if self.receiver.session is not None:
            self.receiver.session.wake()
        self._join("ingest")
        self._join("nightly")
        self._join("own readings")
        for thread in (*self.couriers.threads, *self.signalling.threads):
            self._await(thread)
        if self.people is not None:
            self._join("people")
            self._attendance.settle()
        self.stepper.ask(SERVICE, ServiceBody("stopped", version("renrum")))
        self._steps_stop.set()
        self.stepper.tick()
        self._join("steps")
        if self._historian is not None:
            self._historian.join(timeout=2.0)  # it may wait for InfluxDB for long; what it has not finished it does at the next start
        self.monitor.settle()
        self.monitor.events.close()
        if self._server is not None:
            self._server.should_exit = True
        self._join("http")
        self.stepper.settle()
        self._opened.close()

    def count(self, what: str) -> int:
        """How many rows of a table of state.db there are."""
        with closing(self._reader()) as store:
            return int(store.rows(f"select count(*) from {what}")[0][0])

    def reachable(self, configuration: Configuration) -> Reachable:
        """Who is told when nothing can be recorded."""
        return Reachable(configuration.oncall.roster, configuration.oncall.everyone, self._reader)

    def unsent(self) -> int:
        """Pages that are not delivered yet."""
        return self.count("outbox where sent_at is null")

    def _reader(self) -> StateStore:
        return StateStore(self.configuration.settings.data_dir / "state.db", readonly=True)

    # Opening

    def _open(self, folder: Path) -> tuple[StateStore, Recollection, Ledger]:
        """What is computed, taken up where it was committed; what is ahead of the state is thrown away and computed again."""
        store = open_state(folder, self.journal.reader)
        self._series = open_series(folder, int(store.get("cursor", 0)))
        memory = Recollection(self._series)
        paging = self.following.paging
        ledger = Ledger(store, memory, paging.plan, paging.alarms(store, self._limits))
        with closing(self.journal.reader()) as reader:
            ledger.load(reader)
        return store, memory, ledger

    def _reopen(self, folder: Path) -> tuple[Recollection, Ledger]:
        self.store.close()
        self._series.close()
        self.store, self.memory, self.ledger = self._open(folder)
        self.monitor.renew()
        return self.memory, self.ledger

    def _session(self, receiver: Receiver) -> Session:
        connection = self.connection
        site = self.configuration.facility.site.id
        heard_ns = self.journal.head.heard
        expected = heard_ns > 0 and not self._broker  # who has listened before has a session there
        return Session(
            connection, site, receiver, self._clock.monotonic_ns, heard_ns, expect_session=expected,
            filters=subscriptions(self.configuration.sources), dropped=sorted(self.following.dropped), companion=self.intake.host,
        )  # fmt: skip

    def _build_monitor(self, number_of: dict[str, int]) -> ServiceMonitor:
        return ServiceMonitor(
            configuration=self.configuration,
            number_of=number_of,
            clock=self._clock,
            store=self._reader,
            series=lambda: self._series.reader(),
            journal=self.journal.reader,
            act=partial(self._ask, ACTION),
            keep=partial(self._ask, RECORD),
            readmit=lambda *asked: self._readmitting(*asked),
            apply=lambda asked: self.following.apply(asked),
            occupy=lambda *asked: self.occupying(*asked),
            vitals=self._vitals,
            waiting=self.following.files_waiting,
            version=version("renrum"),
        )

    # Threads

    def _run_threads(self) -> None:
        self._steps_stop = threading.Event()
        self._thread("steps", lambda: self.stepper.run(self._steps_stop))
        self._thread("ingest", lambda: self.receiver.run(self.stopping))
        self.couriers.serve(self.configuration.oncall.channels)
        self.signalling.serve(self.configuration.oncall.signals)
        self._thread("watchdog", lambda: self._watchdog.run(self.stopping))
        if self._presence is not None:
            self._thread("presence", partial(self._presence.run, self.stopping))
        if self._feeding is not None:
            self._historian = self._thread("historian", partial(self._feeding.run, self.stopping))
        self._thread("nightly", partial(self._nightly.run, self.stopping))
        if self.measures_itself:
            self._thread("own readings", partial(self._own.run, self.stopping))
        undelivered = self._signals.undelivered()
        self._thread("undelivered", lambda: undelivered.run(self.stopping))
        self._thread("replies", lambda: self.replying.run(self.stopping))
        drilling = Drilling(lambda: self.configuration.oncall.roster, self._reader, self.stepper.ask, self._clock)
        self._thread("oncall", lambda: drilling.run(self.stopping))
        if self.people is not None:
            self._thread("people", lambda: self._attendance.run(self.stopping))
        settings = self.configuration.settings
        http = settings.http
        config = uvicorn.Config(
            build_app(self.monitor, public_url=http.public_url, people=self.people, host=http.host, grafana=settings.grafana),
            log_config=None,
            lifespan="off",
            timeout_graceful_shutdown=3,
            proxy_headers=bool(http.trusted_proxies),
            forwarded_allow_ips=list(http.trusted_proxies),
            ssl_certfile=http.tls.cert_file if http.tls else None,
            ssl_keyfile=http.tls.key_file if http.tls else None,
        )
        self._server = uvicorn.Server(config)
        self._thread("http", lambda: self._server.run([self.socket]) if self._server else None)

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)
        return thread

    def _dead(self) -> list[str]:
        """Threads that ended although nobody stopped the service."""
        dead = [thread.name for thread in (*self._threads, *self.couriers.threads, *self.signalling.threads) if not thread.is_alive()]
        return [] if self.stopping.is_set() else dead

    def _vitals(self) -> Vitals:
        threads = {"couriers": all(thread.is_alive() for thread in self.couriers.threads)}
        threads |= {thread.name: thread.is_alive() for thread in self._threads}
        vitals = self._parts.vitals(self.mqtt_url, threads, self._outbox.publish_to_page.now(), self._historian_vitals())
        return replace(vitals, unshown=self._signals.failing())

    def _historian_vitals(self) -> HistorianVitals | None:
        return self._feeding.vitals() if self._feeding is not None else None

    def spawn(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="emergency", daemon=True).start()

    def _join(self, name: str) -> None:
        for thread in self._threads:
            if thread.name == name:
                self._await(thread)

    def _await(self, thread: threading.Thread) -> None:
        thread.join(timeout=ANSWER_S)
        if thread.is_alive():
            log.error("the thread %s does not end; what it had not finished is done at the next start", thread.name)

    # What threads ask of each other

    def _ask(self, kind: str, body: Body) -> Answer:
        answer = self.stepper.ask(kind, body).result(timeout=ANSWER_S)
        assert answer is not None
        return answer

    def _pending(self, target: str) -> list[OutboxItem]:
        """What a courier has to deliver: nothing while another instance does."""
        return self._outbox.pending(target) if self._may_act() else []

    @property
    def connection(self) -> Connection:
        """How the broker is reached."""
        return connection_to(self.configuration.settings.mqtt, self._broker)

    def _may_act(self) -> bool:
        return self.guard.may_act(self._clock.monotonic_ns())

    def _fit(self) -> bool:
        """Whether this instance does what others need not do then."""
        age_ns = self._clock.monotonic_ns() - self.stepper.vitals.ended_ns
        return not self.receiver.vitals.failure and age_ns < STEP_AGE_NS

    def _told_of_another(self, state: str, words: str) -> None:
        with suppress(JournalUnavailable):
            self.receiver.link(LinkEvent(f"instance_{state}", words), self.receiver.heard_ns())


def _feeding(configuration: Configuration, clock: Clock) -> Feeding | None:
    """The historian's feed, where one is configured."""
    target = configuration.settings.historian
    if target is None:
        return None
    from service.historian.feeding import Feeding  # its client takes half a second to load

    return Feeding(target, configuration.settings.data_dir, configuration, clock)
