"""What stands in a JSON element, read with patience: the slow path of decoding, for all that is not plain and well-formed."""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from facility.units import UnknownUnit, conversion, dimension
from ingest.arrivals import Reason
from ingest.decoding.topics import NotUnderstood, readable

Fields = dict[str, object]

_WHITE = re.compile(r"[ \t\n\r]*")
_DECIMAL = re.compile(r"\s*[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)
_NOT_FINITE = re.compile(r"\s*[+-]?(nan|inf|infinity)\s*", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"-?\d{1,40}", re.ASCII)
_LONGEST_KEY = 16
_KEPT_NAMES = 100
EXACT = 2**53
"""From here on a float64 cannot tell every integer from the next."""


class Number(str):
    """A JSON number, or one of NaN, Infinity and -Infinity, as its text: nothing is rounded before it is understood."""

    __slots__ = ()


class Repeated(dict[str, object]):
    """An object in which a key stands twice: nobody takes anything out of it."""

    key = ""

    def get(self, key: str, default: object = None) -> object:
        raise NotUnderstood(Reason.KEY_REPEATED, f"the key {self.key} stands twice")


def _object(pairs: list[tuple[str, object]]) -> Fields:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    repeated = Repeated(fields)
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            repeated.key = name
        seen.add(name)
    return repeated


_JSON = json.JSONDecoder(object_pairs_hook=_object, parse_int=Number, parse_float=Number, parse_constant=Number)


@contextmanager
def _json(payload: bytes) -> Iterator[None]:
    """What cannot be parsed, as the reason why."""
    try:
        yield
    except RecursionError:
        raise NotUnderstood(Reason.NOT_JSON, "nested too deep") from None
    except UnicodeDecodeError as error:
        raise NotUnderstood(Reason.NOT_JSON, f"not UTF-8 at byte {error.start}") from None
    except ValueError as error:
        raise NotUnderstood(Reason.NOT_JSON, str(error) if payload else "an empty payload (it clears a retained message)") from None


def split(payload: bytes) -> list[tuple[bytes, object]]:
    """The elements of a payload, each with its own JSON text as received; a lone object is one element.

    Raises NotUnderstood when it cannot be split: then it counts one.
    """
    with _json(payload):
        text = payload.decode("utf-8-sig")
        return [(text[start:end].encode(), element) for start, end, element in _elements(text)]


def parse(payload: bytes) -> object:
    """A payload as it is, numbers as their texts; raises NotUnderstood."""
    with _json(payload):
        return _JSON.decode(payload.decode("utf-8-sig"))


def json_text(value: object) -> str:
    """JSON of what `parse` gave, its numbers digit for digit as they were received."""
    if isinstance(value, Number):
        return str(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)}: {json_text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(json_text, value)) + "]"
    return json.dumps(value)


def _elements(text: str) -> Iterator[tuple[int, int, object]]:
    position = _skip(text, 0)
    if text[position : position + 1] != "[":
        element, end = _JSON.raw_decode(text, position)
        if _skip(text, end) != len(text):
            raise ValueError(f"more after the end of the object at character {end}")
        yield position, end, element
        return
    position = _skip(text, position + 1)
    if text[position : position + 1] == "]":
        raise NotUnderstood(Reason.NOT_AN_OBJECT, "an empty array")
    while True:
        element, end = _JSON.raw_decode(text, position)
        yield position, end, element
        position = _skip(text, end)
        mark = text[position : position + 1]
        position = _skip(text, position + 1)
        if mark == "]" and position == len(text):
            return
        if mark != ",":
            raise ValueError(f"the array breaks off at character {end}")


def _skip(text: str, position: int) -> int:
    match = _WHITE.match(text, position)
    return match.end() if match else position


def fields_of(element: object, known: tuple[str, ...], ignored: dict[str, int]) -> Fields:
    """The element as an object of which every key is read once.

    Keys that are not ours are passed over and counted in `ignored`: instruments add `fw` or `batt`, and to refuse a reading for that
    would keep it from the rules, though nothing of it is altered. But one that is nearly ours is refused: a misspelt `quality: bad` that
    is passed over makes a bad reading good.
    """
    if not isinstance(element, dict):
        raise NotUnderstood(Reason.NOT_AN_OBJECT, f"found {kind(element)}; a reading is an object")
    if isinstance(element, Repeated):
        raise NotUnderstood(Reason.KEY_REPEATED, f"the key {element.key} stands twice")
    others = [key for key in element if key not in known]
    for key in others:
        meant = _nearly(key, known) if len(key) <= _LONGEST_KEY else None
        if meant is not None and meant not in element:
            raise NotUnderstood(Reason.KEY_UNKNOWN, f"the key {key} is not known; is {meant} meant?")
    for key in others:
        name = readable(key) if len(ignored) < _KEPT_NAMES else "…"  # a sender that makes up names must not fill our memory with them
        ignored[name] = ignored.get(name, 0) + 1
    return element


@lru_cache(maxsize=1024)
def _nearly(key: str, known: tuple[str, ...]) -> str | None:
    name = key.strip().casefold()
    # Comparing takes its time; with the first letter wrong as well, people do not take one key for the other.
    likely = [other for other in known if other[0] == name[:1] and abs(len(other) - len(name)) <= 2]
    matches = difflib.get_close_matches(name, likely, n=1, cutoff=0.8)
    return matches[0] if matches else None


def kind(element: object) -> str:
    """What sort of JSON value it is, for people."""
    if element is None:
        return "null"
    if isinstance(element, Number):
        return "a number"
    return {bool: "true or false", str: "a text", list: "an array"}.get(type(element), "something else")


def number(name: str, found: object) -> tuple[float, float | str | None]:
    """The float64 of a value and what was received for it; nan or an infinity, with what was received, when that is not finite or null.

    Numeric text is a number, true and false are 1 and 0. Raises NotUnderstood for anything else.
    """
    if found is None:
        return math.nan, None
    if isinstance(found, bool):
        return float(found), float(found)
    if not isinstance(found, str):
        raise NotUnderstood(Reason.VALUE_INVALID, f"{name} is {kind(found)}, not a number")
    if not isinstance(found, Number):
        if _NOT_FINITE.fullmatch(found):
            return float(found), found
        if not _DECIMAL.fullmatch(found):
            raise NotUnderstood(Reason.VALUE_INVALID, f"{name} is the text {found!r}, not a number")
    value = float(found)
    if not math.isfinite(value):
        return value, str(found)
    rounded = abs(value) >= EXACT and _INTEGER.fullmatch(found) is not None and int(found) != int(value)
    plain = isinstance(found, Number) and not rounded
    return value, value if plain else str(found)


def integer(found: object) -> int | float | None:
    """A JSON number as int where it is written as one, else as float; None when it is no finite number."""
    if not isinstance(found, Number):
        return None
    if _INTEGER.fullmatch(found):
        return int(found)
    value = float(found)
    return value if math.isfinite(value) else None


def sequence(found: object) -> int:
    """The sequence number, -1 for none."""
    if found is None:
        return -1
    count = integer(found)
    if not isinstance(count, int) or not 0 <= count < 2**63:
        shown = found if isinstance(found, str) else kind(found)
        raise NotUnderstood(Reason.SEQUENCE_INVALID, f"seq is {shown}, not an integer from 0 to 2**63 - 1")
    return count


def converted(value: float, source: str, target: str) -> float:
    """A value in another unit; raises NotUnderstood."""
    try:
        return conversion(source, target).of(value)
    except UnknownUnit as error:
        reason = Reason.UNIT_UNKNOWN if dimension(source) is None else Reason.UNIT_MISMATCH
        raise NotUnderstood(reason, f"the unit must be {error}") from None
