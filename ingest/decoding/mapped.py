"""Foreign JSON payloads to columns, as sources.yaml maps them: every element by itself, what is not understood whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from facility.site import Facility
from facility.sources.json import JsonSource, MappedReading, Target
from facility.sources.paths import ABSENT, JsonPath, Template
from facility.sources.source import Source
from ingest.arrivals import Arrivals, Quarantined, Reason
from ingest.decoding import fields
from ingest.decoding.instant import Instants
from ingest.decoding.mapped_values import Stamp, quality_of, same, text_of, time_of, value_of
from ingest.decoding.topics import NEVER_NS, Addressed, NotUnderstood, readable, refuse_large
from ingest.message import Message

_KEPT_TOPICS = 65_536
_KEPT_NAMES = 100


@dataclass(slots=True)
class _Part:
    """What readings are taken from: a whole message, or one element of it; and what came of that."""

    source: JsonSource
    captured: dict[str, str]
    message: object
    element: object
    index: int
    payload: Callable[[], bytes]
    each: str = ""
    rows: int = 0
    passed_over: int = 0
    failures: list[NotUnderstood] = field(default_factory=list)


class MappedDecoder:
    """Decodes messages of JSON sources for one facility."""

    def __init__(self, sources: Sequence[Source], facility: Facility, number_of: Mapping[str, int]) -> None:
        self._sources = [source for source in sources if isinstance(source, JsonSource)]
        self._points = {
            point.id: Addressed(number_of[point.id], point, NEVER_NS if point.retired_ns is None else point.retired_ns)
            for point in facility.measured
        }
        self._found: dict[str, tuple[JsonSource, dict[str, str]] | None] = {}
        self._instants = Instants()

    def take(self, message: Message, index: int, arrivals: Arrivals, stamp: Stamp) -> bool:
        """Take everything that a message holds, each piece once; False when it is of no source. No payload makes it raise."""
        found = self._source_of(message.topic)
        if found is None:
            return False
        source, captured = found
        before = len(arrivals.quarantine)
        try:
            refuse_large(message.payload)
            whole = fields.parse(message.payload)
            if source.ignore_when and _applies(source.ignore_when, whole, whole):
                _pass_over(arrivals, source.id)
                return True
            came = 0
            stamped = None if message.retained else stamp
            for part, readings in self._parts(source, captured, whole, message.payload, index):
                self._readings(part, readings, arrivals, stamped)
                came += part.rows + part.passed_over + len(part.failures)
                if part.failures:
                    arrivals.quarantine.append(_quarantined(message.topic, part.payload(), part.failures))
            if not came:
                raise NotUnderstood(Reason.NOT_MAPPED, f"no reading of the source {source.id} applies to this message")
        except NotUnderstood as why:
            assert len(arrivals.quarantine) == before
            arrivals.quarantine.append(Quarantined(message.topic, message.payload, why.reason, why.detail))
        return True

    def _source_of(self, topic: str) -> tuple[JsonSource, dict[str, str]] | None:
        if topic not in self._found:
            if len(self._found) >= _KEPT_TOPICS:
                self._found.clear()
            matches = ((source, filter.match(topic)) for source in self._sources for filter in source.filters)
            self._found[topic] = next(((source, captured) for source, captured in matches if captured is not None), None)
        return self._found[topic]

    def _parts(
        self, source: JsonSource, captured: dict[str, str], whole: object, payload: bytes, index: int
    ) -> Iterator[tuple[_Part, Sequence[MappedReading]]]:
        """The message with the readings taken from it whole, then every element with those taken from it."""
        message = _Part(source, captured, whole, whole, index, lambda: payload)
        arrays: list[tuple[JsonPath, object, Sequence[MappedReading]]] = []
        direct: list[MappedReading] = []
        for each, group in source.groups:
            if each is None:
                direct += group
                continue
            try:
                members = each.find(whole, whole)
                if isinstance(members, dict | list) and not isinstance(members, fields.Repeated):
                    arrays.append((each, members, group))
                elif members is not ABSENT or not all(own.optional or own.when for own in group):
                    raise NotUnderstood(Reason.VALUE_MISSING, f"no array of readings at {each.text}")
            except NotUnderstood as why:
                message.failures.append(why)
        yield message, direct
        for each, members, readings in arrays:
            assert isinstance(members, dict | list)
            for key, element in members.items() if isinstance(members, dict) else enumerate(members):
                only = partial(_alone, payload, whole, each.keys, key, element)
                # In an array the place says nothing: out of quarantine the element comes alone, and would be another one.
                named = {**captured, "key": str(key)} if isinstance(members, dict) else captured
                yield _Part(source, named, whole, element, index, only, each.text), readings

    def _readings(self, part: _Part, readings: Sequence[MappedReading], arrivals: Arrivals, stamp: Stamp | None) -> None:
        for own in readings:
            try:
                self._reading(part, own, arrivals, stamp)
            except NotUnderstood as why:
                part.failures.append(why)

    def _reading(self, part: _Part, own: MappedReading, arrivals: Arrivals, stamp: Stamp | None) -> None:
        message, element = part.message, part.element
        if own.when and not _applies(own.when, message, element):
            return
        value_path = own.count if own.value is None else own.value
        if own.optional and value_path is not None and value_path.find(message, element) is ABSENT:
            return
        name, *others = _names(own.point, part)
        target = part.source.target(name) or next(filter(None, map(part.source.target, others)), None)
        if (target is None or target.point not in self._points) and part.source.ignores(name):
            part.passed_over += 1
            _pass_over(arrivals, name)
            return
        addressed = self._addressed(part.source, target, name)
        row = len(arrivals.point)
        value, fault, raw = value_of(own, target or Target(name), addressed.point.unit, message, element, row)
        quality = quality_of(own.quality, message, element)
        sequence = -1
        if own.seq is not None:
            found = own.seq.find(message, element)
            sequence = fields.sequence(None if found is ABSENT else found)
        time = time_of(own.clock, message, element, stamp, self._instants)
        if time >= addressed.retired_ns:
            raise NotUnderstood(Reason.POINT_UNKNOWN, f"{addressed.point.id} was retired before the time of this reading")
        arrivals.add(addressed.number, time, value, 2 if fault else quality, sequence, part.index)
        if raw is not None:
            arrivals.raw.append(raw)
        arrivals.parts[row] = part.payload
        part.rows += 1

    def _addressed(self, source: JsonSource, target: Target | None, name: str) -> Addressed:
        addressed = None if target is None else self._points.get(target.point)
        if addressed is None:
            where = "facility file" if source.table is None else f"table of the source {source.id}"
            raise NotUnderstood(Reason.POINT_UNKNOWN, f"no point {name} in the {where}")
        return addressed


def _applies(when: tuple[tuple[JsonPath, frozenset[str]], ...], message: object, element: object) -> bool:
    return all(same(path.find(message, element), texts) for path, texts in when)


def _names(template: Template, part: _Part) -> list[str]:
    """What the template becomes: first as received, then with numbers in their other spellings, as 5 and 5.0 name the same."""
    names = [""]
    for piece in template.parts:
        if isinstance(piece, str):
            texts = [piece]
        elif isinstance(piece, tuple):
            if piece[0] not in part.captured:
                raise NotUnderstood(Reason.POINT_UNKNOWN, f"no key in an array; name its places one by one: {part.each}[0], {part.each}[1]")
            texts = [part.captured[piece[0]]]
        else:
            texts = _spellings(piece, piece.find(part.message, part.element))
        names = [name + text for text in texts for name in names]
    return names


def _spellings(path: JsonPath, found: object) -> list[str]:
    text = text_of(found)
    if text is None:
        shown = "nothing" if found is ABSENT else fields.kind(found)
        raise NotUnderstood(Reason.POINT_UNKNOWN, f"{shown} at {path.text}, which names the point")
    if not isinstance(found, fields.Number):
        return [text]
    return list(dict.fromkeys((str(found), text, repr(float(found)))))


def _alone(payload: bytes, whole: object, keys: tuple[str | int, ...], key: str | int, element: object) -> bytes:
    """The message with one element only, as JSON: what is needed to understand that element later."""

    def within(value: object, left: tuple[str | int, ...]) -> object:
        if not left:
            return {key: element} if isinstance(value, dict) else [element]
        step = left[0]
        if isinstance(value, dict):
            return {name: within(item, left[1:]) if name == step else item for name, item in value.items()}
        assert isinstance(value, list)
        assert isinstance(step, int)
        place = step if step >= 0 else len(value) + step
        return [within(item, left[1:]) if index == place else item for index, item in enumerate(value)]

    try:
        return fields.json_text(within(whole, keys)).encode()
    except RecursionError:  # the parser goes deeper than we can
        return payload


def _quarantined(topic: str, payload: bytes, failures: list[NotUnderstood]) -> Quarantined:
    """One piece for all that was not understood of a message or element: the first reason counts, the details say them all."""
    details = dict.fromkeys(f"{why.detail}" if why.reason == failures[0].reason else f"{why.reason}: {why.detail}" for why in failures)
    return Quarantined(topic, payload, failures[0].reason, readable("; ".join(details)))


def _pass_over(arrivals: Arrivals, name: str) -> None:
    name = readable(name) if len(arrivals.ignored_keys) < _KEPT_NAMES else "…"
    arrivals.ignored_keys[name] = arrivals.ignored_keys.get(name, 0) + 1
