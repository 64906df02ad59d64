"""Mapping files: how a table that is no recording is read as one (`--mapping M.yaml`)."""

from __future__ import annotations

import codecs
import os
import re
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from facility.document import read_document
from facility.files import Files, Unreadable
from facility.problems import ConfigurationError, Problem
from facility.recording.table import Layout
from facility.sections import Section, refused, validated
from facility.times import parse_time

PLACEHOLDER = re.compile(r"\{([^{}]+)\}")
FORMATS = ("iso", "epoch", "spreadsheet")
ALLOWED_FORMAT = "iso, epoch, spreadsheet (days since 1899-12-30) or a pattern such as '%d.%m.%Y %H:%M:%S'"


def _as_text(value: Any) -> Any:
    # Cells are text; YAML reads an unquoted 0 as a number.
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _as_column(value: Any) -> Any:
    return value if isinstance(value, dict) else {"column": value}


def _delimiter(text: str) -> str:
    if text not in ("tab", "whitespace") and (len(text) != 1 or not text.isascii() or text in '"\r\n'):
        raise refused("one character, tab or whitespace")
    return text


def _encoding(name: str) -> str:
    try:
        codecs.lookup(name)
    except (LookupError, ValueError):
        raise refused("the name of an encoding, such as utf-8, cp1252 or latin-1") from None
    return name


def _format(text: str) -> str:
    if text not in FORMATS and "%" not in text:
        raise refused(ALLOWED_FORMAT)
    return text


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise refused("an IANA time zone such as Europe/Stockholm") from None
    return name


Text = Annotated[str, BeforeValidator(_as_text)]
Texts = Annotated[list[Text], BeforeValidator(_as_list)]


class TableForm(Section):
    """How the file is cut into records and cells."""

    delimiter: Annotated[str, AfterValidator(_delimiter)] = ","
    """One character, `tab`, or `whitespace` for any run of blanks and tabs."""
    header: bool = True
    """false: the columns are called 1, 2, 3 …, or as `names` says."""
    names: Texts = Field(default_factory=list)
    skip_lines: int = Field(default=0, ge=0)
    """Lines before the header, or before the first row."""
    encoding: Annotated[str, AfterValidator(_encoding)] = "utf-8"
    decimal: Literal[".", ","] = "."

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.names and self.header:
            raise refused("names only with `header: false`")
        if self.decimal == self.delimiter:
            raise refused("a delimiter other than the decimal sign", found=f"{self.delimiter!r} for both")
        return self


class TimeColumn(Section):
    """Where the time stands and how it is written; a list of columns (date, time) is joined by a blank."""

    column: Annotated[Texts, Field(min_length=1)]
    format: Annotated[str, AfterValidator(_format)] = "iso"
    """iso, epoch, spreadsheet (days since 1899-12-30), or a pattern of Python's strptime."""
    unit: Literal["s", "ms", "us", "ns"] | None = None
    """Of epoch numbers (else known by magnitude) and of a relative clock (else s)."""
    zone: Annotated[str, AfterValidator(_zone)] | None = None
    """IANA name, for times without offset; else the site's."""
    base: str | None = None
    """The moment at which a relative clock stood at 0; its cells are numbers of `unit`."""

    @model_validator(mode="after")
    def _one_clock(self) -> Self:
        if self.base is None:
            if self.unit is not None and self.format != "epoch":
                raise refused("a unit only with `format: epoch` or `base`", found=f"a unit with `format: {self.format}`")
            return self
        if self.format != "iso":
            raise refused("either a format or the base of a relative clock", found="both")
        try:
            parse_time(self.base, ZoneInfo(self.zone) if self.zone else None)
        except ValueError as error:
            raise refused(str(error), found=f"the base {self.base!r}") from None
        return self


class Cell(Section):
    """What the cells of a column mean: value = number × scale + offset, in `unit` (empty: the point's own)."""

    point: Text
    """A point id, or a pattern: {column} stands for the row's cell in that column."""
    scale: float = 1.0
    offset: float = 0.0
    unit: str = ""
    missing: Texts = Field(default_factory=list)
    """Texts that mean no reading, beside the empty cell."""
    values: dict[str, Text] = Field(default_factory=dict)
    """What a text stands for, such as {Open: 1, Closed: 0}, or the states of a room."""


class Long(Cell):
    """One reading a row, its value in the column `value`."""

    value: Text
    unit_column: Text | None = None
    """Column of units; where its cell is empty, `unit` holds."""


class QualityColumn(Section):
    """Which texts of a column stand for which quality; an empty cell is good, a text in no list is refused."""

    column: Text
    good: Texts = Field(default_factory=lambda: ["good"])
    uncertain: Texts = Field(default_factory=lambda: ["uncertain"])
    bad: Texts = Field(default_factory=lambda: ["bad"])


Clock = Annotated[TimeColumn, BeforeValidator(_as_column)]


class TableMapping(Section):
    """A mapping file: either `columns` (wide: a column per point) or `long` (a reading a row)."""

    table: TableForm = TableForm()
    time: Clock
    received: Clock | None = None
    columns: dict[str, Cell] = Field(default_factory=dict)
    long: Long | None = None
    rename: dict[str, dict[str, Text]] = Field(default_factory=dict)
    """By column: what a cell of it becomes in point ids; cells that are not named stay as they are."""
    missing: Texts = Field(default_factory=list)
    """Texts that mean no reading in every column."""
    quality: QualityColumn | None = None
    order: Literal["file", "time"] = "file"
    """time: the rows of each file by `received`, else by `time`, for tables that are grouped by device; holds the file in memory."""

    @model_validator(mode="after")
    def _one_form(self) -> Self:
        if bool(self.columns) == (self.long is not None):
            found = "both" if self.columns else "neither"
            raise refused("either `columns` (a column per point) or `long` (a reading per row)", found=found)
        return self

    @property
    def layout(self) -> Layout:
        """How the text of such a table is cut."""
        form = self.table
        return Layout(form.delimiter, form.header, tuple(form.names), form.skip_lines, form.encoding)

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that must be in the table, each once."""
        names = [*self.time.column, *(self.received.column if self.received else ()), *self.columns]
        cells: list[Cell] = list(self.columns.values())
        if self.long is not None:
            cells.append(self.long)
            names += [self.long.value, *([self.long.unit_column] if self.long.unit_column else [])]
        names += [name for cell in cells for name in PLACEHOLDER.findall(cell.point)]
        if self.quality is not None:
            names.append(self.quality.column)
        return tuple(dict.fromkeys([*names, *self.rename]))


def load_mapping(path: str | os.PathLike[str]) -> TableMapping:
    """Read a mapping file; raises ConfigurationError with every problem and its line."""
    files, name = Files.around(path)
    try:
        document, problems = read_document(files, name)
    except Unreadable as error:
        problem = Problem(str(path), 0, "", str(error), "a mapping file", "Check the path given with --mapping.")
        raise ConfigurationError([problem]) from None
    mapping, more = (None, []) if problems else validated(TableMapping, document)
    if mapping is None or problems or more:
        raise ConfigurationError([*problems, *more])
    return mapping
