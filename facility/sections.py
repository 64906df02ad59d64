"""Sections of configuration files: strict pydantic models whose errors become problems with their place."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Self, TypeVar, Union, get_args, get_origin

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from facility.document import Document, Path, did_you_mean, one_of, shown
from facility.durations import ALLOWED as DURATIONS
from facility.durations import Duration, parse_duration
from facility.problems import Problem

RESERVED_IDS = ("occupancy", "batch")
LONGEST_NS = 36_500 * 86_400 * 10**9
"""A century: a time and a duration together must fit into int64 ns."""
ID_ALLOWED = "a name without blanks and / + # * ? [ ] $, not occupancy or batch"
_ID = re.compile(r"[^\s/+#*?\[\]$\x00-\x1f\x7f]{1,128}")

Model = TypeVar("Model", bound="Section")


class Section(BaseModel):
    """A mapping of a configuration file; unknown keys and loose types are errors, and it knows where it stands."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
    _path: Path = PrivateAttr(())

    @model_validator(mode="wrap")
    @classmethod
    def _keep_path(cls, value: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        section = handler(value)
        section._path = getattr(value, "path", ())
        return section

    def at(self, *keys: str | int) -> Path:
        """The path of a key below this section."""
        return (*self._path, *keys)


def refused(allowed: str, hint: str = "", found: str = "") -> PydanticCustomError:
    """What a validator of a section raises: it knows what is allowed; what was found is the value unless given."""
    # The context is what problems_in() reads; the message is for whoever calls the model directly.
    return PydanticCustomError("refused", "{allowed}", {"allowed": allowed, "hint": hint, "found": found})


def is_id(text: str) -> bool:
    """Whether a text can be an id: a level of a topic, and a value that a glob can name."""
    return _ID.fullmatch(text) is not None and text not in RESERVED_IDS


def _id(text: str) -> str:
    if not is_id(text):
        raise refused(ID_ALLOWED)
    return text


def _duration(value: Any) -> Duration:
    if not isinstance(value, str):
        raise refused(DURATIONS, f"Write {value}s for seconds." if isinstance(value, int | float) and not isinstance(value, bool) else "")
    try:
        duration = parse_duration(value)
    except ValueError:
        raise refused(DURATIONS) from None
    if abs(duration.ns) > LONGEST_NS:
        raise refused(f"a duration of at most {Duration(LONGEST_NS)}")
    return duration


def _fixed_span(value: Any) -> int:
    duration = _duration(value)
    if duration.periods or duration.ns < 0:
        raise refused("a duration such as 500ms, 30s, 5m, 2h, 1d")
    return duration.ns


def _positive_span(value: Any) -> int:
    if (ns := _fixed_span(value)) <= 0:
        raise refused("a duration above 0, such as 500ms, 30s, 5m, 2h, 1d")
    return ns


_SPAN_SCHEMA = {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$", "examples": ["30s", "5m"]}
_DURATION_SCHEMA = {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d|periods?)\s*$", "examples": ["30s", "3 periods"]}
_ID_SCHEMA = {"type": "string", "pattern": r"^[^\s/+#*?\[\]$]{1,128}$", "not": {"enum": list(RESERVED_IDS)}}
Id = Annotated[str, AfterValidator(_id), WithJsonSchema(_ID_SCHEMA)]
SpanNs = Annotated[int, PlainValidator(_fixed_span), WithJsonSchema(_SPAN_SCHEMA)]
PeriodNs = Annotated[int, PlainValidator(_positive_span), WithJsonSchema(_SPAN_SCHEMA)]
AnyDuration = Annotated[Duration, PlainValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]


def validated(
    model: type[Model], document: Document, value: Any = None, stand_ins: Mapping[str, Any] | None = None
) -> tuple[Model | None, list[Problem]]:
    """The section that a document (or a `value` in it) holds, and every problem with it.

    What is wrong is left out of the section, so that the rest can be checked further; `stand_ins` are values for required keys that are
    missing. None when nothing is left.
    """
    value = document.value if value is None else value
    problems: list[Problem] | None = None
    round_ = 0
    while True:
        try:
            return model.model_validate(value), problems or []
        except ValidationError as error:
            errors = error.errors(include_url=False)
            if problems is None:
                problems = [_problem(model, document, value, details) for details in errors]
            round_ += 1
            if round_ > 20 or not _leave_out(value, errors, stand_ins or {}, round_):
                return None, problems


def _problem(model: type[Section], document: Document, value: Any, details: ErrorDetails) -> Problem:
    loc = _location(details)
    path = (*getattr(value, "path", ()), *loc)
    kind, context = details["type"], details.get("ctx", {})
    found, allowed, hint = shown(details["input"]), details["msg"], ""
    if kind == "refused":
        found, allowed, hint = context["found"] or found, context["allowed"], context["hint"]
    elif kind == "extra_forbidden":
        keys = keys_of(_model_at(model, loc[:-1]) or model)
        found, allowed, hint = f"the unknown key {loc[-1]!r}", one_of(keys, 40), did_you_mean(loc[-1], keys)
    elif kind == "missing":
        found, allowed = f"no key {loc[-1]!r}", "it, as it is required"
        path = path[:-1]
    elif kind == "literal_error":
        names = tuple(re.findall(r"'([^']*)'", context["expected"]))
        allowed, hint = one_of(names), did_you_mean(details["input"], names)
    elif kind in _ALLOWED:
        allowed = _ALLOWED[kind].format(**context)
        if kind == "string_type" and isinstance(details["input"], int | float):
            hint = f'Write it in quotes: "{shown(details["input"])}".'
    return document.problem(path, found, allowed, hint)


def _location(details: ErrorDetails) -> tuple[str | int, ...]:
    """Where an error is; pydantic marks one in a mapping's key with a last part of its own."""
    return details["loc"][:-1] if details["loc"][-1:] == ("[key]",) else details["loc"]


_ALLOWED = {
    "string_type": "a text",
    "int_type": "a whole number", "int_from_float": "a whole number",
    "float_type": "a number", "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list", "dict_type": "a mapping", "model_type": "a mapping", "model_attributes_type": "a mapping",
    "greater_than": "a number above {gt}", "greater_than_equal": "a number of at least {ge}",
    "less_than": "a number below {lt}", "less_than_equal": "a number of at most {le}",
    "string_too_short": "a text that is not empty",
    "too_short": "a list of at least {min_length}", "too_long": "a list of at most {max_length}",
}  # fmt: skip


def keys_of(model: type[Section]) -> tuple[str, ...]:
    """The keys that a section may have, as they stand in the file."""
    return tuple(field.alias or name for name, field in model.model_fields.items())


def _model_at(model: type[Section], loc: tuple[str | int, ...]) -> type[Section] | None:
    annotation: Any = model
    for part in loc:
        if isinstance(annotation, type) and issubclass(annotation, Section):
            field = next((field for name, field in annotation.model_fields.items() if part in (field.alias or name, name)), None)
            annotation = None if field is None else field.annotation
        else:
            annotation = (get_args(annotation) or (None,))[-1]
        annotation = _plain(annotation)
    return annotation if isinstance(annotation, type) and issubclass(annotation, Section) else None


def _plain(annotation: Any) -> Any:
    """An annotation without `Annotated` and `| None`."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):
        return _plain(next(choice for choice in get_args(annotation) if choice is not type(None)))
    return annotation


def _leave_out(value: Any, errors: list[ErrorDetails], stand_ins: Mapping[str, Any], round_: int) -> bool:
    """Take from `value` what the errors name, so that the rest holds; False when nothing would be left."""
    gone: list[tuple[str | int, ...]] = []
    for number, details in enumerate(errors):
        loc = _location(details)
        if details["type"] == "missing":
            holder, key = _within(value, loc[:-1]), str(loc[-1])
            if isinstance(holder, dict) and key in stand_ins:
                holder[key] = stand_ins[key]
                continue
            if isinstance(holder, dict) and key == "id" and loc[:-1]:
                holder[key] = f"unnamed-{round_}-{number}"
                continue
            loc = loc[:-1]
        if not loc:
            return False
        gone.append(loc)
    # From the back, so that what stands before keeps its index.
    for loc in sorted(set(gone), key=lambda loc: [(isinstance(part, int), part) for part in loc], reverse=True):
        holder = _within(value, loc[:-1])
        if isinstance(holder, dict):
            holder.pop(str(loc[-1]), None)
        elif isinstance(holder, list) and isinstance(loc[-1], int) and loc[-1] < len(holder):
            del holder[loc[-1]]
    return True


def _within(value: Any, loc: tuple[str | int, ...]) -> Any:
    for part in loc:
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def json_schema(model: type[Section], title: str) -> dict[str, Any]:
    """The published JSON Schema of a file: what editors complete and check it by."""
    schema = model.model_json_schema(by_alias=True)
    schema["patternProperties"] = {"^x-": {"description": "Free, for anchors."}}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": title}
