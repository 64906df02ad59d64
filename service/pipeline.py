"""The whole pipeline on one screen: built from a configuration, started, stopped."""

from __future__ import annotations

import logging
import os
import socket
import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn

from alerts.alarms import Alarms, Answer
from alerts.delivery import OutboxItem
from alerts.emergency import Emergency
from alerts.ledger import Applied, Ledger
from alerts.page import Letterhead
from alerts.people.people import People
from alerts.people.register import PeopleUnavailable
from alerts.store import StateStore, StateUnavailable
from dashboards.app import build_app
from facility.secret import Secret
from facility.sources.source import subscriptions
from ingest.broker import BrokerFailed, EmbeddedBroker
from ingest.entries import ACTION, CONFIGURATION, SERVICE, ActionBody, ConfigurationBody, ServiceBody, encode
from ingest.intake import Intake, Prepared
from ingest.journal import Entry, JournalUnavailable
from ingest.recollection import Recollection
from ingest.series import Series, SeriesUnavailable
from ingest.session import LinkEvent, Session
from ingest.sparkplug.host import Host, host_of
from rules.plan import Plan
from service.applied import Journalled, NotInForce, changed_files, is_signed, journalled
from service.applying import Applying, Next, body_of, listens_otherwise, register
from service.attendance import Attendance, first_administrator, open_people
from service.clock import Clock, Onward
from service.configuration import Configuration, load_configuration
from service.connection import connection_of
from service.continuity.guard import alone
from service.continuity.presence import Presence
from service.couriers import STRANDED, Couriers
from service.judging import Judges
from service.lock import DataDirInUse, DataDirLock
from service.monitor import ServiceMonitor
from service.outbox import ANSWER_S, Outbox
from service.paging import Paging
from service.readmitting import Readmitting
from service.receiving import Ballast, Receiver
from service.stepping import Stepper, StepsEnded
from service.timing import TimedJournal
from service.values import changes_between
from service.vitals import Parts, Vitals
from service.watch import STEP_AGE_NS, Watchdog

if TYPE_CHECKING:
    from service.feeding import Feeding

FILES_LOOKED_AT_NS = 10 * 10**9
"""So old may be what the console knows of files that are not in force."""
CANNOT_START = (
    DataDirInUse, NotInForce, JournalUnavailable, StateUnavailable, SeriesUnavailable, PeopleUnavailable, BrokerFailed, OSError,
    sqlite3.Error,
)  # fmt: skip
"""What `start` raises, with words for people."""

log = logging.getLogger(__name__)


class Pipeline:
    """A running service; `start`, then `stop`. One at a time on a data folder."""

    def __init__(self, configuration: Configuration, clock: Clock, load: Callable[[], Configuration] | None = None) -> None:
        """`load` reads the files again, to put them in force."""
        self.configuration, self._clock = configuration, clock
        self._load = load or partial(load_configuration, configuration.settings.folder / configuration.main, os.environ)
        self._judges = Judges()
        self._judges.know(configuration.judging_hash, *configuration.judge)
        self._paging = Paging(self._letterhead(configuration), self._judges)
        self._in_force = 0
        self._next: Next | None = None
        self._files_known: tuple[int, str] | None = None
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._broker: EmbeddedBroker | None = None
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None
        self._feeding = _feeding(configuration, clock)
        self._historian: threading.Thread | None = None
        self.people: People | None = None
        self.first_password: Secret | None = None

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
        with ExitStack() as opened:
            self._build(opened)
            self._run_threads()
            if self.people is not None:  # last: whoever is told of the password must find a service to sign in to
                self.first_password = first_administrator(self.people)
            self._opened = opened.pop_all()

    def _build(self, opened: ExitStack) -> None:
        settings = self.configuration.settings
        folder = settings.data_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened.enter_context(DataDirLock(folder, self._clock))
        self._socket = opened.enter_context(_listening(settings.http.host, settings.http.port))
        ballast = Ballast(folder / "ballast")
        ballast.take()

        self.journal = opened.enter_context(closing(TimedJournal(folder / "journal.db", self._clock.monotonic_ns)))
        self._stamps = Onward(self._clock, self.journal.head.at)
        self.store, self.memory, self.ledger = self._open(folder)
        opened.callback(lambda: self.store.close())  # the one of that time: after a failed step there are others
        opened.callback(lambda: self._series.close())
        self._emergency = Emergency(self._paging.letterhead, dict(self.configuration.oncall.channels), self._spawn)
        self.stepper = Stepper(
            self.journal,
            self.memory,
            self.ledger,
            partial(self._reopen, folder),
            self._clock,
            settings.evaluate_every_ns,
            lambda: self.receiver.heard_ns(),
            self._after_step,
            self._stamps.now_ns,
        )
        self._outbox = Outbox(self._reader, self.stepper.ask)
        self._couriers = Couriers(self._pending, self._outbox.record, self._clock.now_ns, self._stop)
        if settings.http.users:
            self.people = open_people(opened, folder, settings.http, self._clock.now_ns)
            self._attendance = Attendance(self.people.register, self.stepper.ask)
        number_of = self._put_in_force()
        self.monitor = opened.enter_context(closing(self._build_monitor(number_of)))
        self._applying = Applying(
            self._load, lambda: self.configuration, self._history, self._judges, self.monitor.prepared, self._take_force
        )
        self.stepper.catch_up()
        for target, count in self.store.waiting_for_others(self.configuration.oncall.channels).items():
            log.error(STRANDED, count, target)
        # After that: catching up writes the series, of which the intake takes a picture.
        self.intake = Intake(self.journal, self._series.reader(), self._stamps.now_ns)
        host = host_of(self.configuration.sources, self.configuration.facility, number_of, self._stamps.now_ns, self._clock.monotonic_ns)
        self.intake.reconfigured(self._admitted(self.configuration, number_of, host))
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
        self._parts = Parts(self._clock, self._stamps.now_ns, self.journal, self.receiver, self.intake, self.stepper, self.guard)
        self._watchdog = Watchdog(self._emergency, self.stepper, self.receiver, ballast, self._clock, self._dead, self.guard)

    def stop(self) -> None:
        """Stop in the order that data flows, so that all that was received is judged and recorded."""
        self._stop.set()
        if self.receiver.session is not None:
            self.receiver.session.wake()
        self._join("ingest")
        for thread in self._couriers.threads:
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

    def unsent(self) -> int:
        """Pages that are not delivered yet."""
        return self.count("outbox where sent_at is null")

    def _reader(self) -> StateStore:
        return StateStore(self.configuration.settings.data_dir / "state.db", readonly=True)

    # Opening

    def _open(self, folder: Path) -> tuple[StateStore, Recollection, Ledger]:
        """What is computed, taken up where it was committed; what is ahead of the state is thrown away and computed again."""
        store = StateStore(folder / "state.db")
        self._series = _series(folder, int(store.get("cursor", 0)))
        memory = Recollection(self._series)
        ledger = Ledger(store, memory, self._plan, Alarms(store, lambda *alarm: self._paging.pages(*alarm)))
        with closing(self.journal.reader()) as reader:
            ledger.load(reader)
        return store, memory, ledger

    def _reopen(self, folder: Path) -> tuple[Recollection, Ledger]:
        self.store.close()
        self._series.close()
        self.store, self.memory, self.ledger = self._open(folder)
        self.monitor.renew()
        return self.memory, self.ledger

    def _plan(self, body: ConfigurationBody, number_of: Mapping[str, int], at: int) -> Plan:
        """What the ledger judges by from `at` on; whoever pages must know it before anything is judged by it."""
        self._paging.know(at, body)
        return self._judges.plan(body, number_of, at)

    def _history(self) -> list[Journalled]:
        """Every configuration that took force."""
        ledger = self.stepper.ledger
        cursor, known = ledger.cursor, tuple(ledger.configurations)  # in this order: what is applied meanwhile is in both, not in neither
        with closing(self.journal.reader()) as reader:
            return journalled(reader, known, cursor)

    def _put_in_force(self) -> dict[str, int]:
        """Journal the configuration where it is another than the one in force, and the start; the register of point numbers."""
        history = self._history()
        number_of, added = register(history, self.configuration)
        entry = self.configuration.as_entry()
        kept = history[-1][1] if history else None
        if kept is None or kept.entry != entry:
            if kept is not None and is_signed(kept.entry):
                raise NotInForce("another configuration was applied meanwhile, and `apply: signed` is in force. Start again")
            changes = [] if kept is None else changes_between(kept.entry, self._judges.of(kept), entry, self.configuration.judge)
            self.journal.append(CONFIGURATION, encode(body_of(self.configuration, added, changes)), self._stamps.now_ns())
        self._dropped = self._no_longer(history)
        self.journal.append(SERVICE, encode(ServiceBody("started", version("renrum"))), self._stamps.now_ns())
        return number_of

    def _no_longer(self, history: list[Journalled]) -> set[str]:
        """What the broker may still have us subscribed to, of all that there ever was."""
        ever = {name for _, body in history for name in body.entry.get("subscriptions", ())}
        return ever - set(subscriptions(self.configuration.sources))

    def _admitted(self, configuration: Configuration, number_of: Mapping[str, int], host: Host | None) -> Prepared:
        real_only = configuration.settings.environment == "production"
        return self.intake.prepared(configuration.facility, number_of, not real_only, configuration.sources, host)

    def _session(self, receiver: Receiver) -> Session:
        connection = connection_of(self.configuration.settings.mqtt)
        if self._broker:
            port = int(self._broker.url.rpartition(":")[2])
            connection = replace(connection, host="127.0.0.1", port=port, protocol=self._broker.protocol)
        site = self.configuration.facility.site.id
        heard_ns = self.journal.head.heard
        expected = heard_ns > 0 and not self._broker  # who has listened before has a session there
        return Session(
            connection, site, receiver, self._clock.monotonic_ns, heard_ns, expect_session=expected,
            filters=subscriptions(self.configuration.sources), dropped=sorted(self._dropped), companion=self.intake.host,
        )  # fmt: skip

    def _build_monitor(self, number_of: dict[str, int]) -> ServiceMonitor:
        return ServiceMonitor(
            configuration=self.configuration,
            number_of=number_of,
            clock=self._clock,
            store=self._reader,
            series=lambda: self._series.reader(),
            journal=self.journal.reader,
            act=self._act,
            readmit=lambda *asked: self._readmitting(*asked),
            apply=lambda asked: self._applying(asked),
            vitals=self._vitals,
            waiting=self._files_waiting,
            version=version("renrum"),
        )

    # Threads

    def _run_threads(self) -> None:
        self._steps_stop = threading.Event()
        self._thread("steps", lambda: self.stepper.run(self._steps_stop))
        self._thread("ingest", lambda: self.receiver.run(self._stop))
        self._couriers.serve(self.configuration.oncall.channels)
        self._thread("watchdog", lambda: self._watchdog.run(self._stop))
        if self._presence is not None:
            self._thread("presence", partial(self._presence.run, self._stop))
        if self._feeding is not None:
            self._historian = self._thread("historian", partial(self._feeding.run, self._stop))
        if self.people is not None:
            self._thread("people", lambda: self._attendance.run(self._stop))
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
        dead = [thread.name for thread in (*self._threads, *self._couriers.threads) if not thread.is_alive()]
        return [] if self._stop.is_set() else dead

    def _vitals(self) -> Vitals:
        threads = {"couriers": all(thread.is_alive() for thread in self._couriers.threads)}
        threads |= {thread.name: thread.is_alive() for thread in self._threads}
        historian = self._feeding.vitals() if self._feeding is not None else None
        return self._parts.vitals(self.mqtt_url, threads, self._outbox.publish_to_page.now(), historian)

    def _spawn(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="emergency", daemon=True).start()

    def _join(self, name: str) -> None:
        for thread in self._threads:
            if thread.name == name:
                self._await(thread)

    def _await(self, thread: threading.Thread) -> None:
        thread.join(timeout=ANSWER_S)
        if thread.is_alive():
            log.error("the thread %s does not end; what it had not finished is done at the next start", thread.name)

    # Another configuration

    def _take_force(self, following: Next) -> None:
        """Have a configuration journalled between two steps, and admission follow it at that very entry; return when all else does, too."""
        old, new = self.configuration, following.configuration
        deadline = self._clock.monotonic_ns() + int(ANSWER_S * 10**9)
        while self._history()[-1][0].seq != self._in_force:  # the first step after a start, or after a failure, is still to come
            if self._stop.wait(0.1):
                raise StepsEnded
            if self._clock.monotonic_ns() > deadline:
                raise JournalUnavailable("no step is taken, and the configuration before is not in force yet")
        anew = listens_otherwise(old, new)
        with ExitStack() as quiet:
            if anew:  # births that the old sources knew mean nothing to the new ones: meanwhile the broker keeps what comes
                quiet.enter_context(self.receiver.paused(ANSWER_S))
            host = self.intake.host
            if anew:
                before = host
                host = host_of(new.sources, new.facility, following.number_of, self._stamps.now_ns, self._clock.monotonic_ns)
                if host is not None:
                    host.recall(self.stepper.ledger.lives.copy()) if before is None else host.follow(before)
            admitted = following.admitted = self._admitted(new, following.number_of, host)
            self._next = following

            def around(append: Callable[[], Entry]) -> Entry:
                entry = self.intake.reconfigured(admitted, append)
                assert entry is not None
                following.took = True
                return entry

            self.stepper.ask(CONFIGURATION, following.body, around).result(timeout=ANSWER_S)
            if not following.adopted.wait(ANSWER_S):
                raise TimeoutError

    def _after_step(self, applied: Applied, at: int) -> None:
        """On the step thread: what the ledger judges by is what everything follows, however it came into the journal."""
        configurations = self.stepper.ledger.configurations
        if configurations and configurations[-1] != self._in_force:
            self._in_force = configurations[-1]
            self._adopt(self._in_force)
        self.monitor.after_step(applied, at)

    def _adopt(self, seq: int) -> None:
        following = self._next
        if following is None:
            return  # the one that the service started with
        with closing(self.journal.reader()) as reader:
            entry, body = journalled(reader, (seq,), self.stepper.ledger.cursor)[0]
        if body.entry != following.body.entry:
            return
        old, new = self.configuration, following.configuration
        if not following.took and following.admitted is not None:  # its entry was said to have failed, and is there all the same
            self.intake.reconfigured(following.admitted)
        self._next, self.configuration = None, new
        self._paging.letterhead = self._letterhead(new)
        self._emergency.configure(self._paging.letterhead, new.oncall.channels)
        self._dropped = (self._dropped | set(subscriptions(old.sources))) - set(subscriptions(new.sources))
        self._spawn(self.monitor.show(following.shown).announcer.close)
        self._couriers.serve(new.oncall.channels)
        self._files_known = None
        if listens_otherwise(old, new) and not self.receiver.pausing:
            self._spawn(self._hang_up)
        following.at = entry.at
        following.adopted.set()
        log.info("configuration %s in force, by %s: %s", body.hash[:12], body.by, body.reason)

    def _hang_up(self) -> None:
        with self.receiver.paused(ANSWER_S):
            pass  # the next session is for the topics of the configuration in force

    def _files_waiting(self) -> str:
        """The files that differ from what is in force, and what that means; looked at now and then."""
        now, known = self._clock.monotonic_ns(), self._files_known
        if known is not None and 0 <= now - known[0] < FILES_LOOKED_AT_NS:
            return known[1]
        entry = self.configuration.as_entry()
        words = ", ".join(changed_files(entry, self.configuration.settings.folder))
        if words:
            start = "" if is_signed(entry) else ", and so does a restart"
            words = f"changed since and not in force: {words}; `renrum apply` puts it in force{start}"
        self._files_known = (now, words)
        return words

    # What threads ask of each other

    def _act(self, body: ActionBody) -> Answer:
        answer = self.stepper.ask(ACTION, body).result(timeout=ANSWER_S)
        assert answer is not None
        return answer

    def _pending(self, target: str) -> list[OutboxItem]:
        """What a courier has to deliver: nothing while another instance does."""
        return self._outbox.pending(target) if self._may_act() else []

    def _may_act(self) -> bool:
        return self.guard.may_act(self._clock.monotonic_ns())

    def _fit(self) -> bool:
        """Whether this instance does what others need not do then."""
        age_ns = self._clock.monotonic_ns() - self.stepper.vitals.ended_ns
        return not self.receiver.vitals.failure and age_ns < STEP_AGE_NS

    def _told_of_another(self, state: str, words: str) -> None:
        with suppress(JournalUnavailable):
            self.receiver.link(LinkEvent(f"instance_{state}", words), self.receiver.heard_ns())

    @staticmethod
    def _letterhead(configuration: Configuration) -> Letterhead:
        settings = configuration.settings
        http = settings.http
        own = f"{http.scheme}://{http.host}:{http.port}"
        return Letterhead(settings.environment, configuration.facility.site, http.public_url or own)


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        words = f"the console cannot listen on {host} port {port}: {error.strerror or error}. Give another `http.port`"
        raise OSError(words) from error


def _feeding(configuration: Configuration, clock: Clock) -> Feeding | None:
    """The historian's feed, where one is configured."""
    target = configuration.settings.historian
    if target is None:
        return None
    from service.feeding import Feeding  # its client takes half a second to load

    return Feeding(target, configuration.settings.data_dir, configuration, clock)


def _series(folder: Path, cursor: int) -> Series:
    """The series, begun anew where it is damaged or ahead of what was judged: it is computed from the journal again."""
    path = folder / "series.db"
    try:
        series = Series(path)
        if series.cursor() <= cursor:
            return series
        series.close()
    except sqlite3.OperationalError:
        raise  # the disk, not the file
    except sqlite3.DatabaseError as error:
        log.error("%s is damaged (%s): it is computed again from the journal", path, error)
    for file in folder.glob("series.db*"):
        file.unlink()
    return Series(path)
