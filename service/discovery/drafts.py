"""Drafts of sources.yaml from foreign JSON: one source for topics whose payloads look alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from facility.sources.filters import TopicFilter, parse_filter
from facility.sources.paths import JsonPath, parse_template
from ingest.decoding import fields
from ingest.decoding.mapped_values import text_of
from ingest.decoding.topics import NotUnderstood
from service.discovery import guesses
from service.discovery.guesses import Guess
from service.discovery.heard import Topic
from service.discovery.text import flow, scalar

Leaf = tuple[str, str, object]
Member = tuple[Topic, object]
Captures = tuple[tuple[int, str], ...]
_OURS = parse_filter("renrum/+/+/+")  # whatever the site: what Renrum reads itself is for no source
_NO_BRACES = str.maketrans("", "", "{}")


@dataclass(frozen=True, slots=True)
class DraftPoint:
    """A point that a draft feeds: the name that the source uses, the id proposed, what it seems to measure and how often."""

    name: str
    id: str
    guess: Guess
    period: str


@dataclass(slots=True)
class Draft:
    """A source as it could stand in sources.yaml."""

    id: str
    topics: list[str]
    filters: list[str] = field(default_factory=list)
    time: list[str] = field(default_factory=list)
    seq: str = ""
    quality: dict[str, object] = field(default_factory=dict)
    readings: list[dict[str, object]] = field(default_factory=list)
    points: list[DraftPoint] = field(default_factory=list)
    aside: list[str] = field(default_factory=list)
    """Values that look like no readings."""

    def lines(self) -> list[str]:
        """The source as an item of `sources`."""
        filters = scalar(self.filters[0]) if len(self.filters) == 1 else "[" + ", ".join(map(scalar, self.filters)) + "]"
        lines = [f"  - id: {scalar(self.id)}", "    kind: json", f"    topic: {filters}"]
        if self.time:
            lines.append(f"    time: {scalar(self.time[0]) if len(self.time) == 1 else '[' + ', '.join(self.time) + ']'}  # guessed")
        else:
            lines.append("    time: received  # no time was found in the payload: a redelivery would be a new reading")
        if self.seq:
            lines.append(f"    seq: {scalar(self.seq)}  # guessed: counts up by one for every reading of a point?")
        if self.quality:
            lines.append(f"    quality: {flow(self.quality)}  # guessed: what do the values mean?")
        lines.append("    points:")
        lines += [f"      {scalar(point.name)}: {scalar(point.id)}" for point in self.points]
        lines.append("    readings:")
        lines += [f"      - {flow(reading)}" for reading in self.readings]
        if self.aside:
            lines.append(f"    # not taken for readings: {', '.join(dict.fromkeys(self.aside))}")
        return lines


def drafts_of(topics: Sequence[Topic], taken: Sequence[TopicFilter], known: Iterable[str]) -> tuple[list[Draft], list[Topic]]:
    """Drafts for JSON topics, and the topics of which nothing could be made; no filter matches a topic of another draft or of `taken`."""
    groups: dict[tuple[int, frozenset[str]], list[Member]] = {}
    others: list[Topic] = []
    for topic in topics:
        try:
            parse_filter(topic.name)
            parsed = fields.parse(topic.sample)
        except (NotUnderstood, ValueError):
            others.append(topic)
            continue
        groups.setdefault((topic.name.count("/"), frozenset(_shape(parsed, "$"))), []).append((topic, parsed))
    drafts: list[Draft] = []
    ids, used = set(known), [*taken, _OURS]
    every = [topic.name for topic in topics]
    for members in sorted(groups.values(), key=lambda group: group[0][0].name):
        found = list(_drafts(members, every, used, ids))
        drafted = {name for draft in found for name in draft.topics}
        others += [topic for topic, _ in members if topic.name not in drafted]
        for draft in found:
            draft.id = f"discovered-{len(drafts) + 1}"
            used += map(parse_filter, draft.filters)
            drafts.append(draft)
    return drafts, others


def _drafts(members: list[Member], every: list[str], used: Sequence[TopicFilter], ids: set[str]) -> Iterator[Draft]:
    """One draft for all members where their names tell them apart, else one for each."""
    filters = _filters([topic.name for topic, _ in members], every, used)
    captures = parse_filter(filters[0]).names
    named = _template(members)
    level = " ".join(f"{{{name}}}" for _, name in captures)
    single = len(members) == 1
    for template in (named, f"{level} {named}".strip(), members[0][0].name.rpartition("/")[2].translate(_NO_BRACES) if single else ""):
        draft = _draft(members, filters, captures, template, ids) if template or single else None
        if draft is not None:
            yield draft
            return
    for member in members if not single else ():
        yield from _drafts([member], every, used, ids)


def _shape(value: object, path: str) -> set[str]:
    """The paths of all scalars, with arrays taken together: payloads of one kind have the same."""
    if isinstance(value, dict):
        return {found for name, item in value.items() for found in _shape(item, f"{path}.{name}")}
    if isinstance(value, list):
        return {found for item in value[:1] for found in _shape(item, f"{path}[]")}
    return {path}


def _filters(names: list[str], every: list[str], used: Sequence[TopicFilter]) -> list[str]:
    """One filter with captured levels, where it matches nothing else; else the topics themselves."""
    exact = sorted(names)
    if len(names) == 1 or any(sign in name for name in names for sign in "{}"):
        return exact
    levels = [set(level) for level in zip(*(name.split("/") for name in names), strict=True)]
    text = "/".join(f"{{level{number}}}" if len(level) > 1 else min(level) for number, level in enumerate(levels, 1))
    wide = parse_filter(text)
    clash = any(wide.match(name) is not None for name in every if name not in names) or any(wide.overlaps(other) for other in used)
    return exact if clash else [text]


def _draft(members: list[Member], filters: list[str], captures: Captures, template: str, ids: set[str]) -> Draft | None:
    """The draft whose points are named by a template; None where two topics would give one point, or nothing looks like a reading."""
    draft = Draft("", [topic.name for topic, _ in members], filters)
    parts = [(topic, parsed, path, element) for topic, parsed in members for path, element in _elements(parsed)]
    if not parts:
        return None
    _, parsed, each, element = parts[0]
    outer, inner = list(guesses.leaves(parsed, "$")), list(guesses.leaves(element, "")) if each else []
    leaves = inner + outer
    # Of a start and an end the end is the time: the last of a level comes first.
    ordered = [*reversed(inner), *reversed(outer)]
    draft.time = [leaf[0] for leaf in ordered if guesses.TIMES.fullmatch(leaf[1]) and guesses.is_time(leaf[2])][:2]
    sequence = guesses.first((leaf for leaf in leaves if isinstance(leaf[2], fields.Number)), guesses.SEQUENCES)
    draft.seq = sequence[0] if sequence else ""
    quality = guesses.first(leaves, guesses.QUALITIES)
    if quality is not None and quality[2] is not None:
        draft.quality = _quality(quality)
    special = {*draft.time, draft.seq, quality[0] if quality else ""}
    values = [leaf for leaf in (inner if each else outer) if _is_value(leaf, special)]
    count = next((leaf for leaf in values if leaf[1] in ("n", "count", "counts")), None)
    volume = next((leaf[0] for leaf in outer if leaf[1] in ("volume_l", "volume")), "")
    if each and count and volume:
        values = [count]
    draft.aside = [name for _, name, found in leaves if isinstance(found, fields.Number) and guesses.ASIDE.fullmatch(name)]
    owners: dict[str, str] = {}
    found: list[DraftPoint] = []
    for leaf in values:
        name = template if len(values) == 1 and template else f"{template} {leaf[1]}".strip()
        draft.readings.append(_reading(name, leaf, each, volume if count else "", leaves))
        for topic, whole, _, part in parts:
            text = _rendered(name, topic.name, captures, whole, part)
            if not text or owners.setdefault(text, topic.name) != topic.name:
                return None
            unit = next((str(at) for _, other, at in guesses.leaves(part, "") if other in (f"{leaf[1]}_unit", "unit")), "")
            guess = guesses.measured(text, "" if count and volume else unit)
            found.append(DraftPoint(text, guesses.point_id(text), guess, guesses.period(topic.interval_s)))
    for point in {point.name: point for point in found}.values():
        draft.points.append(replace(point, id=_unused(point.id, ids)))
    return draft if draft.points else None


def _rendered(template: str, topic: str, captures: Captures, whole: object, part: object) -> str:
    """What a template becomes for an element, empty where a part of it is missing, or is no name."""
    if not template:
        return ""
    levels = topic.split("/")
    captured = {name: levels[index] for index, name in captures}
    texts = []
    for piece in parse_template(template).parts:
        if isinstance(piece, JsonPath):
            texts.append(text_of(piece.find(whole, part)) or "")
        else:
            texts.append(piece if isinstance(piece, str) else captured[piece[0]])
    name = "".join(texts) if all(texts) else ""
    return name if len(name) <= 2 * guesses.LONGEST and name == name.strip() else ""


def _unused(id_: str, ids: set[str]) -> str:
    """The id, or one like it that nothing has yet; it is then taken."""
    free, number = id_, 1
    while free in ids:
        number += 1
        free = f"{id_}-{number}"
    ids.add(free)
    return free


def _elements(parsed: object) -> list[tuple[str, object]]:
    """The elements of the first array of objects, with its path; else the message itself."""
    if isinstance(parsed, list):
        return [("$", item) for item in parsed if isinstance(item, dict)]
    if not isinstance(parsed, dict):
        return []
    for name, item in parsed.items():
        place = guesses.member("$", name)
        if place and isinstance(item, list) and item and all(isinstance(element, dict) for element in item):
            return [(place, element) for element in item]
    return [("", parsed)]


def _is_value(leaf: Leaf, special: set[str]) -> bool:
    path, name, found = leaf
    if path in special or guesses.ASIDE.fullmatch(name) or guesses.NAMES.fullmatch(name):
        return False
    return isinstance(found, bool | fields.Number) and not guesses.is_time(found)


def _template(members: list[Member]) -> str:
    """What names the instrument: an identifier in the message and one in the element; empty when there is none."""
    _, parsed = members[0]
    each, element = next(iter(_elements(parsed)), ("", None))
    inner = guesses.first(guesses.leaves(element, ""), guesses.NAMES) if each else None
    outer = guesses.first((leaf for leaf in guesses.leaves(parsed, "$") if isinstance(leaf[2], str)), guesses.NAMES)
    if each and inner is None:
        return ""
    return " ".join(f"{{{leaf[0]}}}" for leaf in (outer, inner) if leaf is not None)


def _reading(name: str, leaf: Leaf, each: str, volume: str, leaves: list[Leaf]) -> dict[str, object]:
    reading: dict[str, object] = {"point": name}
    if each:
        reading["each"] = each
    if each and volume:
        return reading | {"count": leaf[0], "volume": volume}
    unit = next((path for path, other, found in leaves if other in (f"{leaf[1]}_unit", "unit", "uom") and isinstance(found, str)), "")
    return reading | {"value": leaf[0]} | ({"unit": unit} if unit else {})


def _quality(leaf: Leaf) -> dict[str, object]:
    path, name, found = leaf
    if isinstance(found, bool):
        return {"path": path, "good": True, "bad": False}
    number = fields.integer(found)
    if isinstance(number, int):
        return {"path": path, "codes": "opc_da" if number >= 64 and "bit" not in name else "bits"}
    return {"path": path, "good": [str(found)], "otherwise": "bad"}
