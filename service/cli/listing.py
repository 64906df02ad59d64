"""Rows for people and programs: a table on a terminal, CSV into a pipe, a file, or JSON. Rows are streamed, but for the table."""

from __future__ import annotations

import csv
import itertools
import json
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Any, Literal
from zoneinfo import ZoneInfo

import click

from facility.times import format_time, local_time
from facility.whole_file import whole_file
from service.cli.options import Refusal

SUFFIXES = (".csv", ".parquet")
TABLE_ROWS = 1000
_BATCH_ROWS = 10_000

Kind = Literal["text", "prose", "time", "number", "count", "flag"]
_GAP = 2
_PROSE_WIDTH = 16
"""So narrow may a column of prose become, which is folded; other columns are shown whole or not at all."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its kind says how it is written; times are int ns UTC.

    `shown` is its rank in the table, 0 for never: where the terminal is too narrow, the highest ranks are left out first.
    """

    name: str
    kind: Kind = "text"
    shown: int = 0


@dataclass(frozen=True)
class Listing:
    """Rows of one kind of thing, `noun` in the plural; `zone` is for the times of the table."""

    noun: str
    columns: Sequence[Column]
    zone: ZoneInfo
    rows: Iterable[Sequence[Any]]
    empty: str = ""
    style: Callable[[Sequence[Any]], str] = field(default=lambda row: "")
    write: Callable[[Path], int] | None = None
    """Writes the file where that has a form of its own."""
    shorten: int | None = None
    """So many characters of a text are shown in the table; everywhere else it stands whole."""

    def give(self, out: Path | None, as_json: bool) -> None:
        """To the file, else to standard output: JSON, a table on a terminal, CSV into a pipe.

        Raises Refusal for a file that cannot be written.
        """
        if out is not None:
            count = self._to_file(out)
            click.echo(json.dumps({self.noun: count, "out": str(out)}) if as_json else f"Wrote {self._so_many(count)} to {out}.")
        elif as_json:
            self._to_json()
        elif sys.stdout.isatty():
            self._to_terminal()
        elif not self._to_csv(sys.stdout) and self.empty:
            click.echo(self.empty, err=True)

    def _so_many(self, count: int) -> str:
        one = f"{self.noun[:-3]}y" if self.noun.endswith("ies") else self.noun.removesuffix("s")
        return f"{count:,} {one if count == 1 else self.noun}"

    def _to_file(self, out: Path) -> int:
        if out.suffix not in SUFFIXES:
            raise Refusal(f"--out: found {str(out)!r}; allowed: a name that ends in {' or '.join(SUFFIXES)}.")
        try:
            if self.write is not None:
                return self.write(out)
            with whole_file(out) as file:
                if out.suffix == ".parquet":
                    return self._to_parquet(file)
                text = TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
                count = self._to_csv(text)
                text.detach()  # the file is whole_file's to close
                return count
        except OSError as error:
            raise Refusal(
                f"{out} cannot be written ({error.strerror or error}). Check the path, the permissions and the free space."
            ) from None

    def _to_csv(self, file: IO[str]) -> int:
        writer = csv.writer(file, lineterminator="\n")
        rows = iter(self.rows)
        first = list(itertools.islice(rows, 1))  # what cannot be read is told before there is a heading
        writer.writerow([column.name for column in self.columns])
        count = 0
        for row in itertools.chain(first, rows):
            writer.writerow([_text(column, value) for column, value in zip(self.columns, row, strict=True)])
            count += 1
        return count

    def _to_parquet(self, file: IO[bytes]) -> int:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {
            "text": pa.string(),
            "prose": pa.string(),
            "time": pa.timestamp("ns", "UTC"),
            "number": pa.float64(),
            "count": pa.int64(),
            "flag": pa.bool_(),
        }
        schema = pa.schema([(column.name, types[column.kind]) for column in self.columns])
        count = 0
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for batch in _batches(self.rows):
                cells = zip(*batch, strict=True)
                arrays = [pa.array(values, kind) for values, kind in zip(cells, schema.types, strict=True)]
                writer.write_table(pa.table(arrays, schema))
                count += len(batch)
        return count

    def _to_json(self) -> None:
        """One object with one array, a row a line."""
        click.echo(f'{{"{self.noun}": [', nl=False)
        for number, row in enumerate(self.rows):
            fields = {column.name: _json(column, value) for column, value in zip(self.columns, row, strict=True)}
            click.echo((",\n" if number else "\n") + json.dumps(fields, ensure_ascii=False), nl=False)
        click.echo("\n]}")

    def _to_terminal(self) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        newest: deque[Sequence[Any]] = deque(maxlen=TABLE_ROWS)
        count = 0
        for row in self.rows:
            newest.append(row)
            count += 1
        if not count:
            click.echo(self.empty or f"No {self.noun}.")
            return
        console = Console()
        cells = [[_readable(column, row[at], self.zone, self.shorten) for at, column in enumerate(self.columns)] for row in newest]
        table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold")
        shown = self._fitting(cells, console.width)
        for at in shown:
            column = self.columns[at]
            prose = column.kind == "prose"
            right = column.kind in ("number", "count")
            table.add_column(column.name, justify="right" if right else "left", no_wrap=not prose, overflow="fold" if prose else "ellipsis")
        for row, texts in zip(newest, cells, strict=True):
            table.add_row(*(Text(texts[at]) for at in shown), style=self.style(row))
        console.print(table)
        before = f"The newest {TABLE_ROWS} of " if count > TABLE_ROWS else ""
        console.print(f"{before}{self._so_many(count)}; times are local, {self.zone.key}.", style="dim", highlight=False)

    def _fitting(self, cells: Sequence[Sequence[str]], width: int) -> list[int]:
        """The columns that have room, by index."""
        shown = [at for at, column in enumerate(self.columns) if column.shown]

        def wide(at: int) -> int:
            column = self.columns[at]
            whole = max(len(column.name), *(len(row[at]) for row in cells)) + _GAP
            return min(whole, _PROSE_WIDTH) if column.kind == "prose" else whole

        while sum(map(wide, shown)) > width and len(shown) > 1:
            shown.remove(max(shown, key=lambda at: (self.columns[at].shown, at)))
        return shown


def out_option(command: Any) -> Any:
    """`--out FILE`: gives the command `out`."""
    return click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="Write a file: .csv or .parquet.")(command)


def _batches(rows: Iterable[Sequence[Any]]) -> Iterator[list[Sequence[Any]]]:
    remaining = iter(rows)
    while batch := list(itertools.islice(remaining, _BATCH_ROWS)):
        yield batch


def _text(column: Column, value: Any) -> str:
    if value is None:
        return ""
    if column.kind == "time":
        return format_time(value)
    if column.kind == "flag":
        return "true" if value else "false"
    return repr(float(value)) if column.kind == "number" else str(value)


def _json(column: Column, value: Any) -> Any:
    if value is None or (column.kind == "number" and not math.isfinite(value)):
        return None
    return format_time(value) if column.kind == "time" else value


def _readable(column: Column, value: Any, zone: ZoneInfo, shorten: int | None) -> str:
    if value is None:
        return "–"
    if column.kind == "time":
        return local_time(value, zone)
    if column.kind == "flag":
        return "yes" if value else ""
    if column.kind == "number":
        return f"{value:.6g}"
    # What came from outside must not steer the terminal.
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in str(value))
    return text if shorten is None or len(text) <= shorten else f"{text[: shorten - 1]}…"
