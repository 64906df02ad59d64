"""The whole pipeline on one screen: built from a configuration, started, stopped."""

from __future__ import annotations

import logging
import socket
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path

import uvicorn

from alerts.alarms import Alarms, Answer
from alerts.delivery import Courier, DeliveryResult, OutboxItem
from alerts.emergency import Emergency
from alerts.ledger import Ledger
from alerts.page import Letterhead, decode
from alerts.store import StateStore, StateUnavailable
from dashboards.app import build_app
from ingest.broker import BrokerFailed, EmbeddedBroker
from ingest.entries import ACTION, CONFIGURATION, DELIVERY, SERVICE, ActionBody, ConfigurationBody, DeliveryBody, ServiceBody, encode
from ingest.entries import decode as decode_entry
from ingest.intake import Intake
from ingest.journal import Journal, JournalUnavailable
from ingest.recollection import Recollection
from ingest.series import Series, SeriesUnavailable
from ingest.session import Session
from service.clock import Clock, Onward
from service.configuration import Configuration
from service.connection import connection_of
from service.judging import Judges
from service.lock import DataDirInUse, DataDirLock
from service.monitor import ServiceMonitor
from service.paging import Paging
from service.receiving import Ballast, Receiver
from service.stepping import Stepper
from service.vitals import vitals_of
from service.watch import Watchdog

SEMANTICS = 1
"""The number of docs/rules.md that this version judges by."""
ANSWER_S = 30.0
CANNOT_START = (DataDirInUse, JournalUnavailable, StateUnavailable, SeriesUnavailable, BrokerFailed, OSError, sqlite3.Error)
"""What `start` raises, with words for people."""

log = logging.getLogger(__name__)


class Pipeline:
    """A running service; `start`, then `stop`. One at a time on a data folder."""

    def __init__(self, configuration: Configuration, clock: Clock) -> None:
        self.configuration, self._clock = configuration, clock
        settings = configuration.settings
        self._letterhead = Letterhead(settings.environment, configuration.facility.site, settings.http.public_url or self._own_url())
        self._judges = Judges()
        self._judges.know(configuration.judging_hash, configuration.facility, configuration.rules, configuration.tables)
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._couriers: list[Courier] = []
        self._broker: EmbeddedBroker | None = None
        self._socket: socket.socket | None = None
        self._server: uvicorn.Server | None = None

    @property
    def url(self) -> str:
        """Where the console is."""
        host, port = self.socket.getsockname()[:2]
        return f"http://{host}:{port}/"

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
            self._opened = opened.pop_all()

    def _build(self, opened: ExitStack) -> None:
        settings = self.configuration.settings
        folder = settings.data_dir
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        opened.enter_context(DataDirLock(folder, self._clock))
        self._socket = opened.enter_context(_listening(settings.http.host, settings.http.port))
        ballast = Ballast(folder / "ballast")
        ballast.take()

        self.journal = opened.enter_context(closing(Journal(folder / "journal.db")))
        self._stamps = Onward(self._clock, self.journal.head.at)
        self.store, self.memory, self.ledger = self._open(folder)
        opened.callback(lambda: self.store.close())  # the one of that time: after a failed step there are others
        opened.callback(lambda: self._series.close())
        self._emergency = Emergency(self._letterhead, dict(self.configuration.oncall.channels), self._spawn)
        self.stepper = Stepper(
            self.journal,
            self.memory,
            self.ledger,
            partial(self._reopen, folder),
            self._clock,
            settings.evaluate_every_ns,
            lambda: self.receiver.heard_ns(),
            lambda applied, at: self.monitor.after_step(applied, at),
            self._stamps.now_ns,
        )
        number_of = self._put_in_force()
        self.monitor = opened.enter_context(closing(self._build_monitor(number_of)))
        self.stepper.catch_up()
        for target, count in self.store.waiting_for_others(self.configuration.oncall.channels).items():
            log.error("%d pages wait for %s, which is no channel any more: nobody delivers them", count, target)
        # After that: catching up writes the series, of which the intake takes a picture.
        self.intake = Intake(self.journal, self._series.reader(), self._stamps.now_ns)
        self.intake.configure(self.configuration.facility, number_of, accept_simulated=settings.environment != "production")
        self.intake.recall(self.stepper.ledger.sums.copy(), self.stepper.ledger.cursor)
        if settings.mqtt.embedded:
            self._broker = opened.enter_context(EmbeddedBroker(folder / "broker"))
        self.receiver = Receiver(self.intake, ballast, self._clock, self._session)
        self._watchdog = Watchdog(self._emergency, self.stepper, self.receiver, ballast, self._clock)

    def stop(self) -> None:
        """Stop in the order that data flows, so that all that was received is judged and recorded."""
        self._stop.set()
        if self.receiver.session is not None:
            self.receiver.session.wake()
        self._join("ingest")
        for name in [thread.name for thread in self._threads if thread.name.startswith("pages")]:
            self._join(name)
        self.stepper.ask(SERVICE, ServiceBody("stopped", version("renrum")))
        self._steps_stop.set()
        self.stepper.tick()
        self._join("steps")
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
        ledger = Ledger(store, memory, self._judges.plan, Alarms(store, lambda *alarm: self._paging.pages(*alarm)))
        with closing(self.journal.reader()) as reader:
            ledger.load(reader)
        return store, memory, ledger

    def _reopen(self, folder: Path) -> tuple[Recollection, Ledger]:
        self.store.close()
        self._series.close()
        self.store, self.memory, self.ledger = self._open(folder)
        self.monitor.renew()
        return self.memory, self.ledger

    def _put_in_force(self) -> dict[str, int]:
        """Journal the configuration where it is another than the one in force, and the start; the register of point numbers."""
        with closing(self.journal.reader()) as reader:
            known = (entry for seq in self.ledger.configurations for entry in reader.entries(seq - 1, seq))
            entries = [*known, *reader.entries(self.ledger.cursor, kinds=(CONFIGURATION,))]
        journalled = [(entry.at, body) for entry in entries if isinstance(body := decode_entry(entry), ConfigurationBody)]
        number_of = {point: number for _, body in journalled for point, number in body.points.items()}
        new = [point.id for point in self.configuration.facility.points if point.id not in number_of]
        added = {point: len(number_of) + i for i, point in enumerate(new)}
        content = self.configuration.as_entry()
        if not journalled or journalled[-1][1].entry != content:
            body = ConfigurationBody(self.configuration.judging_hash, SEMANTICS, added, content, reason="applied on start")
            entry = self.journal.append(CONFIGURATION, encode(body), self._stamps.now_ns())
            journalled.append((entry.at, body))
        self._paging = Paging(self._letterhead, self._judges, journalled)
        self.journal.append(SERVICE, encode(ServiceBody("started", version("renrum"))), self._stamps.now_ns())
        return number_of | added

    def _session(self, receiver: Receiver) -> Session:
        connection = connection_of(self.configuration.settings.mqtt)
        if self._broker:
            port = int(self._broker.url.rpartition(":")[2])
            connection = replace(connection, host="127.0.0.1", port=port, protocol=self._broker.protocol)
        site = self.configuration.facility.site.id
        heard_ns = self.journal.head.heard
        expected = heard_ns > 0 and not self._broker  # who has listened before has a session there
        return Session(connection, site, receiver, self._clock.monotonic_ns, heard_ns, expect_session=expected)

    def _build_monitor(self, number_of: dict[str, int]) -> ServiceMonitor:
        return ServiceMonitor(
            configuration=self.configuration,
            number_of=number_of,
            clock=self._clock,
            store=self._reader,
            series=lambda: self._series.reader(),
            journal=self.journal.reader,
            act=self._act,
            vitals=lambda: vitals_of(self.receiver, self.intake, self.stepper, self.mqtt_url),
            version=version("renrum"),
        )

    # Threads

    def _run_threads(self) -> None:
        self._steps_stop = threading.Event()
        self._thread("steps", lambda: self.stepper.run(self._steps_stop))
        self._thread("ingest", lambda: self.receiver.run(self._stop))
        for target, channel in self.configuration.oncall.channels.items():
            courier = Courier(target, channel, self._pending, self._delivered, self._clock.now_ns)
            self._thread(f"pages to {target}", partial(courier.run, self._stop))
        self._thread("watchdog", lambda: self._watchdog.run(self._stop))
        app = build_app(self.monitor, public_url=self.configuration.settings.http.public_url)
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=3)
        self._server = uvicorn.Server(config)
        self._thread("http", lambda: self._server.run([self.socket]) if self._server else None)

    def _thread(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _spawn(self, work: Callable[[], None]) -> None:
        threading.Thread(target=work, name="emergency", daemon=True).start()

    def _join(self, name: str) -> None:
        for thread in self._threads:
            if thread.name == name:
                thread.join(timeout=ANSWER_S)
                if thread.is_alive():
                    log.error("the thread %s does not end; what it had not finished is done at the next start", name)

    # What threads ask of each other

    def _act(self, body: ActionBody) -> Answer:
        answer = self.stepper.ask(ACTION, body).result(timeout=ANSWER_S)
        assert answer is not None
        return answer

    def _pending(self, target: str) -> list[OutboxItem]:
        with closing(self._reader()) as store:
            rows = store.rows(
                "select id, page, target, attempts, next_try, tried_at from outbox where target = ? and sent_at is null"
                " order by attempts, id limit 100",
                (target,),
            )
        return [OutboxItem(id, decode(page.encode()), to, attempts, due, tried) for id, page, to, attempts, due, tried in rows]

    def _delivered(self, result: DeliveryResult) -> None:
        with closing(self._reader()) as store:
            rows = store.rows("select page_id from outbox where id = ?", (result.item,))
        body = DeliveryBody(
            rows[0][0], result.target, result.attempt, result.at_ns, result.ok, result.permanent, result.detail, result.next_try_ns
        )
        done: Future[Answer | None] = self.stepper.ask(DELIVERY, body)
        done.result(timeout=ANSWER_S)

    def _own_url(self) -> str:
        http = self.configuration.settings.http
        return f"http://{http.host}:{http.port}"


def _listening(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        words = f"the console cannot listen on {host} port {port}: {error.strerror or error}. Give another `http.port`"
        raise OSError(words) from error


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
