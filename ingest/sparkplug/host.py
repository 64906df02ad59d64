"""The host application that we are to edge nodes: their births, data and deaths to columns and journal entries."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from facility.problems import so_many
from facility.site import Facility
from facility.sources.source import Source
from facility.sources.sparkplug import NAMESPACE, SparkplugSource
from ingest.arrivals import Arrivals, Quarantined, Reason
from ingest.decoding.topics import NotUnderstood, refuse_large
from ingest.journal.entries import SourceBody
from ingest.lives import Lives
from ingest.message import Message, Outgoing
from ingest.sparkplug.batch import Batch, Known, source_of
from ingest.sparkplug.births import Births, groups_of
from ingest.sparkplug.metric import Definition
from ingest.sparkplug.node import NUMBERS, Born, Node
from ingest.sparkplug.payload import BD_SEQ, Metric, Payload, parse, rebirth_request
from ingest.sparkplug.readings import of_birth, take_readings
from ingest.sparkplug.rebirths import Key, Rebirths
from ingest.sparkplug.state import State
from ingest.sparkplug.topics import Address, address_of

MS_NS = 1_000_000
_KEPT_NODES = 65_536


class _Into(NamedTuple):
    """Where the readings of a message go: its topic, its index in the batch, the batch's columns."""

    topic: str
    place: int
    arrivals: Arrivals


class Host:
    """Knows the edge nodes of the sources of the kind sparkplug; one thread calls it.

    A batch is begun, its messages are taken, what was `said` is journalled, and then it is confirmed; without that it did not happen.
    Nothing that was learnt on one connection is trusted on the next: births are not kept for us, so an alias may have come to mean
    something else.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        facility: Facility,
        number_of: Mapping[str, int],
        now_ns: Callable[[], int],
        monotonic_ns: Callable[[], int],
    ) -> None:
        self._groups = groups_of(tuple(source for source in sources if isinstance(source, SparkplugSource)))
        self._births = Births(facility, number_of)
        self._now_ns, self._monotonic_ns = now_ns, monotonic_ns
        self._known = Known()
        self._batch = Batch(self._known)
        self._rebirths = Rebirths(lambda group: self._groups[group][0].rebirth_every_ns)
        self._ours: dict[Key, bool] = {}
        self._lost_before = 0
        self._state = State(next((source.host_id for source, _ in self._groups.values() if source.host_id), ""), now_ns)

    # For the session

    def connecting(self) -> Outgoing | None:
        """A connection begins: what was known of nodes is not certain any more. Returns the will."""
        self._known.absent.update(dict.fromkeys(self._known.lives))
        self._known.nodes.clear()
        return self._state.will()

    def subscribed(self) -> None:
        """The subscriptions stand."""
        self._state.say_online()

    def drained(self) -> None:
        """All that the broker had queued is read: whoever lived is asked to be born again, and has the time for it."""
        now = self._monotonic_ns()
        for source, deadline in self._known.absent.items():
            key, (group, _) = _key_of(source), self._groups[source.split("/")[0]]
            self._rebirths.want(key)
            if deadline is None:
                self._known.absent[source] = now + group.birth_within_ns
        for name, (_, metrics) in self._groups.items():
            for node in metrics.nodes:
                if (name, node) not in self._known.nodes:
                    self._rebirths.want((name, node))

    def outgoing(self) -> list[Outgoing]:
        """What is to be published now."""
        requests = [
            Outgoing(f"{NAMESPACE}/{group}/NCMD/{node}", rebirth_request(self._now_ns() // MS_NS), 0, False)
            for group, node in self._rebirths.due(self._monotonic_ns())
        ]
        return [*self._state.outgoing(), *requests]

    def farewell(self) -> list[Outgoing]:
        """What is published before we leave."""
        return self._state.farewell()

    def due(self) -> bool:
        """Whether a time has run out, so that there is something for the journal though no message came."""
        now = self._monotonic_ns()
        return any(deadline is not None and now >= deadline for deadline in self._known.absent.values()) or any(
            node.missing and now >= node.overdue_ns for node in self._known.nodes.values()
        )

    # For the intake

    @property
    def lost(self) -> int:
        """Messages that are known to be lost since the start, by their numbers."""
        return self._known.lives.lost - self._lost_before

    @property
    def rebirths(self) -> int:
        """How often a node was asked to be born again."""
        return self._rebirths.asked

    @property
    def said(self) -> list[SourceBody]:
        """What the batch has for the journal."""
        return self._batch.said

    def recall(self, lives: Lives) -> None:
        """Who lived when the journal ends; those that are no longer ours are forgotten."""
        self._known.lives, self._lost_before = lives, lives.lost
        for source in [source for source in lives if not self._is_ours(_key_of(source))]:
            del lives[source]
        self._known.absent = dict.fromkeys(lives)

    def follow(self, before: Host) -> None:
        """Take up where another host ends, whose connection is closed: its sources were configured otherwise."""
        self.recall(before._known.lives.copy())
        self._lost_before = before._lost_before

    def begin(self) -> None:
        """A batch begins; what became of the last one if it was not confirmed is forgotten."""
        now = self._monotonic_ns()
        batch = self._batch = Batch(self._known)
        for key in [key for key, node in self._known.nodes.items() if node.missing and now >= node.overdue_ns]:
            node = batch.node(key)
            assert node is not None
            batch.gap(source_of(key), node.give_up())
            self._rebirths.want(key)
        for source in [source for source, deadline in self._known.absent.items() if deadline is not None and now >= deadline]:
            if source in self._known.lives:
                batch.died(source, "not born again in time")
            batch.gone(source)
            self._births.let_go(source)

    def confirm(self) -> None:
        """What was said is durable."""
        self._batch.confirm()
        self._batch = Batch(self._known)

    def take(self, message: Message, index: int, arrivals: Arrivals) -> bool:
        """Take all that a message holds; False when its topic is none of ours. No payload makes it raise."""
        if self._state.heard(message):
            return True
        address = address_of(message.topic)
        if address is None or address.group not in self._groups:
            return False
        if address.kind.endswith("CMD") or not self._is_ours((address.group, address.node)):
            return True
        try:
            self._hear(message, address, _Into(message.topic, index, arrivals))
        except NotUnderstood as why:
            arrivals.quarantine.append(Quarantined(message.topic, message.payload, why.reason, why.detail))
        return True

    def _is_ours(self, key: Key) -> bool:
        if key not in self._ours:
            if len(self._ours) >= _KEPT_NODES:
                self._ours.clear()
            self._ours[key] = key[0] in self._groups and self._groups[key[0]][1].knows(key[1])
        return self._ours[key]

    def _hear(self, message: Message, address: Address, into: _Into) -> None:
        group, kind, node, device = address
        key = (group, node)
        if message.retained:
            raise NotUnderstood(Reason.RETAINED, f"a retained {kind}")
        refuse_large(message.payload)
        try:
            payload = parse(message.payload)
            if kind == "NDEATH":
                self._node_died(key, payload)
            elif kind == "NBIRTH":
                self._node_born(key, payload, into)
            else:
                self._follow(kind, key, device, payload, into)
        except ValueError as error:
            self._rebirths.want(key)
            raise NotUnderstood(Reason.NOT_SPARKPLUG, str(error)) from None

    # Births and deaths

    def _node_born(self, key: Key, payload: Payload, into: _Into) -> None:
        group, metrics = self._groups[key[0]]
        born = self._births.read(metrics, source_of(key), key[1], "", payload)
        before = self._batch.node(key)
        if before is not None and before.missing:
            self._batch.gap(source_of(key), before.give_up())
        first = payload.seq % NUMBERS
        bd_seq = _bd_seq(payload)
        self._batch.nodes[key] = Node({"": born}, bd_seq, first, payload.timestamp, expected=(first + 1) % NUMBERS)
        self._batch.born(source_of(key), born.points, f"bdSeq {bd_seq}, {_many(born)}")
        self._batch.devices_missing(key, self._monotonic_ns() + group.birth_within_ns)
        self._rebirths.answered(key)
        take_readings(of_birth(payload, born), payload, *into)

    def _node_died(self, key: Key, payload: Payload) -> None:
        node, bd_seq = self._batch.node(key), _bd_seq(payload)
        if node is None or (None not in (bd_seq, node.bd_seq) and bd_seq != node.bd_seq):
            return  # of an earlier session, or of one that we know nothing of: whoever lived then has the time to be born again
        if node.missing:
            self._batch.gap(source_of(key), node.give_up())
        self._batch.nodes[key] = None
        self._batch.died(source_of(key), f"death of the node, bdSeq {bd_seq}")
        self._births.let_go(source_of(key))

    def _follow(self, kind: str, key: Key, device: str, payload: Payload, into: _Into) -> None:
        """A message of a living node: in its sequence or not."""
        group, metrics = self._groups[key[0]]
        node = self._batch.node(key)
        if node is None:
            self._rebirths.want(key)
            raise NotUnderstood(Reason.BEFORE_BIRTH, f"no birth of {source_of(key)} since we came, or since its death")
        in_sequence = not payload.HasField("seq") or node.follow(payload.seq % NUMBERS, self._monotonic_ns() + group.reorder_ns)
        if not in_sequence and payload.timestamp < node.sent_ms:
            raise NotUnderstood(Reason.BEFORE_BIRTH, f"sent before the birth of {source_of(key)}, and overtaken by it")
        if kind == "DBIRTH":
            born = self._births.read(metrics, source_of(key, device), key[1], device, payload)
            node.births[device] = born
            self._batch.born(source_of(key, device), born.points, _many(born))
            take_readings(of_birth(payload, born), payload, *into)
        elif kind == "DDEATH":
            node.births.pop(device, None)
            self._batch.died(source_of(key, device), "death of the device")
            self._births.let_go(source_of(key, device))
        else:
            self._data(key, device, node, payload, into)

    # Data

    def _data(self, key: Key, device: str, node: Node, payload: Payload, into: _Into) -> None:
        born = node.births.get(device)
        if born is None or not node.certain:
            self._rebirths.want(key)
            source = source_of(key, device)
            raise NotUnderstood(Reason.BEFORE_BIRTH, f"no birth of {source}" if born is None else f"a birth of {source} may have been lost")
        named: list[tuple[Metric, Definition]] = []
        for metric in payload.metrics:
            definition = born.by_name.get(str(metric.name)) if metric.name else born.by_alias.get(metric.alias)
            if definition is None:
                self._rebirths.want(key)
                what = repr(metric.name) if metric.name else f"alias {metric.alias}"
                raise NotUnderstood(Reason.METRIC_UNKNOWN, f"the metric {what} is not in the birth of {source_of(key, device)}")
            named.append((metric, definition))
        take_readings(named, payload, *into)


def host_of(
    sources: Sequence[Source],
    facility: Facility,
    number_of: Mapping[str, int],
    now_ns: Callable[[], int],
    monotonic_ns: Callable[[], int],
) -> Host | None:
    """The host application, where a source needs one."""
    if not any(isinstance(source, SparkplugSource) for source in sources):
        return None
    return Host(sources, facility, number_of, now_ns, monotonic_ns)


def _key_of(source: str) -> Key:
    group, node, *_ = source.split("/")
    return group, node


def _bd_seq(payload: Payload) -> int | None:
    """The number of the session that a birth or death belongs to, None when it says none."""
    for metric in payload.metrics:
        if metric.name == BD_SEQ:
            carrier = metric.WhichOneof("value")
            return int(getattr(metric, carrier)) if carrier in ("int_value", "long_value") else None
    return None


def _many(born: Born) -> str:
    return f"{so_many(len(born.by_name), 'metric')}, {so_many(len(born.points), 'point')}"
