"""Messages a second from the broker's queue to the journal and acknowledged, beside a loop that only acknowledges."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.bare import BareLoop
from benchmarks.bench import Bench
from benchmarks.figure import Figure, Limit, number, ratio, spread
from benchmarks.plant import rounds, site
from facility.wire import Published, encode_reading, encode_readings, topic_of
from ingest.admission.intake import Intake
from ingest.journal.journal import Journal
from ingest.mqtt.broker import EmbeddedBroker, mosquitto_binary
from ingest.mqtt.link import Connection
from ingest.mqtt.session import Session
from ingest.series.series import Series
from service.configuration.configuration import Configuration

SHARE_MIN = 0.8
TOPICS = "renrum/bench/r0/+"
"""All the points, and not the messages that our session sends itself."""
POINTS = 100
GOODBYE_S = 0.05
"""After the measurement, so long until the link is closed: who hangs up at once may take acknowledgements away from the broker."""
Message = tuple[str, bytes]


def run(bench: Bench) -> Iterator[Figure]:
    """Every session has its own queue of the same messages; the two kinds of sessions are drained in turn."""
    if mosquitto_binary() is None:
        yield Figure("messages: left out, mosquitto is not installed", 0, "messages/s")
        return
    configuration = site(bench.place("messages"), POINTS)
    each = bench.size(100, 2)
    single = _published(configuration, each, 1)
    arrays = _published(configuration, bench.size(1000, 100), 100)
    yield from _compared(bench, configuration, "5", "single readings, MQTT 5", single, 1)
    yield from _compared(bench, configuration, "3.1.1", "single readings, MQTT 3.1.1", single, 1)
    yield from _compared(bench, configuration, "5", "arrays of 100 readings, MQTT 5", arrays, 100)


def _compared(
    bench: Bench, configuration: Configuration, version: Literal["5", "3.1.1"], what: str, messages: Sequence[Message], each: int
) -> Iterator[Figure]:
    turns = bench.size(7, 1)
    place = bench.place(f"messages-{version}-{each}")
    ours, theirs = [], []
    with EmbeddedBroker(place, kind="mosquitto") as broker:
        port = urlsplit(broker.url).port
        assert port is not None
        connections = [
            Connection("127.0.0.1", port, client_id=f"{who}-{turn}", protocol=version) for turn in range(turns) for who in ("bare", "ours")
        ]
        for connection in connections:
            BareLoop(connection, version, TOPICS).subscribe()  # ours adds its own subscription, which brings nothing twice
        _publish(port, messages)
        for turn in range(turns):
            theirs.append(len(messages) / _bare_s(connections[2 * turn], version, len(messages)))
            ours.append(len(messages) / _ours_s(place / f"{turn}", connections[2 * turn + 1], configuration, len(messages), each))
    note = f"bare loop {number(sorted(theirs)[turns // 2])}; {spread(ours)}"
    share = ratio(ours, theirs)
    if each == 1 and version == "5":
        yield Figure(what, sorted(ours)[turns // 2], "messages/s", note, Limit(share, SHARE_MIN, at_least=True))
    elif each == 1:
        yield Figure(what, sorted(ours)[turns // 2], "messages/s", f"{number(share)} of the {note}")
    else:
        yield Figure(what, each * sorted(ours)[turns // 2], "readings/s", f"{note} messages/s")


def _bare_s(connection: Connection, version: str, count: int) -> float:
    loop = BareLoop(connection, version, TOPICS)
    begun = time.perf_counter()
    loop.drain(count)
    took_s = time.perf_counter() - begun
    assert loop.received == count, f"{loop.received} of {count} messages"
    return took_s


def _ours_s(folder: Path, connection: Connection, configuration: Configuration, count: int, each: int) -> float:
    folder.mkdir()
    facility = configuration.facility
    with closing(Journal(folder / "journal.db")) as journal, closing(Series(folder / "series.db")) as series:
        intake = Intake(journal, series, time.time_ns)
        intake.configure(facility, {point.id: index for index, point in enumerate(facility.points)}, accept_simulated=True)
        stop = threading.Event()
        session = Session(connection, facility.site.id, intake, time.monotonic_ns, check_queue=False)
        drained: list[float] = []

        def appended() -> None:
            if session.drained and not drained:
                drained.append(time.perf_counter())
                threading.Timer(GOODBYE_S, _end, (session, stop)).start()

        intake.appended = appended
        begun = time.perf_counter()
        session.run(stop)
        took_s = drained[0] - begun
        assert (intake.sums.received, intake.sums.stored) == (count * each, count * each), intake.sums
        assert sum(entry.readings for entry in journal.reader().entries()) == count * each
        _nothing_is_left(connection, facility.site.id, intake)
    return took_s


def _end(session: Session, stop: threading.Event) -> None:
    stop.set()
    session.wake()


def _nothing_is_left(connection: Connection, site_id: str, intake: Intake) -> None:
    """All was acknowledged: the broker has nothing more for the session."""
    stop = threading.Event()
    received = intake.sums.received
    session = Session(connection, site_id, intake, time.monotonic_ns, check_queue=False)
    intake.appended = lambda: stop.set() if session.drained else None
    session.run(stop)
    assert intake.sums.received == received, (intake.sums, received)


def _published(configuration: Configuration, count: int, each: int) -> list[Message]:
    """`count` readings of every point, one after the other as instruments send them, `each` to a message."""
    facility = configuration.facility
    said = rounds(0, count, len(facility.points)).value.round(2)
    begin_ns = time.time_ns() // 10**9 * 10**9 - count * 10**9
    messages = []
    for first in range(0, count, each):
        for index, point in enumerate(facility.points):
            readings = [
                Published(begin_ns + row * 10**9, float(said[row, index]), unit=point.unit, quality="good", sequence=row)
                for row in range(first, first + each)
            ]
            payload = encode_reading(readings[0]) if each == 1 else encode_readings(readings)
            messages.append((topic_of(facility.site.id, point), payload))
    return messages


def _publish(port: int, messages: Sequence[Message]) -> None:
    client = Client(CallbackAPIVersion.VERSION2, "instruments")
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    sent = [client.publish(topic, payload, qos=1) for topic, payload in messages]
    for message in sent:
        message.wait_for_publish(60)
    client.disconnect()
    client.loop_stop()
