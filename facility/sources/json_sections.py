"""A source of JSON payloads as sections: its keys, their types, what each means."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator

from facility.document import shown
from facility.facility_sections import Timezone
from facility.sections import Section, refused
from facility.sources.filters import ALLOWED as FILTER_ALLOWED
from facility.sources.filters import TopicFilter, parse_filter
from facility.sources.paths import ALLOWED as PATH_ALLOWED
from facility.sources.paths import JsonPath, Template, is_path, parse_path, parse_template
from facility.sources.source import SourceSection

RECEIVED = "received"
FORMATS = ("auto", "iso", "epoch")


def _parsed(parse: Callable[[str], Any], allowed: str) -> Callable[[Any], Any]:
    def parsed(value: Any) -> Any:
        if isinstance(value, dict):
            raise refused(allowed, 'In YAML a text that begins with { needs quotes: "{device}.dp".')
        if not isinstance(value, str):
            raise refused(allowed)
        try:
            return parse(value)
        except ValueError as error:
            raise refused(str(error)) from None

    return parsed


def _listed(parse: Callable[[Any], Any], allowed: str) -> Callable[[Any], Any]:
    def listed(value: Any) -> Any:
        items = value if isinstance(value, list) else [value]
        if not items:
            raise refused(allowed)
        return tuple(parse(item) for item in items)

    return listed


def _texts(value: Any) -> tuple[str, ...]:
    """Scalars as a payload has them: true, 192 and OK are all written without quotes."""
    items = value if isinstance(value, list) else [value]
    if not all(isinstance(item, str | int | float) for item in items):
        raise refused("a text or a number, or a list of them")
    return tuple(scalar_text(item) for item in items)


def scalar_text(value: object) -> str:
    """A scalar as text, so that 5, 5.0 and 5.00 are the same, and so are true and `true`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return str(value) if not isinstance(value, float) else repr(value)


def _when(value: Any) -> dict[JsonPath, tuple[str, ...]]:
    if not isinstance(value, dict) or not value:
        raise refused("a mapping of paths to what must stand there, such as {$.type: dp}")
    return {_PATH(key): _texts(item) for key, item in value.items()}


def _values(value: Any) -> dict[str, float]:
    good = isinstance(value, dict) and value
    if not good or not all(isinstance(number, int | float) and math.isfinite(number) for number in value.values()):
        raise refused("a mapping of texts to numbers, such as {open: 1, closed: 0}")
    return {str(text): float(number) for text, number in value.items()}


def _volume(value: Any) -> JsonPath | float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if not (math.isfinite(value) and value > 0):
            raise refused("a volume above 0, or a path")
        return float(value)
    parsed: JsonPath = _PATH(value)
    return parsed


def _unit(value: Any) -> JsonPath | str:
    if not isinstance(value, str) or not value:
        raise refused("a unit such as degC, or a path to it")
    parsed: JsonPath | str = _PATH(value) if is_path(value) else value
    return parsed


def _format(text: str) -> str:
    if text not in FORMATS and "%" not in text:
        raise refused("auto, iso, epoch or a pattern such as '%d.%m.%Y %H:%M:%S'")
    return text


def _as_clock(value: Any) -> Any:
    """`time: $.ts`, `time: [.t, $.ts]` and `time: received` in full."""
    if value == RECEIVED:
        return {"missing": RECEIVED}
    return {"path": value} if isinstance(value, str | list) else value


def _as_point(value: Any) -> Any:
    return {"point": value} if isinstance(value, str) else value


def _or(short: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """Let the schema of a mapping also take the short form."""

    def extend(schema: dict[str, Any]) -> None:
        full = {key: schema.pop(key) for key in ("$ref", "allOf", "anyOf") if key in schema}
        schema["anyOf"] = [short, *(full.pop("anyOf", None) or [full])]

    return extend


_PATH = _parsed(parse_path, PATH_ALLOWED)
_PATH_SCHEMA = {"type": "string", "pattern": r"^[$@.]", "examples": ["$.metrics.dp", ".v"]}
_SCALAR = {"type": ["string", "number", "boolean"]}
_SCALARS_SCHEMA = {"anyOf": [_SCALAR, {"type": "array", "items": _SCALAR}]}
_MANY_PATHS = {"anyOf": [_PATH_SCHEMA, {"type": "array", "items": _PATH_SCHEMA, "minItems": 1}]}
_FILTER = {"type": "string", "examples": ["plant/{room}/{device}/state"]}
_WHEN_SCHEMA = {"type": "object", "additionalProperties": _SCALARS_SCHEMA, "minProperties": 1}
_VALUES_SCHEMA = {"type": "object", "additionalProperties": {"type": "number"}, "minProperties": 1}

PathTo = Annotated[JsonPath, PlainValidator(_PATH), WithJsonSchema(_PATH_SCHEMA)]
Paths = Annotated[tuple[JsonPath, ...], PlainValidator(_listed(_PATH, PATH_ALLOWED)), WithJsonSchema(_MANY_PATHS)]
Filters = Annotated[
    tuple[TopicFilter, ...],
    PlainValidator(_listed(_parsed(parse_filter, FILTER_ALLOWED), FILTER_ALLOWED)),
    WithJsonSchema({"anyOf": [_FILTER, {"type": "array", "items": _FILTER, "minItems": 1}]}),
]
Named = Annotated[Template, PlainValidator(_parsed(parse_template, "a text such as {device}.dp")), WithJsonSchema({"type": "string"})]
Scalars = Annotated[tuple[str, ...], PlainValidator(_texts), WithJsonSchema(_SCALARS_SCHEMA)]
When = Annotated[dict[JsonPath, tuple[str, ...]], PlainValidator(_when), WithJsonSchema(_WHEN_SCHEMA)]
Values = Annotated[dict[str, float], PlainValidator(_values), WithJsonSchema(_VALUES_SCHEMA)]
Volume = Annotated[JsonPath | float, PlainValidator(_volume), WithJsonSchema({"type": ["string", "number"]})]
UnitOrPath = Annotated[JsonPath | str, PlainValidator(_unit), WithJsonSchema({"type": "string", "minLength": 1})]


class ClockSection(Section):
    """Where the time stands and how it is written."""

    path: Paths = ()
    """A path, or a list of which the first that is there counts."""
    format: Annotated[str, AfterValidator(_format)] = "auto"
    """auto (RFC 3339 text or an epoch number), iso, epoch, or a pattern of Python's strptime."""
    unit: Literal["s", "ms", "us", "ns"] | None = None
    """Of epoch numbers; else it is known by magnitude."""
    zone: Timezone | None = None
    """Of times without offset. Without it they are refused: a gateway rarely says which it means."""
    missing: Literal["received"] | None = None
    """received: where no time is sent, the time of reception is taken. Then a redelivery cannot be told from a new reading."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if not self.path and self.missing is None:
            raise refused("a `path`, or `missing: received`", found="neither")
        if self.unit is not None and self.format not in ("auto", "epoch"):
            raise refused("a unit only with epoch numbers", found=f"a unit with the format {shown(self.format)}")
        if "%" in self.format and "%z" not in self.format and self.zone is None:
            raise refused("a zone, or %z in the pattern, as these times have no offset", found="neither")
        return self


class QualitySection(Section):
    """What a status says of a reading; one in no list is refused, unless `otherwise` says what it is."""

    path: PathTo
    codes: Literal["opc_da", "opc_ua", "bits"] | None = None
    """opc_da: 192 and above good, 64 to 127 uncertain; opc_ua: by severity; bits: any that is set is bad."""
    ignore_bits: list[Annotated[int, Field(ge=0, le=62)]] = Field([])
    """With `codes: bits`: those that say nothing of the reading, such as a threshold passed."""
    good: Scalars = ()
    uncertain: Scalars = ()
    bad: Scalars = ()
    otherwise: Literal["good", "uncertain", "bad"] | None = None
    missing: Literal["good", "uncertain", "bad"] | None = None
    """What a message without a status is; else it is refused."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        listed = [*self.good, *self.uncertain, *self.bad]
        if self.ignore_bits and self.codes != "bits":
            raise refused("ignore_bits only with `codes: bits`")
        if self.codes is None and not listed and self.otherwise is None:
            raise refused("`codes`, or lists of what is `good`, `uncertain`, `bad`", found="neither")
        twice = next((text for text in listed if listed.count(text) > 1), None)
        if twice is not None:
            raise refused("each status in one list", found=f"{twice!r} in two")
        return self


Clock = Annotated[ClockSection, BeforeValidator(_as_clock), Field(json_schema_extra=_or(_MANY_PATHS))]


class EntrySection(Section):
    """What a name in the table of points stands for; what it leaves out is as the reading says."""

    point: Annotated[str, Field(min_length=1)]
    unit: Annotated[str, Field(min_length=1)] | None = None
    scale: float | None = None
    offset: float | None = None


Entry = Annotated[EntrySection, BeforeValidator(_as_point), Field(json_schema_extra=_or({"type": "string"}))]


class ReadingSection(Section):
    """One reading of a message, or one of each element of an array in it."""

    point: Named
    """A point id, or a name in `points`: {device} is a captured topic level, {$.a.b} and {.id} what is there, {key} a member's key."""
    each: PathTo | None = None
    """An array (or object) in the message: a reading for each of its elements; paths that begin with a dot start there."""
    when: When = Field({})
    """Only where these paths hold these values."""
    value: PathTo | None = None
    count: PathTo | None = None
    """Particles counted, in place of a value; becomes 1/m3 with `volume`."""
    volume: Volume | None = None
    """The sampled volume: a path, or a number where it is always the same."""
    volume_unit: Literal["L", "mL", "m3", "ft3"] = "L"
    unit: UnitOrPath | None = None
    """What is sent: a unit, or a path to one; the point's own where nothing stands there."""
    values: Values = Field({})
    """What a text stands for, such as {open: 1, closed: 0}."""
    scale: float = 1.0
    """value = number × scale + offset, in `unit`."""
    offset: float = 0.0
    bad_values: Scalars = ()
    """Numbers that instruments send for a fault, such as -32768: the reading is bad."""
    optional: bool = False
    """true: messages without this value are as they should be."""
    time: Clock | None = None
    quality: QualitySection | None = None
    seq: PathTo | None = None
    """A number that counts up by one for every reading of the point, so that a gap shows."""

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if (self.value is None) == (self.count is None):
            raise refused("either `value`, or `count` with `volume`", found="neither" if self.value is None else "both")
        if (self.count is None) != (self.volume is None):
            raise refused("`count` and `volume` together", found="only one of them")
        if self.count is not None and (self.values or self.unit is not None or (self.scale, self.offset) != (1.0, 0.0)):
            raise refused("no unit, values, scale or offset beside `count`: it is a number of particles")
        return self


class JsonSection(SourceSection):
    """JSON payloads, mapped by paths."""

    kind: Literal["json"]
    topic: Filters
    """An MQTT topic filter, or a list of them; {name} captures a level."""
    qos: Literal[0, 1] = 1
    """0 where the source publishes with QoS 0 and it is known that its readings may be lost."""
    time: Clock | None = None
    """For all readings that give no time of their own; so are quality and seq."""
    quality: QualitySection | None = None
    seq: PathTo | None = None
    points: dict[str, Entry] = Field({})
    """Point ids by the names that the source uses."""
    points_file: str | None = None
    """CSV with the columns name, point and optionally unit, scale, offset: the same as `points`."""
    ignore: list[str] = Field([])
    """Names, or globs of names, that are no points of ours and are passed over."""
    ignore_when: When = Field({})
    """Messages in which these paths hold these values are passed over: they are no readings."""
    readings: Annotated[list[ReadingSection], Field(min_length=1)]
