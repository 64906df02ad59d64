"""A Sparkplug host application told messages by hand, on a connection that is drained and with a clock turned by hand."""

from __future__ import annotations

from facility.site import Facility, Place, Point, Site
from facility.sources.sparkplug import Metric, SparkplugSource
from ingest.arrivals import Arrivals
from ingest.lives import Lives
from ingest.message import Message
from ingest.sparkplug.host import Host
from tests.support.edge import BOOLEAN, DOUBLE, INT64, REBIRTH, metric, payload
from tests.support.hands import Hands

MS = 1_800_000_000_000
NS = MS * 1_000_000
POINTS = (
    Point("t", "temperature", "degC", "lab"),
    Point("dp", "differential_pressure", "Pa", "lab"),
    Point("door", "door", "1", "lab"),
    Point("ahu.rh", "relative_humidity", "%", "lab"),
)
FACILITY = Facility(Site("site", "Site"), (Place("lab", "Lab"),), POINTS)
NUMBERS = {point.id: number for number, point in enumerate(POINTS)}
NAMES = {number: point for point, number in NUMBERS.items()}
SOURCE = SparkplugSource(
    id="plant",
    group="plant",
    host_id="renrum",
    metrics=(
        Metric("edge", "plc", "Room/Temperature", "t"),
        Metric("edge", "plc", "Room/Pressure", "dp", "kPa"),
        Metric("edge", "", "Door", "door"),
        Metric("{unit}", "+", "Env/{what}", "{unit}.{what}"),
    ),
    reorder_ns=2 * 10**9,
    rebirth_every_ns=30 * 10**9,
    birth_within_ns=30 * 10**9,
    points=frozenset(NUMBERS),
)


class Bench:
    """A host on a connection that is drained, with a clock turned by hand; `say` is a batch of one message that becomes durable."""

    def __init__(self, lives: Lives | None = None) -> None:
        self.clock = Hands(NS)
        self.host = Host([SOURCE], FACILITY, NUMBERS, self.clock.now_ns, self.clock.monotonic_ns)
        self.host.recall(lives or Lives())
        self.connect()
        self.said: list[tuple[str, str, list[str]]] = []

    def connect(self) -> None:
        self.host.connecting()
        self.host.subscribed()
        self.host.drained()

    def say(self, kind: str, data: bytes, device: str = "", node: str = "edge", retained: bool = False, durable: bool = True) -> Arrivals:
        topic = "/".join(["spBv1.0", "plant", kind, node, *([device] if device else [])])
        return self.batch(Message(topic, data, 0, retained), durable=durable)

    def batch(self, *messages: Message, durable: bool = True) -> Arrivals:
        arrivals = Arrivals()
        self.host.begin()
        for index, message in enumerate(messages):
            assert self.host.take(message, index, arrivals)
        if durable:
            self.said += [(body.event, body.source, [NAMES[point] for point in body.points]) for body in self.host.said]
            self.host.confirm()
        return arrivals

    def born(self, bd_seq: int | None = 1, first: int = 0, alias: int = 1) -> Arrivals:
        """The node and its device, whose aliases begin at `alias`."""
        session = [] if bd_seq is None else [metric("bdSeq", datatype=INT64, long=bd_seq)]
        self.say("NBIRTH", payload(*session, metric(REBIRTH, datatype=BOOLEAN, bool=False), DOOR, at_ms=MS, seq=first))
        device = (
            metric("Room/Temperature", alias, MS, DOUBLE, double=20.0),
            metric("Room/Pressure", alias + 1, MS, DOUBLE, double=0.015),
            metric("Uptime", alias + 2, MS, 8, long=77),
        )
        return self.say("DBIRTH", payload(*device, at_ms=MS, seq=(first + 1) % 256), "plc")

    def data(self, seq: int, alias: int = 1, value: float = 21.0, at_ms: int = MS + 1000, **more: int) -> Arrivals:
        return self.say("DDATA", payload(metric(alias=alias, at_ms=at_ms, double=value), at_ms=more.get("sent", at_ms), seq=seq), "plc")

    def asked(self) -> list[str]:
        """Topics of what is published to nodes now."""
        return [message.topic for message in self.host.outgoing() if "/NCMD/" in message.topic]


DOOR = metric("Door", datatype=BOOLEAN, at_ms=MS, bool=True)


def rows(arrivals: Arrivals) -> list[tuple[str, int, float, int]]:
    """point, ms after MS, value, quality"""
    columns = zip(arrivals.point, arrivals.time, arrivals.value, arrivals.quality, strict=True)
    return [(NAMES[point], (time - NS) // 1_000_000, value, quality) for point, time, value, quality in columns]


def reasons(arrivals: Arrivals) -> list[str]:
    return [str(piece.reason) for piece in arrivals.quarantine]
