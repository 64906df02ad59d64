"""CSV as spreadsheets write it: rows with their lines."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from facility.document import did_you_mean, one_of
from facility.files import Files
from facility.problems import Problem


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its line in the file, and its cells that are not empty, by column."""

    line: int
    cells: dict[str, str]


def read_rows(files: Files, name: str, columns: tuple[str, ...], required: tuple[str, ...] = ()) -> tuple[list[Row], list[Problem]]:
    """The rows of a CSV file with a header; comma, semicolon or tab between cells. Lines that begin with # and empty ones are skipped.

    Raises Unreadable; all else that is wrong is in the problems.
    """
    file, text = files.shown(name), files.read(name)
    # Lines keep their numbers: what is no row becomes an empty one.
    lines = ["" if line.startswith("#") else line for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")]
    first = next((line for line in lines if line.strip()), "")
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    rows: list[Row] = []
    problems: list[Problem] = []
    line = 0
    try:
        for cells in reader:
            line, before = reader.line_num, line
            start = before + 1 if line > before + 1 else line  # a quoted cell may go over lines
            if not any(cell.strip() for cell in cells):
                continue
            if header is None:
                header = [cell.strip() for cell in cells]
                problems += _header_problems(file, line, header, columns, required)
                continue
            if len(cells) > len(header) and any(cell.strip() for cell in cells[len(header) :]):
                hint = "Put a text with commas in quotes."
                problems.append(Problem(file, start, "", f"{len(cells)} cells", f"the {len(header)} of the header", hint))
                continue
            rows.append(Row(start, {column: cell.strip() for column, cell in zip(header, cells, strict=False) if cell.strip()}))
    except csv.Error as error:
        problems.append(Problem(file, reader.line_num, "", f"a fault: {error}", "CSV"))
    if header is None:
        problems.append(Problem(file, 0, "", "no header", f"a first row of column names: {one_of(columns)}"))
    return rows, problems


def _header_problems(file: str, line: int, header: list[str], columns: tuple[str, ...], required: tuple[str, ...]) -> list[Problem]:
    problems = []
    for number, column in enumerate(header):
        if column in header[:number]:
            problems.append(Problem(file, line, column, "the column twice", "each column once"))
        elif column not in columns:
            problems.append(Problem(file, line, column, f"the unknown column {column!r}", one_of(columns), did_you_mean(column, columns)))
    problems += [
        Problem(file, line, column, f"no column {column!r}", "it, as it is required") for column in required if column not in header
    ]
    return problems
